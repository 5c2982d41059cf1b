"""What makes a VQ-VAE a VQGAN: a discriminator of patches, and the weight of what it says (Esser et al. 2021).

The autoencoder stays the one of `VQVAE`; its loss is the squared error, a perceptual distance, the commitment and
λ · the adversarial loss, with the λ of `adaptive_weight`.

Simplified: the discriminator has no batch normalisation, so that each patch is judged by itself.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib import checks


@dataclass(frozen=True)
class PatchConfig:
    """Architecture of `PatchDiscriminator`."""

    colours: int = 3
    width: int = 32  # channels at half the resolution; twice as many at a quarter
    halvings: int = 2

    def __post_init__(self) -> None:
        for name in ("colours", "width", "halvings"):
            checks.whole(name, getattr(self, name))


class PatchDiscriminator(nn.Module):
    """Images (N, C, R, R) -> a map of logits (N, h, w), each of one patch; positive means real (Isola et al. 2017).

    A logit sees a square of `patch` pixels, 18 with two halvings, and neighbours are 4 pixels apart.
    """

    def __init__(self, cfg: PatchConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or PatchConfig()
        widths = [cfg.colours, *(cfg.width * 2**i for i in range(cfg.halvings))]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]  # (N, b, r/2, r/2)
        self.net = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    @property
    def patch(self) -> int:
        """Rows and columns that a logit depends on."""
        seen = 3
        for _ in range(self.cfg.halvings):
            seen = 2 * seen + 2  # a kernel of 4 with stride 2
        return seen

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, R/4, R/4) of images x (N, C, R, R), or as small as `halvings` say."""
        return self.net(checks.of_shape("x", x, f"(N, {self.cfg.colours}, H, W)", "images of shape")).squeeze(
            1
        )


def adaptive_weight(
    reconstruction: Tensor, adversarial: Tensor, last: Tensor, *, small: float = 1e-6, most: float = 1e4
) -> Tensor:
    """λ = ‖∇_L reconstruction‖ / (‖∇_L adversarial‖ + `small`), L the decoder's last weights: Eq. (7), Esser et al.

    So both losses, scalars, pull the last layer equally hard; but λ is at most `most` (their code), lest an indifferent
    discriminator is heard too loudly. A number for the optimizer: it has no gradient itself. Both graphs are kept.
    """
    parts = (reconstruction, adversarial)
    norms = [torch.autograd.grad(part, last, retain_graph=True)[0].norm() for part in parts]
    return (norms[0] / (norms[1] + small)).clamp(max=most).detach()
