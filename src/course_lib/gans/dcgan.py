"""Generators and discriminators after Radford et al. 2016 (DCGAN), for any resolution, with classes if wanted.

A generator turns codes z ~ N(0, I) into images: a dense layer makes small feature maps, and each transposed
convolution doubles the resolution. A discriminator is its mirror image and ends in one *logit* per image; the same
network without batch normalisation is a critic (Gulrajani et al. 2017). With classes, the generator reads the class
beside z, and the discriminator adds the inner product of a class vector with its features (Miyato & Koyama 2018).

Simplified: kernels of 4 everywhere, so that every pixel is covered equally often; no more than `GANConfig.widest`
channels, so that both networks are a megabyte or two.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import checks
from course_lib.draws import rows
from course_lib.evaluation import evaluating
from course_lib.precision import course_defaults

LEAK = 0.2  # slope of the discriminator's leaky ReLUs for negative numbers (Radford et al. 2016)
CORE = 7  # resolutions are halved until at most this is left


class Halved:
    """What configs have in common whose networks halve images down to a small core."""

    resolution: int
    colours: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, R, R)."""
        return self.colours, self.resolution, self.resolution

    @property
    def core(self) -> int:
        """Resolution of the smallest feature maps."""
        return core_of(self.resolution)[0]


@dataclass(frozen=True)
class GANConfig(Halved):
    """Architecture of `GAN`: its generator and its discriminator."""

    resolution: int = 28  # rows and columns of an image: 4 to 7, doubled at least once
    colours: int = 1
    latent: int = 64  # k, length of z
    width: int = 32  # channels at half the resolution; twice as many at a quarter, and so on
    widest: int = 128  # but never more than this
    classes: int = 0  # 0: unconditional
    refine: int = 0  # further 3 x 3 convolutions at the smallest feature maps, in both networks
    normalise: bool = True  # batch normalisation in the discriminator; False for a critic

    def __post_init__(self) -> None:
        core_of(self.resolution)
        for name in ("colours", "latent", "width", "widest"):
            checks.whole(name, getattr(self, name))
        for name in ("classes", "refine"):
            checks.whole(name, getattr(self, name), at_least=0)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the feature maps, from half the resolution down to the smallest."""
        return tuple(min(self.widest, self.width * 2**i) for i in range(core_of(self.resolution)[1]))


class Generator(nn.Module):
    """Codes (N, k), and labels (N,) if there are classes -> images (N, C, R, R) in [-1, 1]."""

    def __init__(self, cfg: GANConfig) -> None:
        super().__init__()
        self.cfg = cfg
        widths = tuple(reversed(cfg.channels))
        layers: list[nn.Module] = [
            nn.Linear(cfg.latent + cfg.classes, widths[0] * cfg.core**2, bias=False),
            _Maps(widths[0], cfg.core),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        for _ in range(cfg.refine):
            layers += [
                nn.Conv2d(widths[0], widths[0], 3, 1, 1, bias=False),
                nn.BatchNorm2d(widths[0]),
                nn.ReLU(),
            ]
        for a, b in itertools.pairwise(widths):  # (N, b, 2r, 2r)
            layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        # no batch normalisation after the last layer (Radford et al. 2016): mean and spread of the pixels must be free
        layers += [nn.ConvTranspose2d(widths[-1], cfg.colours, 4, 2, 1), nn.Tanh()]
        self.net = nn.Sequential(*layers)
        self.apply(_start)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Images (N, C, R, R) of codes z (N, k) and, if there are classes, labels y (N,).

        Raises:
            ValueError: codes of another length, labels where there are no classes or the other way round, or not one
                int64 label per code.
        """
        if z.dim() != 2 or z.shape[1] != self.cfg.latent:
            raise ValueError(f"z: expected codes of shape (N, {self.cfg.latent}), got {tuple(z.shape)}")
        if _has_labels(y, z.shape[0], self.cfg.classes):
            z = torch.cat([z, F.one_hot(y, self.cfg.classes).to(z.dtype)], 1)
        return self.net(z)


