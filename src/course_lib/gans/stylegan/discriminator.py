"""The discriminator of StyleGAN and StyleGAN2: the generator mirrored, without styles (Karras et al. 2018-2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from course_lib.gans.stylegan.config import CORE, StyleGANConfig
from course_lib.gans.stylegan.generator import unpacked
from course_lib.gans.stylegan.layers import Conv, Linear, MinibatchDeviation, activated, downsampled


class Halving(nn.Module):
    """Feature maps (N, a, 2R, 2R) -> (N, b, R, R): two convolutions, and a shortcut around them if `residual`."""

    def __init__(self, a: int, b: int, *, residual: bool) -> None:
        super().__init__()
        self.first, self.second = Conv(a, a), Conv(a, b)
        self.shortcut = Conv(a, b, 1, bias=False) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, a, 2R, 2R) -> (N, b, R, R)."""
        y = activated(self.second(downsampled(activated(self.first(x)))))
        if self.shortcut is None:
            return y
        return (y + self.shortcut(downsampled(x))) / math.sqrt(2)  # a sum of two has twice the variance


class StyleDiscriminator(nn.Module):
    """Images (N, C, R, R) of the present resolution -> one logit each, (N,)."""

    grows = True  # not all layers are always at work

    def __init__(self, cfg: StyleGANConfig) -> None:
        super().__init__()
        self.cfg, self.resolution, self.alpha = cfg, cfg.resolution, 1.0
        channels, sizes = cfg.channels, cfg.resolutions
        self.colours = nn.ModuleList(Conv(cfg.colours, channels[r], 1) for r in sizes)
        pairs = zip(sizes[1:], sizes, strict=False)  # (8, 4), (16, 8), …
        self.blocks = nn.ModuleList(
            Halving(channels[a], channels[b], residual=cfg.residual) for a, b in pairs
        )
        c = channels[CORE]
        self.deviation, self.conv = MinibatchDeviation(), Conv(c + 1, c)
        self.dense, self.logit = Linear(c * CORE**2, c), Linear(c, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N,) of images (N, C, R, R), or of those of all resolutions, packed, with ``outputs="pyramid"``.

        Raises:
            ValueError: images of another shape.
        """
        sizes = [r for r in self.cfg.resolutions if r <= self.resolution]
        scales = None
        if self.cfg.outputs == "pyramid":
            scales = unpacked(x, sizes)
            x = scales[-1]
        if tuple(x.shape[1:]) != (self.cfg.colours, self.resolution, self.resolution):
            wanted = f"(N, {self.cfg.colours}, {self.resolution}, {self.resolution})"
            raise ValueError(f"x: expected images of shape {wanted}, got {tuple(x.shape)}")
        h = activated(self.colours[len(sizes) - 1](x))
        for number in reversed(range(len(sizes) - 1)):
            h = self.blocks[number](h)
            if number == len(sizes) - 2 and self.alpha < 1:
                h = torch.lerp(activated(self.colours[number](downsampled(x))), h, self.alpha)
            if scales is not None:
                h = (h + activated(self.colours[number](scales[number]))) / math.sqrt(2)
        h = activated(self.conv(self.deviation(h)))
        return self.logit(activated(self.dense(h.flatten(1)))).squeeze(1)
