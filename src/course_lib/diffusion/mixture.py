"""A mixture of Gaussians on a path: everything that a network has to learn, known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib import checks
from course_lib.diffusion.paths import EDGE, Path


@dataclass(frozen=True)
class Mixture:
    """Σ_k w_k N(μ_k, s_k² I) in D dimensions."""

    means: Tensor  # (K, D)
    deviations: Tensor  # (K,)
    weights: Tensor  # (K,), sum 1

    def __post_init__(self) -> None:
        checks.tensor("means", self.means, "(K, D)")
        for name in ("deviations", "weights"):
            checks.of_shape(name, getattr(self, name), str((len(self.means),)))
        if abs(float(self.weights.sum()) - 1) > 1e-5 or float(self.weights.min()) < 0:
            raise ValueError(f"weights: expected shares that add up to 1, got {self.weights.tolist()}")

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Points (n, D). TypeError or ValueError: n below 1, or no generator."""
        checks.generator("generator", generator)
        k = torch.multinomial(self.weights, checks.whole("n", n), replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        return self.means[k] + self.deviations[k, None] * noise

    def log_density(self, x: Tensor, t: Tensor, path: Path) -> Tensor:
        """log p_t of points x (N, D) at times t (N,): (N,)."""
        return self._components(x, t, path)[0].logsumexp(1)

    def score(self, x: Tensor, t: Tensor, path: Path) -> Tensor:
        """∇ log p_t at points x (N, D): the components' own scores, averaged by which one is how likely: (N, D)."""
        log_p, off, variance = self._components(x, t, path)
        share = log_p.softmax(1)  # (N, K)
        return -(share[..., None] * off / variance[..., None]).sum(1)

    def parts(self, x: Tensor, t: Tensor, path: Path) -> tuple[Tensor, Tensor]:
        """x̂ and ε̂ at points x (N, D): (N, D) each, by Tweedie's formula from the score."""
        a, s, _, _ = path.at(t.clamp(EDGE, 1 - EDGE), x)
        noise = -s * self.score(x, t.clamp(EDGE, 1 - EDGE), path)
        return (x - s * noise) / a, noise

    def _components(self, x: Tensor, t: Tensor, path: Path) -> tuple[Tensor, Tensor, Tensor]:
        """log (w_k p_k) (N, K), differences to the means (N, K, D), variances (N, K), all at time t."""
        a, s, _, _ = path.at(t, x)  # (N, 1)
        variance = (a * self.deviations).square() + s.square()  # (N, K)
        off = x[:, None] - a[..., None] * self.means  # (N, K, D)
        d = x.shape[1]
        exponent = -off.square().sum(2) / (2 * variance) - d / 2 * (2 * torch.pi * variance).log()
        return self.weights.log() + exponent, off, variance
