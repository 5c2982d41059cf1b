"""A photograph in the manner of another picture in one pass: AdaIN between two networks (Huang & Belongie 2017).

A frozen network turns both pictures into feature maps. The content's maps get the means and deviations of the style's,
by the same function as in StyleGAN's layers, and a decoder turns them back into a picture. It was trained with many
styles, so that any style will do. No optimisation is left.

Simplified: the frozen network has far fewer maps than VGG19, so that maps of two layers, not of one, go to the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import checks
from course_lib.features import ImageNetFeatures
from course_lib.gans.stylegan.layers import adain
from course_lib.style.losses import Maps


@dataclass(frozen=True)
class AdaINTransferConfig:
    """Which layers of the frozen network the decoder gets, and how wide it is."""

    layers: tuple[str, ...] = ("block4", "block2")  # the coarsest first
    maps: tuple[int, ...] = (40, 24)  # of these layers
    widths: tuple[int, ...] = (64, 48, 32, 16)  # of the decoder, from the coarsest maps to the picture's size

    def __post_init__(self) -> None:
        if not len(self.layers) == len(self.maps) < len(self.widths):
            raise ValueError(
                "layers, maps, widths: expected as many layers as maps, and more widths, got "
                f"{self.layers}, {self.maps}, {self.widths}"
            )


class AdaINTransfer(nn.Module):
    """The decoder: feature maps of `AdaINTransferConfig.layers` to a picture in [-1, 1].

    It has no normalisation, which would put other means and deviations in the place of the style's (their Section 7.2).
    """

    def __init__(self, cfg: AdaINTransferConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or AdaINTransferConfig()
        taken = [*cfg.maps, *[0] * (len(cfg.widths) - len(cfg.maps))]  # from the frozen network, at each size
        before = [0, *cfg.widths[:-1]]
        self.blocks = nn.ModuleList(
            nn.Sequential(_convolution(a + b, width), _convolution(width, width))
            for a, b, width in zip(taken, before, cfg.widths, strict=True)
        )
        self.colours = nn.Conv2d(cfg.widths[-1], 3, 3, padding=1, padding_mode="reflect")

    def forward(self, maps: Maps, size: tuple[int, int]) -> Tensor:
        """The picture (N, 3, H, W) of ``size`` H, W, from maps of the frozen network, layer -> (N, C, h, w)."""
        h = None
        for i, block in enumerate(self.blocks):
            halvings = len(self.blocks) - 1 - i
            to = [-(-side // 2**halvings) for side in size]  # rounded up, as the frozen network does
            parts = [] if h is None else [F.interpolate(h, size=to)]
            h = block(torch.cat([*parts, *(maps[name] for name in self.cfg.layers[i : i + 1])], 1))
        return self.colours(h).tanh()


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect"), nn.ReLU())


def restyled(content: Tensor, style: Tensor) -> Tensor:
    """Maps of the content (N, C, h, w) with mean and deviation of each of the style's (N or 1, C, any, any)."""
    variance, mean = torch.var_mean(style, (2, 3), correction=0)
    return adain(content, variance.sqrt().expand(len(content), -1), mean.expand(len(content), -1))


def moment_loss(maps: Maps, target: Maps) -> Tensor:
    """How far means and deviations of `maps` are from those of `target`, relative, averaged over layers: ().

    Huang & Belongie 2017, Eq. (13), each layer's part divided by the same of zero maps, and of each picture by itself.
    """
    parts = []
    for name, wanted in target.items():
        (a, m), (b, n) = (_moments(x) for x in (maps[name], wanted))
        off = (a - b).square().sum(1) + (m - n).square().sum(1)
        parts.append(off / (b.square().sum(1) + n.square().sum(1)))
    return torch.stack(parts).mean()


def _moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(maps, (2, 3), correction=0)
    return (variance + 1e-8).sqrt(), mean  # a root's slope at 0 is infinite


def transfer(
    content: Tensor,
    style: Tensor,
    model: AdaINTransfer,
    network: ImageNetFeatures,
    *,
    strength: float = 1.0,
) -> Tensor:
    """The content's picture in the manner of the style, in one pass: (N, 3, H, W) in [-1, 1].

    Args:
        content: images (N, 3, H, W) in [-1, 1].
        style: one image (1, 3, any, any), or one for each of the content's.
        model, network: the decoder, and the frozen network it was trained with.
        strength: from 0, the content as the decoder draws it, to 1.

    TypeError or ValueError: other images, or a strength outside [0, 1].
    """
    content, style = (
        checks.images("content", content, "(N, 3, H, W)"),
        checks.images("style", style, "(N, 3, H, W)"),
    )
    if len(style) not in (1, len(content)):
        raise ValueError(
            f"style: expected one image or {len(content)}, one for each content, got {len(style)}"
        )
    if not 0 <= checks.real("strength", strength) <= 1:
        raise ValueError(f"strength: expected a number from 0 to 1, got {strength}")
    with torch.no_grad():
        of_content, of_style = (network.layers(x, *model.cfg.layers) for x in (content, style))
        return model(blended(of_content, of_style, strength), tuple(content.shape[2:])).cpu()


def blended(content: Maps, style: Maps, strength: float = 1.0) -> Mapping[str, Tensor]:
    """Maps of the content, for a share `strength` with the style's moments: their Eq. (14)."""
    return {name: torch.lerp(maps, restyled(maps, style[name]), strength) for name, maps in content.items()}
