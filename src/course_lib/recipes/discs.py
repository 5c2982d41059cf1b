"""How generated discs are judged: all 32 that there are, are known (chapters 10 and 14)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from course_lib import data
from course_lib.recipes.recipe import Score, mean, proportion

WRONG, FEW = 0.5, 0.02  # a pixel so far from its colour is wrong; a disc has at most this share of wrong ones


@torch.no_grad()
def score_discs(model: Any) -> dict[str, Score]:
    """4,000 samples of seed 0: distance to the nearest of the 32 discs, share that is one, and discs that came up."""
    x = model.sample(4_000, torch.Generator().manual_seed(0))
    distance, which, is_disc = nearest_disc(x)
    hit = len(which[is_disc].unique())
    return {
        "distance to the nearest disc": mean(distance),
        "share of discs": proportion(float(is_disc.double().mean()), len(x)),
        "radii of 32": {"value": hit, "ci95": 0.0, "n": len(x)},
    }


def nearest_disc(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of images x (N, 1, R, R): L2 distance to the nearest disc, its radius's index, and whether it is that disc.

    It is if at most a share of `FEW` of its pixels is farther than `WRONG` from the disc's. (N,) each.
    """
    templates = data.discs(size=x.shape[-1])[0].flatten(1).double()  # (32, R²)
    flat = x.flatten(1).double()
    distance, which = torch.cdist(flat, templates).min(1)
    wrong = ((flat - templates[which]).abs() > WRONG).double().mean(1)  # (N,)
    return distance, which, wrong <= FEW
