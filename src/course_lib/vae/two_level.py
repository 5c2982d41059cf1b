"""A variational autoencoder with two levels of latents: z₂ -> z₁ -> x.

p(x, z₁, z₂) = p(x|z₁, z₂) p(z₁|z₂) p(z₂) and q(z₁, z₂|x) = q(z₂|x) q(z₁|x, z₂): the posterior is drawn top-down, in
the order of the prior, as in the ladder VAE (Sønderby et al. 2016) and in NVAE (Vahdat & Kautz 2020). Simplified: two
levels, dense layers, binary pixels; NVAE also gives q(z₁|x, z₂) as a correction of p(z₁|z₂).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.autoencoders.deep import dense
from course_lib.evaluation import device_of, evaluating
from course_lib.precision import course_defaults
from course_lib.vae.densities import (
    bernoulli_log_likelihood,
    normal_kl,
    normal_log_density,
    sample_normal,
)
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

    def _pass(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One draw through both levels, with the parameters of all distributions on the way."""
        if x.dim() != 4 or tuple(x.shape[1:]) != (1, self.cfg.resolution, self.cfg.resolution):
            r = self.cfg.resolution
            raise ValueError(f"x: expected images of shape (N, 1, {r}, {r}), got {tuple(x.shape)}")
        h = self.bottom(x)  # (N, hidden)
        mean2, log_var2 = self.top(h).chunk(2, 1)  # (N, k₂) each
        z2 = sample_normal(mean2, log_var2, generator)
        mean1, log_var1 = self.posterior(torch.cat([h, z2], 1)).chunk(2, 1)  # (N, k₁) each
        prior_mean, prior_log_var = self.prior(z2).chunk(2, 1)
        z1 = sample_normal(mean1, log_var1, generator)
        return {
            "z1": z1,
            "mean1": mean1,
            "log_var1": log_var1,
            "prior_mean": prior_mean,
            "prior_log_var": prior_log_var,
            "z2": z2,
            "mean2": mean2,
            "log_var2": log_var2,
        }

    def terms(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Both terms of the ELBO of binary x (N, 1, R, R), each (N,); the divergence is the sum of both levels'.

        KL(q(z₂|x) ‖ p(z₂)) + E_{q(z₂|x)} KL(q(z₁|x, z₂) ‖ p(z₁|z₂)), the mean estimated with one draw of z₂.

        Raises:
            ValueError: images of another shape, or not binary.
        """
        top, bottom, reconstruction = self.levels(x, generator)
        return Terms(reconstruction, top + bottom)

    def levels(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """KL of z₂, KL of z₁, and log p(x|z₁, z₂), each (N,), at one draw. Raises as `terms`."""
        p = self._pass(x, generator)
        top = normal_kl(p["mean2"], p["log_var2"])
        bottom = normal_kl(p["mean1"], p["log_var1"], p["prior_mean"], p["prior_log_var"])
        return top, bottom, bernoulli_log_likelihood(self.decoder(torch.cat([p["z1"], p["z2"]], 1)), x)

    def log_weights(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """log p(x, z₁, z₂) - log q(z₁, z₂|x) at one draw per sample: (N,). Raises as `terms`."""
        p = self._pass(x, generator)
        log_p = normal_log_density(p["z2"]) + normal_log_density(p["z1"], p["prior_mean"], p["prior_log_var"])
        log_q = normal_log_density(p["z2"], p["mean2"], p["log_var2"])
        log_q = log_q + normal_log_density(p["z1"], p["mean1"], p["log_var1"])
        return bernoulli_log_likelihood(self.decoder(torch.cat([p["z1"], p["z2"]], 1)), x) + log_p - log_q

    @course_defaults()
    def sample(self, n: int, generator: torch.Generator, *, top: Tensor | None = None) -> Tensor:
        """Mean images of `n` draws z₂ -> z₁, in [-1, 1]: (n, 1, R, R); with `top` (n, k₂) given, z₂ is that.

        In eval mode, without gradients.

        Raises:
            TypeError, ValueError: n is no integer of at least 1, no generator, or `top` of another shape.
        """
        checks.whole("n", n)
        checks.generator("generator", generator)
        if top is None:
            top = torch.randn(n, self.cfg.top_latent, generator=generator)
        elif tuple(top.shape) != (n, self.cfg.top_latent):
            raise ValueError(f"top: expected shape ({n}, {self.cfg.top_latent}), got {tuple(top.shape)}")
        top = top.to(device_of(self))
        with evaluating(self):
            mean, log_var = self.prior(top).chunk(2, 1)
            z1 = sample_normal(mean, log_var, generator)
            return 2 * self.decoder(torch.cat([z1, top], 1)).sigmoid() - 1


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
