"""The face swap behind "deepfakes" (chapter 12): one encoder for two people, and a decoder for each of them.

Both people's pictures go through the same encoder, so what it says must serve either decoder: expression and pose. Who
it is the decoder knows by itself. A swap encodes a picture of one and decodes it as the other. No pairs are needed.

A forum user's trick of 2017, described and compared by Perov et al. 2020 (DeepFaceLab) and in the survey of Mirsky &
Lee 2021.

Simplified: one bottleneck in the encoder, faces that need no finding, no masks, no blending back into a film. Added:
each person's codes are normalised by themselves, mean 0 and variance 1 in each number; else who it is stays in them, as
a shift that the other one's decoder never met. And an `Informer` reads the codes, whom the encoder has to mislead, by
`reversed_gradient` (Ganin et al. 2016): what is left of who it is goes too.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import checks
from course_lib.autoencoders.deep import Decoder, Encoder, Layout
from course_lib.draws import rows
from course_lib.precision import course_defaults

GRID = 5  # points each way of a warp, as in the original program


@dataclass(frozen=True)
class TwoDecodersConfig(Layout):
    """Architecture of `TwoDecoders`."""

    resolution: int = 64
    colours: int = 3
    channels: tuple[int, ...] = (16, 32, 64, 64)
    hidden: tuple[int, ...] = (128,)
    normalise: bool = True  # in the encoder alone: a decoder meets the other one's codes too
    latent: int = 64  # k: narrow, so that there is no room for who it is
    people: tuple[str, ...] = ("ann", "bob")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "people", tuple(self.people))
        if len(set(self.people)) < 2 or len(set(self.people)) < len(self.people):
            raise ValueError(f"people: expected two or more different names, got {self.people}")


class TwoDecoders(nn.Module):
    """x -> z by one encoder, z -> x̂ in [-1, 1] by the decoder of one of ``cfg.people``."""

    def __init__(self, cfg: TwoDecodersConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or TwoDecodersConfig()
        self.encoder = Encoder(cfg, cfg.latent)
        self.norms = nn.ModuleDict({name: nn.BatchNorm1d(cfg.latent, affine=False) for name in cfg.people})
        plain = dataclasses.replace(cfg, normalise=False)
        self.decoders = nn.ModuleDict({name: Decoder(plain, cfg.latent) for name in cfg.people})

    def encode(self, x: Tensor, who: str) -> Tensor:
        """Codes (N, k) of images x (N, C, R, R) in [-1, 1] of `who`; ValueError for nobody of ``cfg.people``."""
        return self.norms[checks.choice("who", who, self.cfg.people)](self.encoder(x))

    def decode(self, z: Tensor, who: str) -> Tensor:
        """Images (N, C, R, R) in [-1, 1] of `who`, from codes (N, k); ValueError for nobody of ``cfg.people``."""
        return self.decoders[checks.choice("who", who, self.cfg.people)](z).tanh()

    def forward(self, x: Tensor, who: str, wanted: str | None = None) -> Tensor:
        """Images x (N, C, R, R) of `who` as pictures of `wanted`: a swap, or, by default, their reconstructions."""
        return self.decode(self.encode(x, who), wanted or who)


class Informer(nn.Module):
    """Who it is, guessed from codes: z (N, k) -> logits (N, people), by two hidden layers of 128."""

    def __init__(self, latent: int, people: int = 2) -> None:
        super().__init__()
        self.latent, width = checks.whole("latent", latent), 128
        people = checks.whole("people", people, at_least=2)
        self.net = nn.Sequential(
            nn.Linear(latent, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, people),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Logits (N, people) of codes z (N, k)."""
        return self.net(checks.of_shape("z", z, f"(N, {self.latent})", "codes of shape"))


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reversed_gradient(z: Tensor, strength: float) -> Tensor:
    """z as it is; its gradient comes back with the opposite sign and `strength` times (Ganin et al. 2016, section 4.2).

    Whatever network reads the result learns its task, and whatever network made z learns to spoil it: both players of a
    game in one step of one optimizer. ValueError for a negative strength.
    """
    return _Reversed.apply(z, checks.real("strength", strength))


@course_defaults()
def warp(x: Tensor, generator: torch.Generator, *, strength: float = 1.0) -> Tensor:
    """Each image of x (N, C, H, W) bent at random, by some `strength` pixels: the encoder's input, not its target.

    5 x 5 points move by N(0, 1) times `strength` each way, and what lies between moves with them, bilinearly. What an
    encoder gets is never quite what its decoder has to draw, so it learns what the picture shows and not where the
    pixels are.
    TypeError or ValueError: no images, no generator, or a negative strength.
    """
    checks.tensor("x", x, "(N, C, H, W)")
    checks.real("strength", strength)
    n, _, height, width = x.shape
    moves = rows(torch.randn, n, 2, GRID, GRID, generator=checks.generator("generator", generator)).to(x)
    moves = F.interpolate(strength * moves, size=(height, width), mode="bilinear", align_corners=True)
    size = moves.new_tensor([width, height]).view(1, 2, 1, 1)
    eye = torch.eye(2, 3, device=x.device, dtype=x.dtype).expand(n, 2, 3)
    grid = F.affine_grid(eye, list(x.shape), align_corners=False)  # (N, H, W, 2), the images as they are
    grid = grid + (2 * moves / size).permute(0, 2, 3, 1)  # pixels in the grid's units, from -1 to 1
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


@course_defaults()
def recolour(x: Tensor, generator: torch.Generator, *, strength: float = 1.1) -> Tensor:
    """Each channel of each image of x (N, C, H, W) in [-1, 1] as if by another exposure: white and black stay.

    From 0 to 1, p becomes p^γ, log γ uniform up to ± `strength`. So an encoder cannot tell people apart by skin and
    hair colour, which would let it speak to each decoder in another language. TypeError or ValueError as `warp`.
    """
    checks.images("x", x)
    checks.real("strength", strength)
    u = rows(torch.rand, *x.shape[:2], 1, 1, generator=checks.generator("generator", generator)).to(x)
    return 2 * ((x + 1) / 2).clamp(0, 1) ** torch.exp(strength * (2 * u - 1)) - 1
