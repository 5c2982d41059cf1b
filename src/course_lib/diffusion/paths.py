"""From noise to data: x_t = α(t) x + σ(t) ε, with t from 0, noise alone, to 1, data alone, and ε ~ N(0, I).

On every such path four things can be computed from each other at a point x_t: the expected data x̂ = E[x | x_t], the
expected noise ε̂ = E[ε | x_t], the score ∇ log p_t(x_t) and the velocity v = E[α' x + σ' ε | x_t]. For

    x_t = α x̂ + σ ε̂,     score = -ε̂ / σ  (Tweedie's formula),     v = α' x̂ + σ' ε̂ .

So a network that predicts one of them predicts all, and DDPM (Ho et al. 2020) and flow matching (Lipman et al. 2023)
differ in α and σ, and in which of the four the squared error is taken of.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib import checks

PREDICTED = ("data", "noise", "velocity")


@dataclass(frozen=True)
class Path:
    """α and σ with their derivatives, as functions of times (N,) from 0 to 1."""

    name: str
    alpha: Callable[[Tensor], Tensor]
    sigma: Callable[[Tensor], Tensor]
    d_alpha: Callable[[Tensor], Tensor]
    d_sigma: Callable[[Tensor], Tensor]

    def at(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """α, σ, α', σ' at times t (N,), each shaped to multiply x (N, …), with its type."""
        shape = (-1, *[1] * (x.dim() - 1))
        return tuple(f(t).to(x).view(shape) for f in (self.alpha, self.sigma, self.d_alpha, self.d_sigma))  # type: ignore[return-value]

    def noisy(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t of data and noise (N, …) at times t (N,)."""
        a, s, _, _ = self.at(t, x)
        return a * x + s * noise

    def target(self, predicts: str, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What a network that `predicts` "data", "noise" or "velocity" should give at `noisy`: (N, …)."""
        _, _, da, ds = self.at(t, x)
        options = {"data": x, "noise": noise, "velocity": da * x + ds * noise}
        return options[checks.choice("predicts", predicts, options)]

    def parts(self, predicts: str, found: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x̂ and ε̂ from what a network that `predicts` one of `PREDICTED` found at x_t: (N, …) each.

        Where a part is not determined, as the data at t = 0 by the noise, it comes out as of a time beside. That is
        farther away for a noise that is predicted, whose error is multiplied by σ / α.
        """
        nearest = FAR if predicts == "noise" else EDGE
        a, s, da, ds = self.at(t.clamp(nearest, 1 - EDGE), x_t)
        if checks.choice("predicts", predicts, PREDICTED) == "data":
            return found, (x_t - a * found) / s
        if predicts == "noise":
            return (x_t - s * found) / a, found
        det = da * s - a * ds  # never 0: α rises while σ falls
        return (s * found - ds * x_t) / det, (da * x_t - a * found) / det


EDGE, FAR = 1e-4, 0.02  # nearer to 0 and 1 nothing is divided by σ or α


def _linear_betas() -> Path:
    """The noise schedule of Ho et al. 2020 in continuous time (Song et al. 2021, Eq. (29) and (32))."""
    low, high = 0.1, 20.0

    def log_alpha(t: Tensor) -> Tensor:
        s = 1 - t
        return -0.25 * s.square() * (high - low) - 0.5 * s * low

    def d_alpha(t: Tensor) -> Tensor:
        s = 1 - t
        return log_alpha(t).exp() * (0.5 * s * (high - low) + 0.5 * low)

    def sigma(t: Tensor) -> Tensor:
        return (-torch.expm1(2 * log_alpha(t))).clamp(min=1e-12).sqrt()

    def d_sigma(t: Tensor) -> Tensor:
        return -log_alpha(t).exp() * d_alpha(t) / sigma(t)

    return Path("linear betas", lambda t: log_alpha(t).exp(), sigma, d_alpha, d_sigma)


PATHS: dict[str, Path] = {
    # Flow matching's: straight lines (Lipman et al. 2023; Liu et al. 2023)
    "straight": Path(
        "straight", lambda t: t, lambda t: 1 - t, torch.ones_like, lambda t: -torch.ones_like(t)
    ),
    # Of constant variance for data of variance 1, with an even change of angle (Nichol & Dhariwal 2021)
    "cosine": Path(
        "cosine",
        lambda t: torch.sin(math.pi / 2 * t),
        lambda t: torch.cos(math.pi / 2 * t),
        lambda t: math.pi / 2 * torch.cos(math.pi / 2 * t),
        lambda t: -math.pi / 2 * torch.sin(math.pi / 2 * t),
    ),
    "linear betas": _linear_betas(),
}
