"""How generated discs are judged: all 32 that there are, are known (chapters 10 and 14)."""

from typing import Any

import torch
from torch import Tensor

from course_lib import data
from course_lib.cards import Score, count, mean, share
from course_lib.precision import course_defaults, float64

WRONG, FEW = 0.5, 0.02  # a pixel so far from its colour is wrong; a disc has at most this share of wrong ones


def score_discs(model: Any, n: int = 4_000) -> dict[str, Score]:
    """4,000 samples of seed 0: distance to the nearest of the 32 discs, share that is one, and discs that came up."""
    distance, which, is_disc = nearest_disc(model.sample(n, torch.Generator().manual_seed(0)))
    return {
        "distance to the nearest disc": mean(distance),
        "share of discs": share(is_disc),
        "radii of 32": count(len(which[is_disc].unique()), n),
    }


@course_defaults()
def nearest_disc(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of images x (N, 1, R, R): L2 distance to the nearest disc, its radius's index, and whether it is that disc.

    It is if at most a share of `FEW` of its pixels is farther than `WRONG` from the disc's. (N,) each, on the CPU.
    """
    templates = float64(data.discs(size=x.shape[-1])[0]).flatten(1)  # (32, R²)
    flat = float64(x.detach()).flatten(1)
    distance, which = torch.cdist(flat, templates).min(1)
    wrong = ((flat - templates[which]).abs() > WRONG).float().mean(1)  # (N,)
    return distance, which, wrong <= FEW
