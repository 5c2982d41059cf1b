"""Bounds on log p(x), the ELBO and the importance-weighted one (Burda et al. 2016), and which latents are used."""

import math
from typing import Protocol

import torch
from torch import Tensor

from course_lib import checks
from course_lib.evaluation import device_of, evaluating
from course_lib.vae.model import Terms


class Bounded(Protocol):
    """A model whose log p(x) is bounded from below."""

    def terms(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Both terms of the ELBO."""

    def log_weights(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """One draw of log p(x, z) - log q(z|x) per sample."""


def elbo(model: Bounded, x: Tensor, generator: torch.Generator, *, batch: int = 200) -> Terms:
    """Both terms of the ELBO for each sample x (N, ...), one draw of z each, in batches, as `evaluating` does."""
    checks.whole("batch", batch)
    checks.generator("generator", generator)
    device = device_of(model)
    with evaluating(model):
        parts = [model.terms(part.to(device), generator) for part in x.split(batch)]
    return Terms(*(torch.cat(column).to(x.device) for column in zip(*parts, strict=True)))


def iwae(model: Bounded, x: Tensor, draws: int, generator: torch.Generator, *, batch: int = 1000) -> Tensor:
    """log (1/K) Σ_k p(x, z_k)/q(z_k|x) with K = `draws`: an estimate of log p(x) from below, (N,), of x (N, ...).

    Burda et al. 2016, Eq. (8). `batch` pairs of sample and draw are computed at once, in eval mode.
    """
    draws = checks.whole("draws", draws)
    at_once = min(draws, checks.whole("batch", batch))
    checks.generator("generator", generator)
    device, results = device_of(model), []
    with evaluating(model):
        for part in x.split(max(1, batch // draws)):
            weights = []
            for done in range(0, draws, at_once):
                repeats = min(at_once, draws - done)
                repeated = part.to(device).repeat_interleave(repeats, 0)  # (n·K, ...)
                weights.append(model.log_weights(repeated, generator).view(len(part), repeats))
            results.append(log_mean_exp(torch.cat(weights, 1)))
    return torch.cat(results).to(x.device)


def log_mean_exp(log_w: Tensor) -> Tensor:
    """log of the mean of exp(log_w) over the last axis: (..., K) -> (...), without overflow."""
    return log_w.logsumexp(-1) - math.log(log_w.shape[-1])


def effective_sample_size(log_w: Tensor) -> Tensor:
    """(Σ w)² / Σ w² of importance weights given by their logarithms (Kong 1992): (..., K) -> (...), from 1 to K."""
    log_w = log_w - log_w.amax(-1, keepdim=True)  # only ratios count, and small numbers are rounded less
    return (2 * log_w.logsumexp(-1) - (2 * log_w).logsumexp(-1)).exp()


def active_units(means: Tensor, threshold: float = 0.01) -> Tensor:
    """Which latents depend on x: variance of the posterior mean over x above `threshold`. (N, k) -> (k,) bool."""
    checks.tensor("means", means, "(N, k)")
    if len(means) < 2:
        raise ValueError("means: expected at least two samples, for one has no variance, got 1")
    return means.var(0) > threshold
