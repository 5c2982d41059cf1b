"""GANs of points on the line and in the plane (chapter 8): a point is a few numbers, so both networks are small."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.evaluation import evaluating
from course_lib.gans.dcgan import GAN, LEAK


@dataclass(frozen=True)
class PointGANConfig:
    """Architecture of `PointGAN`."""

    dimensions: int = 2  # numbers per point
    latent: int = 2  # k, length of z
    width: int = 128  # units per hidden layer
    depth: int = 2  # hidden layers, of both networks
    scale: float = 1.0  # the size of the data: inside the networks, points are divided by it

    def __post_init__(self) -> None:
        for name in ("dimensions", "latent", "width", "depth"):
            checks.whole(name, getattr(self, name))
        checks.real("scale", self.scale, positive=True)


class PointGAN(nn.Module):
    """A generator `G`, codes (N, k) -> points (N, D), and a discriminator `D`, points -> logits (N,)."""

    def __init__(self, cfg: PointGANConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or PointGANConfig()
        self.G = nn.Sequential(*_layers(cfg, cfg.latent, cfg.dimensions, nn.ReLU), _Times(cfg.scale))
        layers = _layers(cfg, cfg.dimensions, 1, lambda: nn.LeakyReLU(LEAK))
        self.D = nn.Sequential(_Times(1 / cfg.scale), *layers, nn.Flatten(0))

    codes = GAN.codes  # z ~ N(0, I) of length k, whatever G makes of it

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Points (n, D) of codes from the prior; no gradients. TypeError or ValueError: n below 1, or no generator."""
        with evaluating(self):
            return self.G(self.codes(n, generator))


class _Times(nn.Module):
    """Multiplies by a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def _layers(cfg: PointGANConfig, inputs: int, outputs: int, relu: Callable[[], nn.Module]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise((inputs, *[cfg.width] * cfg.depth)):
        layers += [nn.Linear(a, b), relu()]
    return [*layers, nn.Linear(cfg.width, outputs)]
