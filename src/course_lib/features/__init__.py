"""Frozen extractors: what a distance or a score between images is measured with.

Each knows its name, its preprocessing and the length of its features, because a score without them means nothing.

`digit_classifier`, `avatar_attributes`, `imagenet` and `perceptual` work offline. `vgg19`, `inception` and `lpips` are
torchvision's networks, whose ImageNet weights are downloaded at the first call, into the cache folder. Their sha256 is
compared at every call with the eight digits in the file's name, which is all that torchvision publishes; no code in
them is run.
"""

from course_lib.features.avatars import AvatarAttributes, avatar_attributes
from course_lib.features.digits import DigitClassifier, digit_classifier
from course_lib.features.distances import PerceptualDistance, lpips, perceptual
from course_lib.features.efficientnet_lite0 import ImageNetFeatures, imagenet
from course_lib.features.layers import Chain
from course_lib.features.torchvision_networks import TorchvisionFeatures, VGGFeatures, inception, vgg19

__all__ = [
    "AvatarAttributes",
    "Chain",
    "DigitClassifier",
    "ImageNetFeatures",
    "PerceptualDistance",
    "TorchvisionFeatures",
    "VGGFeatures",
    "avatar_attributes",
    "digit_classifier",
    "imagenet",
    "inception",
    "lpips",
    "perceptual",
    "vgg19",
]
