"""Scores from a classifier's probabilities: the Inception score and its variants (chapter 13).

Each is a score of a *set*, with the interval of the delta method. Raises TypeError or ValueError for rows that are no
probabilities. N samples, C classes; p_i = p(y|x_i), a row of `probabilities`; p̄ = p(y) = mean of p_i; KL in nats.
"""

import itertools
import math

import torch
from torch import Tensor

from course_lib import checks
from course_lib.metrics.result import Z95, Result, extractor_name, standard_error
from course_lib.precision import course_defaults, float64


@course_defaults()
def inception_score(
    probabilities: Tensor, *, extractor: str, splits: int = 1, generator: torch.Generator | None = None
) -> Result:
    """exp(mean_i KL(p_i ‖ p̄)) of class probabilities (N, C): from 1 to C. High for sure and varied classes.

    With `splits` > 1, as Salimans et al. 2016: the mean over equal parts, shuffled by `generator`, and its interval.
    """
    p = _probabilities("probabilities", probabilities, extractor)
    n, splits = len(p), checks.whole("splits", splits, at_most=len(p), why="one sample in each")
    if splits == 1:
        divergences = _divergences(p, p.mean(0))
        return _exponential("Inception score", divergences.mean(), divergences, None, extractor)
    if not isinstance(generator, torch.Generator):
        why = "as splits of an ordered set mislead"
        raise TypeError(
            f"generator: expected a torch.Generator to shuffle with, {why}; received {generator!r}"
        )
    p = p[torch.randperm(n, generator=generator)]
    bounds = [i * n // splits for i in range(splits + 1)]
    parts = [p[start:end] for start, end in itertools.pairwise(bounds)]
    scores = torch.stack([_divergences(part, part.mean(0)).mean().exp() for part in parts])
    ci95 = Z95 * float(scores.std()) / math.sqrt(splits)
    return Result(f"Inception score ({splits} splits)", float(scores.mean()), ci95, n, None, extractor)


@course_defaults()
def modified_inception_score(
    probabilities: Tensor, *, extractor: str, labels: Tensor | None = None
) -> Result:
    """exp(mean KL(p_i ‖ p_j)) over pairs i ≠ j of one class: m-IS, from 1, high for variety *within* classes.

    `labels` (N,) are by default the likeliest classes; classes of one sample are left out. Gurumurthy et al. 2017.
    """
    p = _probabilities("probabilities", probabilities, extractor)
    n, classes = p.shape
    y = p.argmax(1) if labels is None else checks.labels("labels", labels, n, classes).cpu()
    inner, outer = [], []  # mean_j KL(p_i ‖ p_j) and mean_j KL(p_j ‖ p_i), over j ≠ i of the same class
    for label in y.unique():
        q = p[y == label]  # (n_y, C)
        if len(q) > 1:
            inner.append(_mean_divergence_to_others(q))
            outer.append(_mean_divergence_from_others(q))
    if not inner:
        raise ValueError(
            f"labels: expected a class with at least two samples, got {n}, each of its own class"
        )
    # Influence of a sample: as x_i, and as x_j of its class, where it replaces the class's mean.
    influence = torch.cat([a + b - a.mean() for a, b in zip(inner, outer, strict=True)])
    return _exponential("m-IS", torch.cat(inner).mean(), influence, None, extractor)


@course_defaults()
def mode_score(
    probabilities: Tensor, training: Tensor, *, extractor: str, variant: str = "identity"
) -> Result:
    """exp(mean_i KL(p_i ‖ p*) - KL(p̄ ‖ p*)), with p* the mean of `training` (M, C): *is* the Inception score.

    Che et al. 2017. The variant ``"marginal"`` (Xu et al. 2018) has KL(p_i ‖ p̄) in front, and punishes a missing
    class. ValueError for a generated class of probability 0 in training.
    """
    p = _probabilities("probabilities", probabilities, extractor)
    real = _probabilities("training", training, extractor)
    checks.choice("variant", variant, ("identity", "marginal"))
    if real.shape[1] != p.shape[1]:
        raise ValueError(f"training: expected {p.shape[1]} classes as in probabilities, got {real.shape[1]}")
    marginal, target = p.mean(0), real.mean(0)
    impossible = ((target == 0) & (marginal > 0)).nonzero().flatten().tolist()
    if impossible:
        got = f"class {impossible[0]} has 0; its divergence would be infinite"
        raise ValueError(f"training: expected every generated class to have a probability above 0, {got}")
    first = _divergences(p, target if variant == "identity" else marginal)
    second = _divergences(marginal[None], target)[0]
    influence = first - (torch.xlogy(p, marginal) - torch.xlogy(p, target)).sum(1)
    return _exponential("mode score", first.mean() - second, influence, len(real), extractor)


def _exponential(name: str, log: Tensor, influence: Tensor, reference: int | None, extractor: str) -> Result:
    """exp of an estimate, given its influence function (N,) up to a constant: an error e of it is one of e · exp."""
    value = float(log.exp())
    return Result(name, value, Z95 * value * standard_error(influence), len(influence), reference, extractor)


def _divergences(p: Tensor, q: Tensor) -> Tensor:
    """KL(p_i ‖ q): (N, C), (C,) -> (N,), with 0 log 0 = 0. Where q is 0, every p_i has to be."""
    logs = q.log().masked_fill(q == 0, 0)
    return (-torch.special.entr(p).sum(1) - p @ logs).clamp(min=0)  # below 0 only by rounding


def _mean_divergence_to_others(p: Tensor) -> Tensor:
    """mean over j ≠ i of KL(p_i ‖ p_j): (n, C) -> (n,). It is linear in log p_j, so no pair has to be formed."""
    zero = p == 0
    logs = p.log().masked_fill(zero, 0)
    others = (logs.sum(0) - logs) / (len(p) - 1)  # mean log p_j, (n, C)
    infinite = ((p > 0) & zero.any(0)).any(1)  # possible here, impossible for another
    return (torch.xlogy(p, p) - p * others).sum(1).masked_fill(infinite, math.inf).clamp(min=0)


def _mean_divergence_from_others(p: Tensor) -> Tensor:
    """mean over j ≠ i of KL(p_j ‖ p_i): (n, C) -> (n,). It is linear in p_j and in its entropy."""
    negentropy = torch.xlogy(p, p).sum(1)
    entropies = (negentropy.sum() - negentropy) / (len(p) - 1)
    others = (p.sum(0) - p).clamp(min=0) / (len(p) - 1)
    return (entropies - torch.xlogy(others, p).sum(1)).clamp(min=0)


def _probabilities(name: str, value: Tensor, extractor: str) -> Tensor:
    """`value` (N, C) in float64, with rows that sum to 1 to the last digit; the errors of a row that is none."""
    extractor_name(extractor)
    p = float64(checks.tensor(name, value, "(N, C)").detach())
    low, sums = float(p.min()), p.sum(1)
    worst = float(sums[(sums - 1).abs().argmax()])
    if low < 0 or abs(worst - 1) > 1e-3:
        raise ValueError(
            f"{name}: expected class probabilities, rows >= 0 that sum to 1, got a smallest value of {low:.3g} "
            f"and a row that sums to {worst:.4g}; turn logits into them by .softmax(1)"
        )
    return p / sums[:, None]


@course_defaults()
def total_variation(real: Tensor, generated: Tensor, *, classes: int, extractor: str) -> Result:
    """½ Σ ``|q - p|`` over the shares p, q of each class among labels `real` (M,) and `generated` (N,): from 0 to 1.

    Two samples of the same source have about √(C / (πN)) for even shares, not 0. The interval is that of the delta
    method with the signs of the differences as they are found.
    """
    labels = {"real": real, "generated": generated}
    y, z = (checks.labels(name, value, len(value), classes).cpu() for name, value in labels.items())
    p, q = (torch.bincount(x, minlength=classes).double() / len(x) for x in (y, z))
    signs = torch.sign(q - p)
    variance = (
        sum(float(signs[x].var()) / len(x) for x in (y, z)) / 4 if min(len(y), len(z)) > 1 else math.nan
    )
    value = float((q - p).abs().sum()) / 2
    return Result("total variation", value, Z95 * math.sqrt(variance), len(z), len(y), extractor)
