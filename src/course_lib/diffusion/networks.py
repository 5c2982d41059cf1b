"""The networks of chapter 17: (x_t, t, y) -> what is predicted, of x_t's shape; for points, and for small pictures."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class PointNetConfig:
    """Architecture of `PointNet`."""

    dimensions: int = 2
    width: int = 128
    depth: int = 3
    classes: int = 0  # 0: no labels

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one point."""
        return (self.dimensions,)


class PointNet(nn.Module):
    """A multilayer perceptron of points (N, D), times (N,) and labels (N,)."""

    def __init__(self, cfg: PointNetConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.condition = Condition(cfg.classes, cfg.width)
        sizes = (cfg.dimensions + cfg.width, *[cfg.width] * cfg.depth)
        layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(cfg.width, cfg.dimensions))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, D), of points x (N, D)."""
        return self.layers(torch.cat([x, self.condition(t, y)], 1))


class Condition(nn.Module):
    """Times (N,) from 0 to 1, and labels (N,) if there are classes, as vectors (N, width).

    Class number `classes` means no label: a vector of its own, learnt from the pictures whose label was left out.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer(
            "frequencies", 2 * math.pi * torch.logspace(-1, 1.5, width // 4), persistent=False
        )
        self.dense = nn.Sequential(nn.Linear(2 * (width // 4), width), nn.SiLU(), nn.Linear(width, width))
        self.labels = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, t: Tensor, y: Tensor | None) -> Tensor:
        """Vectors (N, width)."""
        angle = t[:, None] * self.frequencies
        h = self.dense(torch.cat([angle.sin(), angle.cos()], 1).to(self.dense[0].weight))
        if self.labels is None:
            return h
        return h + self.labels(torch.full_like(t, self.classes, dtype=torch.int64) if y is None else y)


@dataclass(frozen=True)
class UNetConfig:
    """Architecture of `UNet`."""

    resolution: int = 28
    colours: int = 1
    widths: tuple[int, ...] = (48, 96)  # channels at each size of the feature maps, the largest first
    blocks: int = 2  # residual blocks at each size, on either side
    patch: int = 2  # the first layer reads patches of so many pixels squared
    classes: int = 0  # 0: no labels

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        smallest = self.patch * 2 ** (len(self.widths) - 1)
        if self.resolution % smallest:
            raise ValueError(f"resolution: expected a multiple of {smallest}, got {self.resolution}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture."""
        return self.colours, self.resolution, self.resolution


class UNet(nn.Module):
    """Down to small feature maps and up again, with shortcuts between maps of one size (Ronneberger et al. 2015).

    As Ho et al. 2020, with group normalisation, and residual blocks that hear time and label; without attention.
    """

    def __init__(self, cfg: UNetConfig) -> None:
        super().__init__()
        self.cfg = cfg
        widths, k = cfg.widths, 4 * cfg.widths[0]
        self.condition = Condition(cfg.classes, k)
        self.enter = nn.Conv2d(cfg.colours * cfg.patch**2, widths[0], 3, padding=1)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for i, width in enumerate(widths):
            self.down.append(nn.ModuleList(Block(width, width, k) for _ in range(cfg.blocks)))
            self.up.append(nn.ModuleList(Block(2 * width, width, k) for _ in range(cfg.blocks)))
            if i + 1 < len(widths):
                self.shrink.append(nn.Conv2d(width, widths[i + 1], 3, stride=2, padding=1))
                self.grow.append(nn.Conv2d(widths[i + 1], width, 3, padding=1))
        self.middle = Block(widths[-1], widths[-1], k)
        self.leave = nn.Sequential(
            nn.GroupNorm(8, widths[0]),
            nn.SiLU(),
            nn.Conv2d(widths[0], cfg.colours * cfg.patch**2, 3, padding=1),
        )
        nn.init.zeros_(self.leave[-1].weight)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, C, R, R), of pictures x (N, C, R, R)."""
        c = self.condition(t, y)
        h = self.enter(F.pixel_unshuffle(x, self.cfg.patch))
        kept = []
        for i, blocks in enumerate(self.down):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, c)
                kept.append(h)
            h = self.shrink[i](h) if i < len(self.shrink) else self.middle(h, c)
        for i, blocks in reversed(list(enumerate(self.up))):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(torch.cat([h, kept.pop()], 1), c)
            if i:
                h = self.grow[i - 1](F.interpolate(h, scale_factor=2))
        return F.pixel_shuffle(self.leave(h), self.cfg.patch)


class Block(nn.Module):
    """x + f(x, c): two convolutions; time and label scale and shift the maps between them, channel by channel."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.hear = nn.Linear(condition, 2 * outputs)
        self.norm2, self.conv2 = nn.GroupNorm(8, outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)  # so that a block begins as its shortcut

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """(N, outputs, R, R), of maps x (N, inputs, R, R) and conditions c (N, condition)."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.hear(F.silu(c))[:, :, None, None].chunk(2, 1)
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))
