"""VQ-VAE: images -> a small grid of tokens -> images (van den Oord, Vinyals & Kavukcuoglu 2017)."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from course_lib import checks
from course_lib.vq.quantizer import VectorQuantizer


class VQTerms(NamedTuple):
    """The terms of the loss, scalars: squared error per image, and the quantiser's two per vector."""

    reconstruction: Tensor
    codebook: Tensor
    commitment: Tensor
    tokens: Tensor  # (N, H, W)
    images: Tensor  # (N, C, R, R), the reconstructions


@dataclass(frozen=True)
class VQVAEConfig:
    """Architecture of `VQVAE`."""

    resolution: int = 28  # divisible by 2 once per halving: the grid of tokens is a quarter of it, or less
    colours: int = 1
    channels: int = 64
    codes: int = 128  # K
    dimensions: int = 16  # d, of a code
    decay: float | None = 0.99  # None: learn the codes by the codebook loss
    halvings: int = 2  # of the resolution, between an image and its grid of tokens

    def __post_init__(self) -> None:
        step = 2 ** checks.whole("halvings", self.halvings, at_least=2)
        if checks.whole("resolution", self.resolution) % step:
            raise ValueError(f"resolution: expected a multiple of {step}, got {self.resolution}")


class VQVAE(nn.Module):
    """An autoencoder whose code is a grid of S x S tokens, each one of K; S = R/4, or less with more halvings."""

    def __init__(self, cfg: VQVAEConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or VQVAEConfig()
        c = cfg.channels
        widths = [cfg.colours, c // 2, *[c] * (cfg.halvings - 1)]
        down: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            down += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.ReLU()]  # (N, b, r/2, r/2)
        self.encoder = nn.Sequential(
            *down,
            nn.Conv2d(c, c, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c, cfg.dimensions, 1),  # (N, d, S, S)
        )
        self.quantizer = VectorQuantizer(cfg.codes, cfg.dimensions, decay=cfg.decay)
        up: list[nn.Module] = []
        for a, b in itertools.pairwise(reversed(widths)):
            up += [nn.ReLU(), nn.ConvTranspose2d(a, b, 4, stride=2, padding=1)]  # (N, b, 2r, 2r)
        self.decoder = nn.Sequential(nn.Conv2d(cfg.dimensions, c, 3, padding=1), *up)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the grid of tokens."""
        side = self.cfg.resolution // 2**self.cfg.halvings
        return side, side

    def terms(self, x: Tensor) -> VQTerms:
        """The loss's terms for images x (N, C, R, R) in [-1, 1], per image, summed over pixels and over the grid."""
        q = self.quantizer(self._encode(x))
        images = self._decode(q.quantized)
        error = (images - x).square().flatten(1).sum(1).mean()
        vectors = q.tokens[0].numel()
        return VQTerms(error, vectors * q.codebook, vectors * q.commitment, q.tokens, images)

    def encode(self, x: Tensor) -> Tensor:
        """Tokens (N, S, S) of images (N, C, R, R) in [-1, 1]."""
        return self.quantizer.nearest(self._encode(x))

    def decode(self, tokens: Tensor) -> Tensor:
        """Images (N, C, R, R) in [-1, 1] of tokens (N, S, S)."""
        checks.of_shape("tokens", tokens, f"(N, {self.grid[0]}, {self.grid[1]})")
        return self._decode(self.quantizer.lookup(tokens))

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructions (N, C, R, R) of images x; gradients pass straight through the quantiser, codes stay."""
        z_e = self._encode(x)
        z_q = self.quantizer.lookup(self.quantizer.nearest(z_e))
        return self._decode(z_e + (z_q - z_e).detach())

    def _encode(self, x: Tensor) -> Tensor:
        shape = (self.cfg.colours, self.cfg.resolution, self.cfg.resolution)
        return self.encoder(checks.image_shape(x, shape))

    def _decode(self, z_q: Tensor) -> Tensor:
        return self.decoder(z_q).tanh()
