"""The densities that a variational autoencoder is built from, per sample and in nats.

A diagonal normal is given by its mean and the logarithm of its variance, ``log_var`` = log σ²: any real number is
allowed there, so a network's output needs no further treatment. Shapes: N samples, D numbers each, k latents.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import checks

LOG_2PI = math.log(2 * math.pi)


def normal_log_density(z: Tensor, mean: Tensor | float = 0.0, log_var: Tensor | float = 0.0) -> Tensor:
    """log N(z; mean, diag(exp(log_var))), summed over the last axis: (..., k) -> (...).

    `mean` and `log_var` are broadcast against z; left out, they are those of N(0, I).
    """
    log_var = torch.as_tensor(log_var, dtype=z.dtype, device=z.device)
    return -0.5 * ((z - mean).square() * (-log_var).exp() + log_var + LOG_2PI).sum(-1)


def normal_kl(
    mean: Tensor, log_var: Tensor, prior_mean: Tensor | float = 0.0, prior_log_var: Tensor | float = 0.0
) -> Tensor:
    """KL(N(mean, diag σ²) ‖ N(prior_mean, diag s²)), summed over the last axis: (..., k) -> (...).

    ½ Σ (σ²/s² + (μ - m)²/s² - 1 - log σ² + log s²); for the standard normal prior this is appendix B of Kingma &
    Welling 2014. The sum matters: a mean over the k latents would weigh the divergence by 1/k.

    Raises:
        ValueError: mean and log_var of different shapes.
    """
    if mean.shape != log_var.shape:
        raise ValueError(
            f"log_var: expected the mean's shape {tuple(mean.shape)}, got {tuple(log_var.shape)}"
        )
    prior_log_var = torch.as_tensor(prior_log_var, dtype=mean.dtype, device=mean.device)
    difference = log_var - prior_log_var
    scaled = (mean - prior_mean).square() * (-prior_log_var).exp()
    return 0.5 * (difference.exp() + scaled - 1 - difference).sum(-1)


def sample_normal(mean: Tensor, log_var: Tensor, generator: torch.Generator) -> Tensor:
    """z = μ + σ ε with ε ~ N(0, I): a draw that is a differentiable function of μ and σ. Shape of `mean`.

    ε is drawn where the generator is and moved, so a seed gives the same z on every device.
    """
    epsilon = torch.randn(mean.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return mean + (0.5 * log_var).exp() * epsilon.to(mean.device, mean.dtype)


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of binary pixels x (N, ...) under independent Bernoulli with these logits (N, ...): (N,).

    Raises:
        ValueError: different shapes, values outside [0, 1], or grey values in between. On grey values the
            cross-entropy is no log-likelihood: its exponential does not integrate to 1 over x in [0, 1].
    """
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
    """log N(x; mean, σ² I) with log_var = log σ², one number or one per pixel: (N, ...) -> (N,).

    With all its terms: -‖x - mean‖²/2σ² - (D/2) log σ² - (D/2) log 2π. Dropping the 1/2σ² is fixing σ² = ½;
    dropping log σ² makes a learnt σ grow without end.

    Raises:
        ValueError: different shapes.
    """
    _same_shape("x", x, "mean", mean)
    log_var = torch.as_tensor(log_var, dtype=mean.dtype, device=mean.device)
    if log_var.dim() and log_var.shape not in (mean.shape, mean.shape[1:]):
        raise ValueError(
            f"log_var: expected one number or one per pixel, {tuple(mean.shape)}, got {tuple(log_var.shape)}"
        )
    return normal_log_density(x.flatten(1), mean.flatten(1), log_var.expand_as(mean).flatten(1))


def binarize(x: Tensor, generator: torch.Generator) -> Tensor:
    """Binary images of x in [-1, 1], each pixel white with probability (x + 1)/2: 0 or 1, in the shape of x.

    Drawn anew for every minibatch this is "dynamically binarised" MNIST (Salakhutdinov & Murray 2008; Burda,
    Grosse & Salakhutdinov 2016), on which likelihoods of different papers can be compared.

    Raises:
        TypeError, ValueError: values outside [-1, 1] or not finite.

    Warns:
        checks.ImageRangeWarning: no value is below 0, as if they were in [0, 1].
    """
    checks.images("x", x, None)
    uniform = torch.rand(x.shape, generator=generator, device=generator.device, dtype=torch.float32).to(
        x.device
    )
    return (uniform < (x + 1) / 2).to(x.dtype)


def _same_shape(a: str, x: Tensor, b: str, y: Tensor) -> None:
    if x.shape != y.shape:
        raise ValueError(
            f"{a}: expected the shape of the decoder's {b}, {tuple(y.shape)}, got {tuple(x.shape)}"
        )
