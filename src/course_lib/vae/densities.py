"""The densities that a variational autoencoder is built from, per sample and in nats.

A diagonal normal is given by its mean and ``log_var`` = log σ². N samples, D numbers each, k latents.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import checks
from course_lib.draws import rows

LOG_2PI = math.log(2 * math.pi)


def normal_log_density(z: Tensor, mean: Tensor | float = 0.0, log_var: Tensor | float = 0.0) -> Tensor:
    """log N(z; mean, diag(exp(log_var))), by default of N(0, I), summed over the last axis: (..., k) -> (...)."""
    log_var = torch.as_tensor(log_var, dtype=z.dtype, device=z.device)
    return -0.5 * ((z - mean).square() * (-log_var).exp() + log_var + LOG_2PI).sum(-1)


def normal_kl(
    mean: Tensor, log_var: Tensor, prior_mean: Tensor | float = 0.0, prior_log_var: Tensor | float = 0.0
) -> Tensor:
    """KL(N(mean, diag σ²) ‖ N(prior_mean, diag s²)), summed over the last axis: (..., k) -> (...).

    ½ Σ (σ²/s² + (μ - m)²/s² - 1 - log σ² + log s²); for a standard normal prior: Kingma & Welling 2014, appendix B.
    """
    wanted, got = tuple(mean.shape), tuple(log_var.shape)
    if wanted != got:
        raise ValueError(f"log_var: expected the mean's shape {wanted}, got {got}")
    prior_log_var = torch.as_tensor(prior_log_var, dtype=mean.dtype, device=mean.device)
    difference = log_var - prior_log_var
    scaled = (mean - prior_mean).square() * (-prior_log_var).exp()
    return 0.5 * (difference.exp() + scaled - 1 - difference).sum(-1)


def sample_normal(mean: Tensor, log_var: Tensor, generator: torch.Generator) -> Tensor:
    """z = μ + σ ε with ε ~ N(0, I), differentiable by μ and σ, the same on every device. Shape of `mean`."""
    epsilon = rows(torch.randn, *mean.shape, generator=generator)
    return mean + (0.5 * log_var).exp() * epsilon.to(mean.device, mean.dtype)


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of pixels x (N, ...), 0 or 1, under Bernoulli with these logits: (N,); ValueError for grey values."""
    _same_shape("x", x, "logits", logits)
    low, high = float(x.min()), float(x.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"x: expected binary pixels, 0 or 1, for a Bernoulli decoder, got values from {low:.3g} to "
            f"{high:.3g}; images in [-1, 1] become binary by vae.binarize(x, generator)"
        )
    if not bool(((x == 0) | (x == 1)).all()):
        share = float(((x != 0) & (x != 1)).float().mean())
        raise ValueError(
            f"x: expected binary pixels, 0 or 1, for a Bernoulli decoder, got {share:.1%} grey values, on which "
            "the cross-entropy is no likelihood; use vae.binarize(x, generator), or a Gaussian decoder"
        )
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def gaussian_log_likelihood(mean: Tensor, x: Tensor, log_var: Tensor | float) -> Tensor:
    """log N(x; mean, σ² I), all its terms, with log_var = log σ², one number or one per pixel: (N, ...) -> (N,)."""
    _same_shape("x", x, "mean", mean)
    log_var = torch.as_tensor(log_var, dtype=mean.dtype, device=mean.device)
    shape, got = tuple(mean.shape), tuple(log_var.shape)
    if got not in ((), shape, shape[1:]):
        raise ValueError(f"log_var: expected one number or one per pixel, {shape}, got {got}")
    return normal_log_density(x.flatten(1), mean.flatten(1), log_var.expand_as(mean).flatten(1))


def binarize(x: Tensor, generator: torch.Generator) -> Tensor:
    """Binary images of x in [-1, 1], each pixel white with probability (x + 1)/2: 0 or 1, in the shape of x.

    Salakhutdinov & Murray 2008. Warns with checks.ImageRangeWarning if no value is below 0, as if they were in [0, 1].
    """
    checks.images("x", x, None)
    uniform = rows(torch.rand, *x.shape, generator=generator)
    return (uniform.to(x.device) < (x + 1) / 2).to(x.dtype)


def _same_shape(a: str, x: Tensor, b: str, y: Tensor) -> None:
    got, wanted = tuple(x.shape), tuple(y.shape)
    if got != wanted:
        raise ValueError(f"{a}: expected the shape of the decoder's {b}, {wanted}, got {got}")
