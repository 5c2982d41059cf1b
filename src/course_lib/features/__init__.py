"""Frozen extractors, each with its name: what a distance or a score between images is measured with.

`digit_classifier`, `avatar_attributes`, `imagenet` and `perceptual` work offline; `vgg19`, `inception` and `lpips`
download torchvision's weights at the first call.
"""

from course_lib.features.avatars import AvatarAttributes, avatar_attributes
from course_lib.features.digits import DigitClassifier, digit_classifier
from course_lib.features.distances import PerceptualDistance, lpips, perceptual
from course_lib.features.efficientnet_lite0 import ImageNetFeatures, imagenet
from course_lib.features.layers import Chain, Extractor
from course_lib.features.torchvision_networks import TorchvisionFeatures, VGGFeatures, inception, vgg19
