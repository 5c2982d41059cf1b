"""A variational autoencoder with two levels of latents: z₂ -> z₁ -> x.

p(x, z₁, z₂) = p(x|z₁, z₂) p(z₁|z₂) p(z₂) and q(z₁, z₂|x) = q(z₂|x) q(z₁|x, z₂), as in the ladder VAE (Sønderby et al.
2016) and NVAE (Vahdat & Kautz 2020).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.autoencoders.deep import dense
from course_lib.evaluation import device_of, evaluating
from course_lib.precision import course_defaults
from course_lib.vae.densities import bernoulli_log_likelihood, normal_kl, normal_log_density, sample_normal
from course_lib.vae.model import Terms


@dataclass(frozen=True)
class TwoLevelConfig:
    """Architecture of `TwoLevelVAE`."""

    resolution: int = 28
    hidden: int = 300  # width of the two layers between pixels and z₁, on either side
    top_hidden: int = 128  # width of the layer between z₁ and z₂, on either side
    latent: int = 20  # k₁, of z₁, next to the pixels
    top_latent: int = 10  # k₂, of z₂
    normalise: bool = True  # batch normalisation in front of the ReLUs next to the pixels


class TwoLevelVAE(nn.Module):
    """A Bernoulli VAE whose prior over z₁ is itself a latent-variable model."""

    def __init__(self, cfg: TwoLevelConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or TwoLevelConfig()
        pixels = checks.whole("resolution", cfg.resolution) ** 2
        k1, k2, width = cfg.latent, cfg.top_latent, cfg.hidden
        self.bottom = nn.Sequential(
            nn.Flatten(), *dense(pixels, width, cfg.normalise), *dense(width, width, cfg.normalise)
        )  # features h of x, for both levels
        self.top = _mlp(width, cfg.top_hidden, 2 * k2)  # q(z₂|x)
        self.posterior = nn.Linear(width + k2, 2 * k1)  # q(z₁|x, z₂)
        self.prior = _mlp(k2, cfg.top_hidden, 2 * k1)  # p(z₁|z₂)
        # At the start p(z₁|z₂) = N(0, I), so the model begins as a plain VAE and finds out what z₂ is good for.
        nn.init.zeros_(self.prior[-1].weight)
        nn.init.zeros_(self.prior[-1].bias)
        self.decoder = nn.Sequential(
            *dense(k1 + k2, width, cfg.normalise),
            *dense(width, width, cfg.normalise),
            nn.Linear(width, pixels),
            nn.Unflatten(1, (1, cfg.resolution, cfg.resolution)),
        )

    def _pass(self, x: Tensor, generator: torch.Generator) -> tuple[Any, ...]:
        """One draw through both levels, and log p(x|z₁, z₂), (N,); q₁, p₁, q₂ are pairs of mean and log σ²."""
        shape = (1, self.cfg.resolution, self.cfg.resolution)
        h = self.bottom(checks.image_shape(x, shape))  # (N, hidden)
        q2 = self.top(h).chunk(2, 1)  # (N, k₂) each
        z2 = sample_normal(*q2, generator)
        q1 = self.posterior(torch.cat([h, z2], 1)).chunk(2, 1)  # (N, k₁) each
        p1 = self.prior(z2).chunk(2, 1)
        z1 = sample_normal(*q1, generator)
        return z1, q1, p1, z2, q2, bernoulli_log_likelihood(self.decoder(torch.cat([z1, z2], 1)), x)

    def terms(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Both terms of the ELBO of binary x (N, 1, R, R), each (N,); the divergence is the sum of both levels'."""
        top, bottom, reconstruction = self.levels(x, generator)
        return Terms(reconstruction, top + bottom)

    def levels(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """KL of z₂, KL of z₁, and log p(x|z₁, z₂), each (N,), at one draw."""
        _, q1, p1, _, q2, log_likelihood = self._pass(x, generator)
        return normal_kl(*q2), normal_kl(*q1, *p1), log_likelihood

    def log_weights(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """log p(x, z₁, z₂) - log q(z₁, z₂|x) at one draw per sample: (N,)."""
        z1, q1, p1, z2, q2, log_likelihood = self._pass(x, generator)
        log_p = normal_log_density(z2) + normal_log_density(z1, *p1)
        log_q = normal_log_density(z2, *q2) + normal_log_density(z1, *q1)
        return log_likelihood + log_p - log_q

    @course_defaults()
    def sample(self, n: int, generator: torch.Generator, *, top: Tensor | None = None) -> Tensor:
        """Mean images of `n` draws z₂ (or `top`, (n, k₂)) -> z₁, in [-1, 1], in eval mode: (n, 1, R, R)."""
        checks.whole("n", n)
        checks.generator("generator", generator)
        if top is None:
            top = torch.randn(n, self.cfg.top_latent, generator=generator)
        top = checks.of_shape("top", top, f"({n}, {self.cfg.top_latent})").to(device_of(self))
        with evaluating(self):
            mean, log_var = self.prior(top).chunk(2, 1)
            z1 = sample_normal(mean, log_var, generator)
            return 2 * self.decoder(torch.cat([z1, top], 1)).sigmoid() - 1


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
