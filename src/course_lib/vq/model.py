"""VQ-VAE: images -> a small grid of tokens -> images (van den Oord, Vinyals & Kavukcuoglu 2017)."""

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


@dataclass(frozen=True)
class VQVAEConfig:
    """Architecture of `VQVAE`."""

    resolution: int = 28  # divisible by 4: the grid of tokens is a quarter of it
    colours: int = 1
    channels: int = 64
    codes: int = 128  # K
    dimensions: int = 16  # d, of a code
    decay: float | None = 0.99  # None: learn the codes by the codebook loss

    def __post_init__(self) -> None:
        if checks.whole("resolution", self.resolution) % 4:
            raise ValueError(f"resolution: expected a multiple of 4, got {self.resolution}")


class VQVAE(nn.Module):
    """An autoencoder whose code is a grid of R/4 x R/4 tokens, each one of K."""

    def __init__(self, cfg: VQVAEConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or VQVAEConfig()
        c = cfg.channels
        self.encoder = nn.Sequential(
            nn.Conv2d(cfg.colours, c // 2, 4, stride=2, padding=1),  # (N, c/2, R/2, R/2)
            nn.ReLU(),
            nn.Conv2d(c // 2, c, 4, stride=2, padding=1),  # (N, c, R/4, R/4)
            nn.ReLU(),
            nn.Conv2d(c, c, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c, cfg.dimensions, 1),  # (N, d, R/4, R/4)
        )
        self.quantizer = VectorQuantizer(cfg.codes, cfg.dimensions, decay=cfg.decay)
        self.decoder = nn.Sequential(
            nn.Conv2d(cfg.dimensions, c, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(c, c // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(c // 2, cfg.colours, 4, stride=2, padding=1),
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the grid of tokens."""
        return self.cfg.resolution // 4, self.cfg.resolution // 4

    def terms(self, x: Tensor) -> VQTerms:
        """The loss's terms for images x (N, C, R, R) in [-1, 1], per image, summed over pixels and over the grid."""
        q = self.quantizer(self._encode(x))
        error = (self._decode(q.quantized) - x).square().flatten(1).sum(1).mean()
        vectors = q.tokens[0].numel()
        return VQTerms(error, vectors * q.codebook, vectors * q.commitment, q.tokens)

    def encode(self, x: Tensor) -> Tensor:
        """Tokens (N, R/4, R/4) of images (N, C, R, R) in [-1, 1]."""
        return self.quantizer.nearest(self._encode(x))

    def decode(self, tokens: Tensor) -> Tensor:
        """Images (N, C, R, R) in [-1, 1] of tokens (N, R/4, R/4)."""
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
