"""Torchvision's VGG19 and Inception-v3 as extractors and for style transfer; weights are downloaded when asked for."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.evaluation import batched
from course_lib.features.layers import Chain, Extractor, at_once, named_layers
from course_lib.features.torchvision_weights import standardised, torchvision_network


@dataclass(frozen=True)
class TorchvisionFeatures(Extractor):
    """A frozen ImageNet classifier of torchvision; its preprocessing sees 7/8 of the central square of an image."""

    body: nn.Module  # preprocessed images -> last hidden layer (N, dimensions)
    head: nn.Linear
    preprocess: Callable[[Tensor], Tensor]  # torchvision's own, from [0, 1]
    name: str

    @property
    def dimensions(self) -> int:
        """Length of a feature vector."""
        return self.head.in_features

    def features(self, x: Tensor) -> Tensor:
        """Last hidden layer (N, dimensions) of images (N, 3, H, W)."""
        return self._apply(self.body, x)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, 1000) of ImageNet's classes of images (N, 3, H, W)."""
        return self._apply(lambda part: self.head(self.body(part)), x)

    def _apply(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        device = self.head.weight.device
        return batched(
            lambda part: f(self.preprocess((part.to(device, torch.float32) + 1) / 2)),
            checks.images("x", x, "(N, 3, H, W)"),
            batch=at_once(device, 256**2),
        )


@dataclass(frozen=True)
class VGGFeatures(TorchvisionFeatures):
    """VGG19, whose layers have names: conv1_1, relu1_1, conv1_2, relu1_2, pool1, conv2_1 … relu5_4, pool5."""

    layers: Chain  # layers(x, "relu1_1", "relu4_1"): nothing is resized or cut off


def vgg19(device: str | torch.device = "cpu") -> VGGFeatures:
    """VGG19 (Simonyan & Zisserman 2015) with torchvision's ImageNet weights; the network of style transfer. 548 MB.

    4096 features, the last hidden layer; ``vgg19().layers(x, "relu4_1")`` gives feature maps. Raises DownloadError.
    """
    from torchvision import models

    weights = models.VGG19_Weights.IMAGENET1K_V1
    net = torchvision_network("VGG19", weights, models.vgg19, device, "imagenet() has named layers too")
    body = nn.Sequential(net.features, net.avgpool, nn.Flatten(), *net.classifier[:-1]).eval()
    name = "VGG19 (torchvision's ImageNet weights, last hidden layer)"
    layers = Chain(named_layers(net.features), standardised, smallest=32)
    return VGGFeatures(body, net.classifier[-1], weights.transforms(), name, layers)


def inception(device: str | torch.device = "cpu") -> TorchvisionFeatures:
    """Inception-v3 (Szegedy et al. 2016) with torchvision's ImageNet weights: 2048 features. A download of 104 MB.

    Not the network of published Inception scores and FIDs: compare its numbers with one another. Raises DownloadError.
    """
    from torchvision import models

    weights = models.Inception_V3_Weights.IMAGENET1K_V1
    # transform_input undoes the normalisation of torchvision's preprocessing: these weights want [-1, 1].
    options = {"transform_input": True, "init_weights": False}
    net = torchvision_network(
        "Inception-v3", weights, models.inception_v3, device, "imagenet() works", **options
    )
    head, net.fc = net.fc, nn.Identity().eval()
    name = "Inception-v3 (torchvision's ImageNet weights, not the TensorFlow port of FID tables)"
    return TorchvisionFeatures(net, head, weights.transforms(), name)
