"""From noise to samples along a path, with a field that says at each x_t and t where data and noise are expected.

A field is a function ``field(x, t) -> (x̂, ε̂)`` of points (N, …) and times (N,): `Diffusion.parts` of a trained network,
or `Mixture.parts` where the truth is known.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from course_lib import checks
from course_lib.diffusion.paths import Path
from course_lib.draws import rows

Field = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Watch = Callable[[float, Tensor], None]  # called with each time and the points then


def times(steps: int, power: float = 1.0) -> list[float]:
    """`steps` + 1 times from 0 to 1; with a `power` above 1 they are closer to each other near 1, at the data's end."""
    steps = checks.whole("steps", steps)
    checks.real("power", power, positive=True)
    return [1 - (1 - k / steps) ** power for k in range(steps + 1)]


def euler(
    field: Field, path: Path, x: Tensor, grid: Sequence[float], *, watch: Watch | None = None
) -> Tensor:
    """Points x (N, …) at time ``grid[0]`` carried along dx/dt = v(x, t) in straight steps: one evaluation a step."""
    for t, s in itertools.pairwise(_checked(grid)):
        x = x + (s - t) * velocity(field, path, x, t)
        if watch is not None:
            watch(s, x)
    return x


def heun(field: Field, path: Path, x: Tensor, grid: Sequence[float], *, watch: Watch | None = None) -> Tensor:
    """As `euler`, but each step by the mean of the velocities at both of its ends: two evaluations, far more exact.

    A step that ends at 1 is one of Euler's, as with Karras et al. 2022: there some paths' σ' is infinite.
    """
    for t, s in itertools.pairwise(_checked(grid)):
        v = velocity(field, path, x, t)
        if s < 1:
            v = (v + velocity(field, path, x + (s - t) * v, s)) / 2
        x = x + (s - t) * v
        if watch is not None:
            watch(s, x)
    return x


def ancestral(
    field: Field,
    path: Path,
    x: Tensor,
    grid: Sequence[float],
    generator: torch.Generator | None = None,
    *,
    eta: float = 1.0,
    watch: Watch | None = None,
) -> Tensor:
    """DDPM's steps (Ho et al. 2020, Algorithm 2) with `eta` 1, DDIM's (Song, Meng & Ermon 2021, Eq. (12)) with 0.

    From t to a later s a point is taken apart into x̂ and ε̂ and put together again with α(s) and σ(s). A part of the
    noise, whose variance is η² times that of x_s given x_t and x, is drawn afresh; DDIM keeps all of it, so that no
    generator is needed.
    """
    if checks.real("eta", eta) > 0:
        checks.generator("generator", generator)
    for t, s in itertools.pairwise(_checked(grid)):
        now, then = (x.new_full((len(x),), time) for time in (t, s))
        data, noise = field(x, now)
        (a, b, _, _), (c, d, _, _) = path.at(now, x), path.at(then, x)
        # of x_t given x_s: variance σ_t² - (α_t/α_s)² σ_s²; then Bayes' formula for x_s given x_t and x
        fresh = eta**2 * d.square() / b.square() * (b.square() - (a / c).square() * d.square())
        fresh = fresh.clamp(min=0).minimum(d.square())
        x = c * data + (d.square() - fresh).sqrt() * noise
        if eta > 0:
            x = x + fresh.sqrt() * rows(torch.randn, *x.shape, generator=generator).to(x)
        if watch is not None:
            watch(s, x)
    return x


def velocity(field: Field, path: Path, x: Tensor, t: float) -> Tensor:
    """v = α' x̂ + σ' ε̂ at points x (N, …) at time t."""
    at = x.new_full((len(x),), t)
    data, noise = field(x, at)
    _, _, da, ds = path.at(at, x)
    return da * data + ds * noise


def guided(conditional: Field, unconditional: Field, scale: float) -> Field:
    """Classifier-free guidance (Ho & Salimans 2022): the unconditional field plus `scale` times the difference.

    1 leaves the conditional one, more exaggerates what the condition changes.
    """
    checks.real("scale", scale)

    def field(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        with_label, without = conditional(x, t), unconditional(x, t)
        data, noise = (b + scale * (a - b) for a, b in zip(with_label, without, strict=True))
        return data, noise

    return field


def _checked(grid: Sequence[float]) -> Sequence[float]:
    if len(grid) < 2 or grid[0] < 0 or grid[-1] > 1 or any(s <= t for t, s in itertools.pairwise(grid)):
        raise ValueError(f"grid: expected two or more rising times from 0 to 1, got {list(grid)[:5]}")
    return grid
