"""How many modes of a known distribution samples have, and how evenly (Metz et al. 2017, Lin et al. 2018).

Modes are the centres of a mixture, or the classes that a classifier finds, as the 1,000 of `data.stacked_mnist`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib import checks
from course_lib.metrics.distributions import sample, squared_distances
from course_lib.metrics.result import Z95, Result, proportion
from course_lib.precision import course_defaults, float64


class Modes(NamedTuple):
    """What `count_modes` finds."""

    captured: int  # modes with at least `least` high-quality samples
    quality: Result  # share of the samples that are high-quality
    counts: Tensor  # (modes,) int64: high-quality samples of each mode


@course_defaults()
def count_modes(
    generated: Tensor, centres: Tensor, *, std: float, within: float = 3.0, least: int = 1
) -> Modes:
    """Modes of the equal mixture of N(centre, std² I), `centres` (modes, d), among the samples `generated` (N, d).

    A sample is high-quality up to `within` · std from the nearest centre; `least` of them capture a mode. TypeError or
    ValueError for other types or shapes, numbers that are not positive, or modes at most 2 · within · std apart.
    """
    centres = float64(checks.tensor("centres", centres, "(K, D)").detach())
    x = float64(sample("generated", generated, dimensions=centres.shape[1]).detach())
    radius = checks.real("within", within, positive=True) * checks.real("std", std, positive=True)
    checks.whole("least", least)
    if len(centres) > 1 and (gap := float(torch.pdist(centres).min())) <= 2 * radius:
        raise ValueError(
            f"centres: expected modes further apart than 2 * within * std = {2 * radius:g}, so that a sample belongs "
            f"to one of them, got two at a distance of {gap:g}"
        )
    distances, nearest = squared_distances(x, centres).min(1)  # (N,)
    good = distances <= radius**2
    counts = torch.bincount(nearest[good], minlength=len(centres))
    quality = proportion("high-quality share", float(good.double().mean()), len(x))
    return Modes(int((counts >= least).sum()), quality, counts)


class ClassModes(NamedTuple):
    """What `count_classes` finds."""

    captured: int  # classes with at least one sample
    divergence: Result  # KL(samples' classes ‖ the true shares), in nats
    counts: Tensor  # (classes,) int64: samples of each class


@course_defaults()
def count_classes(
    labels: Tensor, classes: int, *, shares: Tensor | None = None, extractor: str | None = None
) -> ClassModes:
    """Classes among samples whose `labels` (N,) int64 a classifier gave, and the divergence of their histogram.

    KL(q ‖ p) = Σ q_k log(q_k / p_k), q the samples' shares, p those of the data, `shares` (classes,) > 0 with the sum
    1, by default all equal; a class without samples adds nothing. It is biased upwards: N samples of p itself have
    about (classes - 1) / 2N, which is 0.019 for 26,000 samples and 1,000 classes. The interval has the variance's terms
    of first and second order, V / N + (classes - 1) / 2N², where V = Var_q[log(q/p)] without what chance adds to it.

    TypeError or ValueError for other types or shapes, labels out of range, or shares that are no distribution.
    """
    checks.whole("classes", classes, at_least=2)
    n = len(checks.tensor("labels", labels, "(N,)", dtype="int"))
    counts = torch.bincount(checks.labels("labels", labels.cpu(), n, classes), minlength=classes)
    p = torch.full((classes,), 1 / classes, dtype=torch.float64) if shares is None else float64(shares)
    checks.of_shape("shares", checks.tensor("shares", p), f"({classes},)")
    if float(p.min()) <= 0 or abs(float(p.sum()) - 1) > 1e-5:
        got = f"a smallest of {float(p.min()):.3g} and a sum of {float(p.sum()):.6g}"
        raise ValueError(f"shares: expected positive numbers that sum to 1, got {got}")
    q = float64(counts) / n
    ratio = torch.where(q > 0, q / p, 1.0).log()  # 0 log 0 = 0
    value = float((q * ratio).sum())
    chance = (classes - 1) / n
    variance = (max(0.0, float((q * (ratio - value).square()).sum()) - chance) + chance / 2) / n
    divergence = Result("KL(samples ‖ data)", value, Z95 * math.sqrt(variance), n, extractor=extractor)
    return ClassModes(int((counts > 0).sum()), divergence, counts)
