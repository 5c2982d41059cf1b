"""Deep autoencoders (chapter 4): x -> z = f(x) -> x̂ = g(z), with nonlinear f and g (Hinton & Salakhutdinov 2006).

Shapes: N images, C colours, R rows and as many columns, k latent numbers. Another shape or a value out of range raises
TypeError or ValueError.
"""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.draws import rows


@dataclass(frozen=True)
class Layout:
    """What an `Encoder` and its mirror image, a `Decoder`, are made of; ``channels=()``: multilayer perceptrons."""

    resolution: int = 28  # rows and columns of an image, divisible by 2 once per convolution
    colours: int = 1
    channels: tuple[int, ...] = (16, 32)  # of the convolutions; each halves the resolution
    hidden: tuple[int, ...] = (128, 128)  # widths of the dense layers between the convolutions and the code
    normalise: bool = False  # batch normalisation in front of the ReLUs of the dense layers

    def __post_init__(self) -> None:
        # A card's JSON has lists; a frozen dataclass with lists in it would not be hashable.
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "hidden", tuple(self.hidden))
        checks.whole("resolution", self.resolution)
        checks.whole("colours", self.colours)
        if self.resolution % 2 ** len(self.channels):
            raise ValueError(
                f"resolution: expected a multiple of {2 ** len(self.channels)}, because each of the "
                f"{len(self.channels)} convolutions halves it, got {self.resolution}"
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, R, R)."""
        return self.colours, self.resolution, self.resolution

    @property
    def core_shape(self) -> tuple[int, int, int]:
        """Shape of what lies between the convolutions and the dense layers."""
        side = self.resolution // 2 ** len(self.channels)
        return (self.channels[-1] if self.channels else self.colours), side, side


class Encoder(nn.Module):
    """Images (N, C, R, R) -> `outputs` numbers each (N, outputs), through strided convolutions, then dense layers."""

    def __init__(self, layout: Layout, outputs: int) -> None:
        super().__init__()
        self.layout = layout
        checks.whole("outputs", outputs)
        layers: list[nn.Module] = []
        for a, b in zip((layout.colours, *layout.channels), layout.channels, strict=False):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.ReLU()]  # (N, b, R/2, R/2)
        layers.append(nn.Flatten())
        widths = (math.prod(layout.core_shape), *layout.hidden)
        for a, b in zip(widths, layout.hidden, strict=False):
            layers += dense(a, b, layout.normalise)
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, outputs) of images (N, C, R, R)."""
        return self.net(checks.image_shape(x, self.layout.image_shape))


class Decoder(nn.Module):
    """Codes (N, k) -> images (N, C, R, R) of unbounded values: dense layers, then transposed convolutions."""

    def __init__(self, layout: Layout, latent: int) -> None:
        super().__init__()
        self.layout, self.latent = layout, checks.whole("latent", latent)
        widths = (latent, *reversed(layout.hidden))
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += dense(a, b, layout.normalise)
        layers += [nn.Linear(widths[-1], math.prod(layout.core_shape)), nn.Unflatten(1, layout.core_shape)]
        channels = (*reversed(layout.channels), layout.colours)
        for a, b in zip(channels, channels[1:] if layout.channels else (), strict=False):
            # a kernel of 4 with stride 2: every output pixel is covered equally often, so no checkerboards
            layers += [nn.ReLU(), nn.ConvTranspose2d(a, b, 4, stride=2, padding=1)]
        self.net = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """(N, C, R, R) of codes (N, k)."""
        return self.net(checks.of_shape("z", z, f"(N, {self.latent})", "codes of shape"))


def dense(inputs: int, outputs: int, normalise: bool = False) -> list[nn.Module]:
    """A dense layer with its ReLU, and with batch normalisation between them if `normalise`."""
    linear = nn.Linear(inputs, outputs, bias=not normalise)  # the norm has a bias of its own
    return [linear, nn.BatchNorm1d(outputs), nn.ReLU()] if normalise else [linear, nn.ReLU()]


@dataclass(frozen=True)
class AutoencoderConfig(Layout):
    """Architecture of `Autoencoder`."""

    latent: int = 8
    sparse: bool = False  # codes through a sigmoid, in (0, 1): activities, as the sparse kind needs them


class Autoencoder(nn.Module):
    """x -> z -> x̂ with x̂ in [-1, 1] (a tanh ends the decoder)."""

    def __init__(self, cfg: AutoencoderConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or AutoencoderConfig()
        self.encoder, self.decoder = Encoder(cfg, cfg.latent), Decoder(cfg, cfg.latent)

    def encode(self, x: Tensor) -> Tensor:
        """Codes (N, k) of images (N, C, R, R) in [-1, 1]."""
        z = self.encoder(x)
        return z.sigmoid() if self.cfg.sparse else z

    def decode(self, z: Tensor) -> Tensor:
        """Images (N, C, R, R) in [-1, 1] of codes (N, k)."""
        return self.decoder(z).tanh()

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructions of images (N, C, R, R)."""
        return self.decode(self.encode(x))


def sparsity_kl(activity: Tensor, target: float = 0.05) -> Tensor:
    """Σ_j KL(Bernoulli(ρ) ‖ Bernoulli(ρ̂_j)), in nats: () of activities (N, k) in (0, 1), means ρ̂; ρ = `target`."""
    checks.tensor("activity", activity, "(N, k)")
    low, high = (float(value) for value in activity.detach().aminmax())
    if low < 0 or high > 1:
        advice = "pass them through a sigmoid first (AutoencoderConfig(sparse=True))"
        raise ValueError(f"activity: expected values in [0, 1], got {low:.3g} to {high:.3g}; {advice}")
    if not 0 < target < 1:
        raise ValueError(f"target: expected a share between 0 and 1, got {target}")
    mean = activity.mean(0).clamp(1e-6, 1 - 1e-6)  # (k,)
    return (target * (target / mean).log() + (1 - target) * ((1 - target) / (1 - mean)).log()).sum()


def corrupt(x: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """x + σ ε with ε ~ N(0, I), not clipped (Vincent et al. 2008). Shape of x, on its device."""
    sigma = checks.real("sigma", sigma)
    noise = rows(torch.randn, *x.shape, generator=generator)
    return x + sigma * noise.to(x.device, x.dtype)
