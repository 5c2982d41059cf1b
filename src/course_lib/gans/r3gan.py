"""R3GAN after Huang et al. 2024 ("The GAN is dead; long live the GAN! A modern GAN baseline"): the plainest networks.

Its loss is `losses.relativistic` with the penalties `losses.r1` and `losses.r2`. With these a GAN no longer needs the
tricks of StyleGAN: both networks are residual networks of one block, 1 x 1, grouped 3 x 3, 1 x 1, without
normalisation, mapping network, noise, style, or equalised learning rate. What keeps them from exploding at the start
is the initialisation of Zhang et al. 2019 ("Fixup").

Simplified, so that a CPU can train it: `R3GANConfig` has a few channels instead of 768, and no block works at the full
resolution, because the first layer of the discriminator and the last of the generator read and write patches of 2 x 2
pixels (``patch=1`` is the paper's). The generator ends in a tanh, as the course's images are in [-1, 1].
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import checks
from course_lib.gans.dcgan import GAN, LEAK, Halved, core_of


@dataclass(frozen=True)
class R3GANConfig(Halved):
    """Architecture of `R3GAN`: its generator and its discriminator."""

    resolution: int = 28  # rows and columns of an image: 4 to 7, doubled at least once
    colours: int = 1
    latent: int = 64  # k, length of z
    width: int = 32  # channels at the largest feature maps; twice as many at half their resolution, and so on
    widest: int = 128  # but never more than this
    patch: int = 2  # 2: the largest feature maps have half the image's resolution; 1: all of it
    blocks: int = 1  # residual blocks per resolution
    expansion: int = 2  # how many times wider a block is inside
    group: int = 16  # channels that a 3 x 3 convolution sees together; 0: all

    def __post_init__(self) -> None:
        core_of(self.resolution)
        for name in ("colours", "latent", "width", "widest", "blocks", "expansion"):
            checks.whole(name, getattr(self, name))
        checks.whole("group", self.group, at_least=0)
        checks.whole("patch", self.patch, at_most=2)
        for width in self.channels:
            if self.group and (self.expansion * width) % self.group:
                inside = f"{self.expansion} * {width} channels of a block"
                raise ValueError(f"group: expected a divisor of the {inside}, or 0, got {self.group}")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the feature maps, from the largest down to the smallest."""
        sizes = core_of(self.resolution)[1] + 2 - self.patch
        return tuple(min(self.widest, self.width * 2**i) for i in range(sizes))

    @property
    def depth(self) -> int:
        """Residual blocks of one network, L in Fixup."""
        return self.blocks * len(self.channels)


class Block(nn.Module):
    """x + f(x), f a 1 x 1 convolution that widens, a grouped 3 x 3 one, and a 1 x 1 one that starts at zero.

    Fixup (Zhang et al. 2019): with L blocks of m = 3 layers each, all but the last layer are scaled by L^(-1/(2m - 2)),
    so that a step of the optimizer changes what the network gives by an amount that does not grow with L.
    """

    def __init__(self, channels: int, cfg: R3GANConfig) -> None:
        super().__init__()
        inside = cfg.expansion * channels
        self.widen = nn.Conv2d(channels, inside, 1)
        self.mix = nn.Conv2d(inside, inside, 3, padding=1, groups=inside // cfg.group if cfg.group else 1)
        self.narrow = nn.Conv2d(inside, channels, 1, bias=False)
        self.leak = nn.LeakyReLU(LEAK)
        for layer in (self.widen, self.mix):
            _start(layer, cfg.depth ** (-1 / 4))
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (N, C, h, w) -> (N, C, h, w)."""
        return x + self.narrow(self.leak(self.mix(self.leak(self.widen(x)))))


class Up(nn.Module):
    """Feature maps of twice the resolution, between the pixels bilinearly: (N, C, h, w) -> (N, C, 2h, 2w)."""

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps of twice the resolution."""
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Generator(nn.Module):
    """Codes (N, k) -> images (N, C, R, R) in [-1, 1]."""

    def __init__(self, cfg: R3GANConfig) -> None:
        super().__init__()
        self.cfg = cfg
        widths = tuple(reversed(cfg.channels))
        self.linear = nn.Linear(cfg.latent, widths[0], bias=False)
        self.basis = nn.Parameter(
            torch.randn(1, widths[0], cfg.core, cfg.core)
        )  # what z weighs, channel by channel
        layers: list[nn.Module] = [Block(widths[0], cfg) for _ in range(cfg.blocks)]
        for a, b in itertools.pairwise(widths):
            layers += [nn.Conv2d(a, b, 1, bias=False)] if a != b else []  # first, while there are few pixels
            layers += [Up(), *(Block(b, cfg) for _ in range(cfg.blocks))]  # (N, b, 2r, 2r)
        write = nn.ConvTranspose2d(widths[-1], cfg.colours, cfg.patch, stride=cfg.patch)
        self.net = nn.Sequential(*layers, write, nn.Tanh())
        for layer in (self.linear, *self.net):
            _start(layer)

    def forward(self, z: Tensor) -> Tensor:
        """Images (N, C, R, R) of codes z (N, k); ValueError for codes of another length."""
        checks.of_shape("z", z, f"(N, {self.cfg.latent})", "codes of shape")
        return self.net(self.basis * self.linear(z)[:, :, None, None])  # (N, c, r, r), then (N, C, R, R)


class Discriminator(nn.Module):
    """Images (N, C, R, R) -> one logit each, (N,): the generator's mirror image."""

    def __init__(self, cfg: R3GANConfig) -> None:
        super().__init__()
        self.cfg = cfg
        widths = cfg.channels
        layers: list[nn.Module] = [nn.Conv2d(cfg.colours, widths[0], cfg.patch, stride=cfg.patch)]
        layers += [Block(widths[0], cfg) for _ in range(cfg.blocks)]
        for a, b in itertools.pairwise(widths):
            layers.append(
                nn.AvgPool2d(2)
            )  # which is what bilinear interpolation makes of half the resolution
            layers += [nn.Conv2d(a, b, 1, bias=False)] if a != b else []
            layers += [Block(b, cfg) for _ in range(cfg.blocks)]  # (N, b, r/2, r/2)
        layers.append(
            nn.Conv2d(widths[-1], widths[-1], cfg.core, groups=widths[-1], bias=False)
        )  # (N, c, 1, 1)
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1], 1, bias=False))
        for layer in self.net:
            _start(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N,) of images x (N, C, R, R); ValueError for images of another shape."""
        return self.net(checks.image_shape(x, self.cfg.image_shape)).squeeze(1)


class R3GAN(GAN):
    """A generator `G` and a discriminator `D`, side by side, with the `codes` and `sample` of `GAN`; no classes."""

    def __init__(self, cfg: R3GANConfig | None = None) -> None:
        nn.Module.__init__(self)
        self.cfg = cfg = cfg or R3GANConfig()
        self.G, self.D = Generator(cfg), Discriminator(cfg)


def _start(layer: nn.Module, gain: float = 1.0) -> None:
    """Weights from N(0, gain² / inputs), biases zero; blocks, which start themselves, are left alone."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        transposed = isinstance(
            layer, nn.ConvTranspose2d
        )  # in steps of its kernel: every pixel has one patch
        inputs = layer.in_channels if transposed else layer.weight[0].numel()
        nn.init.normal_(layer.weight, 0.0, gain / inputs**0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
