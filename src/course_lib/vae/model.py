"""The variational autoencoder: q(z|x) = N(μ(x), diag σ²(x)), p(z) = N(0, I), p(x|z) Bernoulli or Gaussian.

Pixels are binary {0, 1} for the Bernoulli decoder, in [-1, 1] for the Gaussian one.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.autoencoders import Decoder, Encoder, Layout
from course_lib.evaluation import evaluating
from course_lib.precision import course_defaults
from course_lib.vae.densities import (
    bernoulli_log_likelihood,
    gaussian_log_likelihood,
    normal_kl,
    normal_log_density,
    sample_normal,
)


class Terms(NamedTuple):
    """The two terms of the ELBO, each (N,) in nats: ELBO = reconstruction - kl."""

    reconstruction: Tensor  # one-sample estimate of E_q[log p(x|z)]
    kl: Tensor  # KL(q(z|x) ‖ p(z)), closed form where there is one

    @property
    def elbo(self) -> Tensor:
        """Reconstruction minus divergence, (N,)."""
        return self.reconstruction - self.kl


@dataclass(frozen=True)
class VAEConfig(Layout):
    """Architecture of `VAE`."""

    channels: tuple[int, ...] = ()
    hidden: tuple[int, ...] = (464, 464)
    latent: int = 20
    likelihood: str = "bernoulli"  # or "gaussian"
    sigma: float = 0.5  # standard deviation of the Gaussian decoder, at the start if it is learnt
    learn_sigma: bool = False  # one σ for all pixels, as a parameter

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.choice("likelihood", self.likelihood, ("bernoulli", "gaussian"))
        checks.real("sigma", self.sigma, positive=True)


class VAE(nn.Module):
    """A latent-variable model p(x|z)p(z) with an amortised approximate posterior q(z|x)."""

    def __init__(self, cfg: VAEConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or VAEConfig()
        self.encoder, self.decoder = Encoder(cfg, 2 * cfg.latent), Decoder(cfg, cfg.latent)
        if cfg.likelihood == "gaussian":
            log_var = torch.tensor(2 * math.log(cfg.sigma))  # log σ_x², (), the decoder's noise
            if cfg.learn_sigma:
                self.log_var_x = nn.Parameter(log_var)
            else:
                self.register_buffer("log_var_x", log_var)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log σ² of q(z|x), each (N, k), of pixels x (N, C, R, R)."""
        return self.encoder(x).chunk(2, dim=1)

    def decode(self, z: Tensor) -> Tensor:
        """Logits (Bernoulli) or means (Gaussian) of the pixels (N, C, R, R), of codes z (N, k)."""
        return self.decoder(z)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of pixels x (N, C, R, R) at codes z (N, k): (N,), in nats."""
        if self.cfg.likelihood == "bernoulli":
            return bernoulli_log_likelihood(self.decode(z), x)
        return gaussian_log_likelihood(self.decode(z), x, self.log_var_x)

    def terms(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Both terms of the ELBO of pixels x (N, C, R, R), the first estimated with one draw z ~ q(z|x)."""
        q = self.encode(x)
        return Terms(self.log_likelihood(x, sample_normal(*q, generator)), normal_kl(*q))

    def log_weights(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """log p(x, z) - log q(z|x) at one draw z ~ q(z|x) per sample: (N,), the ELBO without a closed form."""
        q = self.encode(x)
        z = sample_normal(*q, generator)
        return self.log_likelihood(x, z) + normal_log_density(z) - normal_log_density(z, *q)

    def images(self, z: Tensor) -> Tensor:
        """The mean image p(x|z) of codes z (N, k), in [-1, 1]: (N, C, R, R)."""
        if self.cfg.likelihood == "bernoulli":
            return 2 * self.decode(z).sigmoid() - 1
        return self.decode(z).clamp(-1, 1)

    @course_defaults()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Mean images of `n` codes drawn from the prior, in [-1, 1]: (n, C, R, R); in eval mode, without gradients."""
        shape = checks.whole("n", n), self.cfg.latent
        z = torch.randn(shape, generator=checks.generator("generator", generator))
        with evaluating(self):
            return self.images(z.to(next(self.parameters())))
