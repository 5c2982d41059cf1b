"""Point sets in the plane: small enough to see a whole distribution, and each mode of it (L. Metz et al. 2017).

All draw n >= 1 points and give `points`, float32 (n, 2), and for each the index of the part that it came from, int64
(n,). `seed` is that of the draws; `std` and `noise` are standard deviations along each axis, >= 0. They raise TypeError
or ValueError for an argument of the wrong type, out of range, NaN or infinite.
"""

import math

import torch

from course_lib.checks import real, seed_number, whole
from course_lib.precision import course_defaults


@course_defaults()
def ring(
    n: int, *, modes: int = 8, radius: float = 2.0, std: float = 0.02, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws from an equal mixture of `modes` Gaussians on a circle about the origin, numbered as in `ring_centres`."""
    return _mixture(n, ring_centres(modes=modes, radius=radius), std, seed)


@course_defaults()
def grid(
    n: int, *, side: int = 5, spacing: float = 2.0, std: float = 0.05, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws from an equal mixture of side x side Gaussians, `spacing` apart, numbered as in `grid_centres`."""
    return _mixture(n, grid_centres(side=side, spacing=spacing), std, seed)


@course_defaults()
def two_moons(n: int, *, noise: float = 0.05, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws from two interleaved half circles of radius 1, about (0, 0) and (1, 1/2), plus Gaussian `noise`."""
    n, noise = whole("n", n), real("noise", noise)
    generator = torch.Generator().manual_seed(seed_number("seed", seed))
    moon = torch.randint(2, (n,), generator=generator)  # (n,)
    angle = math.pi * torch.rand(n, generator=generator)  # (n,) uniform along the arc
    upper = torch.stack([angle.cos(), angle.sin()], dim=1)  # (n, 2)
    lower = torch.stack([1.0 - angle.cos(), 0.5 - angle.sin()], dim=1)  # (n, 2)
    clean = torch.where(moon[:, None] == 0, upper, lower)
    return clean + noise * torch.randn(n, 2, generator=generator), moon


@course_defaults()
def ring_centres(*, modes: int = 8, radius: float = 2.0) -> torch.Tensor:
    """The means of `ring`'s Gaussians, counter-clockwise from (radius, 0): float32 (modes, 2)."""
    modes, radius = whole("modes", modes), real("radius", radius, positive=True)
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes  # (modes,)
    return (radius * torch.stack([angle.cos(), angle.sin()], dim=1)).to(torch.float32)


@course_defaults()
def grid_centres(*, side: int = 5, spacing: float = 2.0) -> torch.Tensor:
    """The means of `grid`'s Gaussians, from the lower left, row by row: float32 (side * side, 2)."""
    side, spacing = whole("side", side), real("spacing", spacing, positive=True)
    line = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing  # (side,) about 0
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1)], dim=1).to(torch.float32)


def _mixture(n: int, centres: torch.Tensor, std: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """n draws from the equal mixture of N(centre, std^2 I); centres (modes, 2)."""
    n, std = whole("n", n), real("std", std)
    generator = torch.Generator().manual_seed(seed_number("seed", seed))
    mode = torch.randint(len(centres), (n,), generator=generator)  # (n,)
    return centres[mode] + std * torch.randn(n, 2, generator=generator), mode
