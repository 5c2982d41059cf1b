"""Discs: images whose degrees of freedom are known, one (`discs`, "syn-circles") or four (`moving_discs`)."""

import torch
from torch import Tensor

from course_lib.checks import memory, seed_number, whole
from course_lib.precision import course_defaults


@course_defaults()
def discs(n: int | None = None, *, size: int = 64, n_radii: int = 32, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Centred white discs on black: n, each with a radius chosen uniformly, or if n is None one of each, rising.

    `size` >= 2 pixels each way, `n_radii` at most size // 2. Returns x, float32 (N, 1, size, size), -1 or +1, and the
    index into `disc_radii(size, n_radii)`, int64 (N,). TypeError or ValueError for other arguments.
    """
    radii = disc_radii(size, n_radii)  # checks both
    size, n_radii = int(size), len(radii)
    generator = torch.Generator().manual_seed(seed_number("seed", seed))
    if n is None:
        index = torch.arange(n_radii)
    else:
        n = whole("n", n)
        memory(f"{n:,} discs of {size} x {size}", 4 * n * size**2, "draw fewer, or smaller ones")
        index = torch.randint(n_radii, (n,), generator=generator)  # (N,)
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2  # (size,) pixel centres, 0 = middle
    distance = torch.sqrt(offset[:, None] ** 2 + offset[None, :] ** 2)  # (size, size)
    white = distance < radii[:, None, None]  # (n_radii, size, size)
    templates = white.to(torch.float32).mul_(2.0).sub_(1.0).unsqueeze(1)  # (n_radii, 1, size, size)
    return templates[index], index


@course_defaults()
def disc_radii(size: int = 64, n_radii: int = 32) -> Tensor:
    """The radii of `discs` in pixels, n_radii equal steps up to size / 2: float64 (n_radii,). Raises as `discs`."""
    size = whole("size", size, at_least=2)
    # Steps of at least one pixel: along the middle row every ring then gains a pixel centre.
    n_radii = whole("n_radii", n_radii, at_most=size // 2)
    return torch.arange(1, n_radii + 1, dtype=torch.float64) * (size / 2) / n_radii


FACTORS = ("column", "row", "radius", "brightness")


@course_defaults()
def moving_discs(n: int, *, size: int = 32, levels: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    """n discs on black with four independent uniform factors: column and row of the centre, radius, brightness.

    To measure disentanglement with (chapter 6): `size` >= 8 pixels each way, `levels` >= 2 values of each factor, edges
    antialiased, none cut by the border. Returns x, float32 (N, 1, size, size) in [-1, 1], and factors, int64 (N, 4)
    from 0 to levels - 1, in the order of `FACTORS`. TypeError or ValueError for no whole number, or one out of range.
    """
    size, levels = whole("size", size, at_least=8), whole("levels", levels, at_least=2)
    n = whole("n", n)
    memory(f"{n:,} discs of {size} x {size}", 24 * n * size**2, "draw fewer, or smaller ones")
    generator = torch.Generator().manual_seed(seed_number("seed", seed))
    factors = torch.randint(levels, (n, 4), generator=generator)  # (N, 4)
    column, row, radius, brightness = (factors.double() / (levels - 1)).T  # (N,) each, in [0, 1]
    radius = size * (0.09 + 0.13 * radius)  # 2.9 to 7 pixels of 32
    margin = size * 0.25
    centre_x, centre_y = (margin + (size - 1 - 2 * margin) * t for t in (column, row))  # (N,)
    grid = torch.arange(size, dtype=torch.float64)
    dx, dy = grid - centre_x[:, None], grid - centre_y[:, None]  # (N, size)
    distance = torch.sqrt(dx[:, None, :] ** 2 + dy[:, :, None] ** 2)  # (N, size, size)
    cover = (radius[:, None, None] - distance + 0.5).clamp(0, 1)  # share of the pixel that is inside
    light = 0.4 + 0.6 * brightness
    return (2 * light[:, None, None] * cover - 1).float().unsqueeze(1), factors
