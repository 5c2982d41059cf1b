"""How many modes of a known mixture samples have, and how many are good (Metz et al. 2017, Lin et al. 2018)."""

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib import checks
from course_lib.metrics.distributions import sample, squared_distances
from course_lib.metrics.result import Result, proportion
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
