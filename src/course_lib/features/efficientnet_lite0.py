"""What natural images are measured with, offline: EfficientNet-Lite0 with ImageNet weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import checks, efficientnet
from course_lib.evaluation import batched, device_of
from course_lib.features.layers import Chain, Extractor, at_once


@dataclass(frozen=True)
class ImageNetFeatures(Extractor):
    """A frozen ImageNet classifier: features, logits (N, 1000) and probabilities of images (N, 3, H, W) of any size."""

    net: efficientnet.EfficientNet
    name: str
    resolution: int  # every image is resized to resolution x resolution first

    @property
    def layers(self) -> Chain:
        """Feature maps by name, stem and block0 … block15: ``layers(x, "stem", "block4")``. Nothing is resized."""
        modules = {"stem": self.net.stem, **{f"block{i}": block for i, block in enumerate(self.net.blocks)}}
        return Chain(modules, efficientnet.normalised, smallest=16)

    def _apply(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        device = device_of(self.net)
        return batched(
            lambda part: f(self._resized(part.to(device, torch.float32))),
            checks.images("x", x, "(N, 3, H, W)"),
            batch=at_once(device, self.resolution**2),
        )

    def _resized(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, resolution, resolution): bicubic, and antialiased where images become smaller."""
        size = (self.resolution, self.resolution)
        if x.shape[2:] != size:
            x = F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
            x = x.clamp(-1, 1)  # bicubic overshoots at edges
        return x.contiguous(memory_format=torch.channels_last)


def imagenet(resolution: int = 224, device: str | torch.device = "cpu") -> ImageNetFeatures:
    """EfficientNet-Lite0 with ImageNet weights (`course_lib.efficientnet`), the extractor of natural images.

    Images of any size become squares of `resolution` >= 32 (bicubic, antialiased): 224 as in training, or less for
    speed, with other features. Raises as `efficientnet.pretrained`.
    """
    resolution = checks.whole("resolution", resolution, at_least=32)
    net = efficientnet.pretrained(device).to(memory_format=torch.channels_last)
    name = f"EfficientNet-Lite0 (ImageNet, resized to {resolution} x {resolution})"
    return ImageNetFeatures(net, name, resolution)
