"""What neural style transfer minimises (Gatys, Ecker & Bethge 2016), with its normalisations said.

Shapes: one image, feature maps (1, C, h, w) of a layer. Every loss is relative: 0 if equal, about 1 if nothing is
alike, whatever the layer's size and scale, so that weights mean the same for every network.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from course_lib import checks

Maps = Mapping[str, Tensor]  # layer -> feature maps (1, C, h, w)


def gram(maps: Tensor) -> Tensor:
    """Which channels are active together, anywhere: G = F Fᵀ / (h w) of maps (N, C, h, w), as (N, C, C).

    Divided by the number of places only, where Gatys et al. divide their loss by 4 C² h² w².
    """
    f = checks.tensor("maps", maps, "(N, C, H, W)").flatten(2)  # (N, C, hw)
    return f @ f.transpose(1, 2) / f.shape[2]


def content_loss(maps: Maps, target: Maps) -> Tensor:
    """‖F - F_c‖² / ‖F_c‖², averaged over the layers of `target`: (). The squared distance of Eq. (1), relative."""
    return torch.stack([_relative(maps[name], wanted) for name, wanted in target.items()]).mean()


def style_loss(maps: Maps, target: Maps, weights: Mapping[str, float] | None = None) -> Tensor:
    """‖G - G_s‖² / ‖G_s‖² of the Gram matrices of `maps`, averaged over layers: (). Eq. (4) and (5), relative.

    Args:
        maps: of the picture.
        target: layer -> Gram matrix (1, C, C) of the style.
        weights: of the layers, equal by default.
    """
    shares = weights or dict.fromkeys(target, 1.0)
    parts = (shares[name] * _relative(gram(maps[name]), wanted) for name, wanted in target.items())
    return torch.stack(list(parts)).sum() / sum(shares[name] for name in target)


def total_variation(x: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels of images (N, C, H, W), in both directions: ()."""
    return (x[..., 1:, :] - x[..., :-1, :]).square().mean() + (x[..., 1:] - x[..., :-1]).square().mean()


def _relative(value: Tensor, wanted: Tensor) -> Tensor:
    return (value - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)