class Discriminator(nn.Module):
    """Images (N, C, R, R), and labels (N,) if there are classes -> one logit each, (N,); positive means real."""

    def __init__(self, cfg: GANConfig) -> None:
        super().__init__()
        self.cfg = cfg
        # none after the first layer either (Radford et al. 2016): it would hide the mean and spread of the pixels
        layers: list[nn.Module] = [nn.Conv2d(cfg.colours, cfg.channels[0], 4, 2, 1), nn.LeakyReLU(LEAK)]
        shapes = [(a, b, 4, 2) for a, b in itertools.pairwise(cfg.channels)]  # (N, b, r/2, r/2)
        shapes += [(cfg.channels[-1], cfg.channels[-1], 3, 1)] * cfg.refine
        for a, b, kernel, stride in shapes:
            layers.append(nn.Conv2d(a, b, kernel, stride, 1, bias=not cfg.normalise))
            layers += [nn.BatchNorm2d(b)] if cfg.normalise else []
            layers.append(nn.LeakyReLU(LEAK))
        self.features = nn.Sequential(*layers, _Flatten())
        size = cfg.channels[-1] * cfg.core**2
        self.logit = nn.Linear(size, 1)
        self.classes = nn.Embedding(cfg.classes, size) if cfg.classes else None
        if cfg.normalise:  # which makes up for small weights; a critic starts as PyTorch's layers do
            self.apply(_start)
        elif cfg.classes:  # nn.Embedding's own N(0, 1) would drown the logit of the image
            nn.init.normal_(self.classes.weight, 0.0, 0.02)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits (N,) of images x (N, C, R, R) and, if there are classes, labels y (N,).

        Raises:
            ValueError: images of another shape, labels where there are no classes or the other way round, or not one
                int64 label per image.
        """
        if x.dim() != 4 or tuple(x.shape[1:]) != self.cfg.image_shape:
            c, r, _ = self.cfg.image_shape
            raise ValueError(f"x: expected images of shape (N, {c}, {r}, {r}), got {tuple(x.shape)}")
        h = self.features(x)  # (N, size)
        logits = self.logit(h).squeeze(1)  # (N,)
        if _has_labels(y, len(x), self.cfg.classes):
            logits = logits + (h * self.classes(y)).sum(1)  # Eq. (3), Miyato & Koyama 2018
        return logits


class GAN(nn.Module):
    """A generator `G` and a discriminator or critic `D`, side by side."""

    def __init__(self, cfg: GANConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or GANConfig()
        self.G, self.D = Generator(cfg), Discriminator(cfg)

    @course_defaults()
    def codes(self, n: int, generator: torch.Generator) -> Tensor:
        """`n` codes z ~ N(0, I), (n, k), on the device and in the precision of the weights.

        Raises:
            TypeError, ValueError: n is no integer of at least 1, or no generator.
        """
        checks.generator("generator", generator)
        z = rows(torch.randn, checks.whole("n", n), self.cfg.latent, generator=generator)
        return z.to(next(self.parameters()))

    @course_defaults()
    def sample(
        self, n: int, generator: torch.Generator, y: Tensor | None = None, *, batch: int = 250
    ) -> Tensor:
        """Images (n, C, R, R) in [-1, 1] of codes from the prior, and of classes y (n,) if there are any; no gradients.

        Always in eval mode: in training mode batch normalisation would make each image depend on its neighbours.

        Raises:
            TypeError, ValueError: n or batch is no integer of at least 1, or labels that do not fit.
        """
        z = self.codes(n, generator)
        if y is not None and self.cfg.classes:
            y = checks.labels("y", y, n, self.cfg.classes).to(z.device)
        inputs = [part.split(checks.whole("batch", batch)) for part in ([z] if y is None else [z, y])]
        with evaluating(self.G):
            return torch.cat([self.G(*part) for part in zip(*inputs, strict=True)])


class _Maps(nn.Unflatten):
    """Rows of numbers as square feature maps, (N, C r²) -> (N, C, r, r), in the order in memory that is fastest."""

    def __init__(self, channels: int, core: int) -> None:
        super().__init__(1, (channels, core, core))

    def forward(self, x: Tensor) -> Tensor:
        maps = super().forward(x)
        if torch.compiler.is_compiling():  # which finds the order itself
            return maps
        return maps.contiguous(memory_format=torch.channels_last)


class _Flatten(nn.Flatten):
    """The way back; the gradient is put into that order too, or the layers before would go through two at once."""

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad and not torch.compiler.is_compiling():
            x.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
        return super().forward(x)


def core_of(resolution: int) -> tuple[int, int]:
    """What is left of `resolution` when it is halved while it is above `CORE`, and how often it was halved.

    Raises:
        TypeError, ValueError: no integer that is 4, 5, 6 or 7 doubled at least once.
    """
    core, halvings = checks.whole("resolution", resolution), 0
    while core > CORE and core % 2 == 0:
        core, halvings = core // 2, halvings + 1
    if not 4 <= core <= CORE or not halvings:
        wanted = "4, 5, 6 or 7 doubled at least once, such as 28, 32 or 64"
        raise ValueError(f"resolution: expected {wanted}, got {resolution}")
    return core, halvings


def _has_labels(y: Tensor | None, n: int, classes: int) -> bool:
    """Whether there are labels; their range is looked at on the CPU only, because elsewhere that would wait."""
    if (y is None) == bool(classes):
        wanted = f"labels from 0 to {classes - 1}, because the model has classes" if classes else "None"
        raise ValueError(f"y: expected {wanted}, got {'None' if y is None else 'labels'}")
    # one label for all, or a column of them, would be broadcast without a word
    if y is not None and (y.shape != (n,) or y.dtype != torch.int64):
        raise ValueError(f"y: expected {n} labels of torch.int64, got shape {tuple(y.shape)} of {y.dtype}")
    if y is not None and y.device.type == "cpu" and not torch.compiler.is_compiling():
        checks.labels("y", y, n, classes)
    return y is not None


def _start(module: nn.Module) -> None:
    """Weights from N(0, 0.02²) (Radford et al. 2016); scales of the normalisation from N(1, 0.02²) (their code)."""
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    elif isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)):
        nn.init.normal_(module.weight, 0.0, 0.02)
