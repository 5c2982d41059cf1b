"""Distances between images by what a frozen network sees: LPIPS (Zhang et al. 2018), and one like it, offline."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib import checks, efficientnet
from course_lib.data.files import read_packaged
from course_lib.features.efficientnet_lite0 import ImageNetFeatures
from course_lib.features.layers import Chain, at_once, named_layers
from course_lib.features.torchvision_weights import standardised, torchvision_network
from course_lib.metrics.images import image_pair, perceptual_distance

_STYLE_LAYERS = ("stem", "block0", "block2", "block4", "block7", "block10")  # strides 2, 2, 4, 8, 16, 16
_LPIPS_LAYERS = {
    "alex": ("relu1", "relu2", "relu3", "relu4", "relu5"),
    "vgg": ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),  # VGG16's
}
_LPIPS_SHA256 = {
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
}


@dataclass(frozen=True)
class PerceptualDistance:
    """A distance between images by what a frozen network sees in them: `metrics.images.perceptual_distance`."""

    layers: Chain
    names: tuple[str, ...]  # of the layers that count
    weights: Mapping[str, Tensor] | None  # (C,) per layer; None if every channel counts alike
    name: str

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances of image pairs (N, 3, H, W) in [-1, 1]: (N,) float64, with gradients; raises as `metrics.mse`."""
        x, y = image_pair(x, y, "(N, 3, H, W)", smallest=self.layers.smallest)
        return self._distances(x, y, exactly=True)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The same, unchecked, in single precision where the network is: (N,), to be minimised over y."""
        return self._distances(x, y, exactly=False)

    def _distances(self, x: Tensor, y: Tensor, *, exactly: bool) -> Tensor:
        batch = at_once(self.layers.device, x.shape[2] * x.shape[3])
        scores = []
        for a, b in zip(x.split(batch), y.split(batch), strict=True):
            maps_a, maps_b = self.layers(a, *self.names), self.layers(b, *self.names)
            scores.append(perceptual_distance(maps_a, maps_b, self.weights, exactly=exactly))
        return torch.cat(scores)


def perceptual(device: str | torch.device = "cpu") -> PerceptualDistance:
    """The course's offline distance in the manner of LPIPS, on EfficientNet-Lite0; raises as `imagenet`."""
    layers = ImageNetFeatures(efficientnet.pretrained(device), "", 224).layers
    name = "uncalibrated perceptual distance (EfficientNet-Lite0, stem and blocks 0, 2, 4, 7, 10; not LPIPS)"
    return PerceptualDistance(layers, _STYLE_LAYERS, None, name)


def lpips(net: str = "alex", device: str | torch.device = "cpu") -> PerceptualDistance:
    """LPIPS 0.1 (Zhang et al. 2018): torchvision's AlexNet ("alex", 233 MB) or VGG16 ("vgg", 528 MB), learnt weights.

    Raises ImportError without the package lpips, DataFileError if it is altered, DownloadError offline.
    """
    names = _LPIPS_LAYERS[checks.choice("net", net, _LPIPS_LAYERS)]
    missing = "LPIPS's learnt weights are in a package that is not installed: pip install lpips. "
    missing += "Without it, course_lib.features.perceptual() measures a similar distance, uncalibrated"
    content = read_packaged("lpips==0.1.4", f"weights/v0.1/{net}.pth", _LPIPS_SHA256[net], missing)
    theirs = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    from torchvision import models

    if net == "alex":
        title, weights, builder, smallest = "AlexNet", models.AlexNet_Weights, models.alexnet, 31
    else:
        title, weights, builder, smallest = "VGG16", models.VGG16_Weights, models.vgg16, 16
    offline = "perceptual() measures a similar distance"
    network = torchvision_network(title, weights.IMAGENET1K_V1, builder, device, offline)
    layers = Chain(named_layers(network.features, blocks=net == "vgg"), standardised, smallest)
    linear = {name: theirs[f"lin{i}.model.1.weight"].flatten().to(device) for i, name in enumerate(names)}
    return PerceptualDistance(layers, names, linear, f"LPIPS 0.1 ({title}, torchvision's ImageNet weights)")
