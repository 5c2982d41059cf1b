"""The boards: a kind of data with its real pictures, its extractor and its scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import data, features, metrics
from course_lib.leaderboard.entries import SEED, seeded
from course_lib.metrics.result import Z95, Result, standard_error
from course_lib.precision import float64
from course_lib.recipes.discs import nearest_disc
from course_lib.training import batched


class Board(NamedTuple):
    """What all rows of a board share."""

    judges: tuple[str, ...]  # checkpoints of the extractors
    n: int  # generated pictures, and as many real ones
    n_matching: int  # of them for the matching score
    real: Callable[[int], tuple[Tensor, Tensor]]  # n -> (n real pictures, n others)
    features: Callable[[Tensor], Tensor]  # pictures (N, C, H, W) -> (N, d)
    source: str | None  # what the features come from; None if they are the pixels
    scores: Callable[[Sets], dict[str, Result]]


class Sets(NamedTuple):
    """What a row is scored from."""

    board: Board
    real: Tensor  # pictures (n, C, H, W)
    x: Tensor  # generated ones, as many
    r: Tensor  # their features, (n, d)
    g: Tensor


def _two_draws(draw: Callable[..., tuple[Tensor, ...]]) -> Callable[[int], tuple[Tensor, Tensor]]:
    return lambda n: (draw(n, seed=1)[0], draw(n, seed=2)[0])


def _shuffled_digits(n: int) -> tuple[Tensor, Tensor]:
    x = data.mnist("test")[0]
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(SEED))]
    return x[:n], x[n : 2 * n]


def _score_digits(sets: Sets) -> dict[str, Result]:
    judge = features.digit_classifier()
    p = batched(judge.net.head, sets.g).softmax(1)
    training = F.one_hot(data.mnist("train")[1], 10).float()
    validation = data.mnist("train")[0][:1_000].flatten(1)  # only for the width of the windows
    source = {"extractor": judge.name}
    pixels = (pictures[: sets.board.n_matching].flatten(1) for pictures in (sets.real, sets.x))
    return {
        **_of_features(sets),
        "inception": metrics.inception_score(p, **source),
        "mode": metrics.mode_score(p, training, variant="marginal", **source),
        "m-is": metrics.modified_inception_score(p, **source),
        "entropy": class_entropy(p, **source),
        "confidence": metrics.mean("mean confidence", p.max(1).values, **source),
        "parzen": metrics.parzen(*pixels, validation=validation, extractor=None),
        **_of_pixels(sets),
    }


def _score_discs(sets: Sets) -> dict[str, Result]:
    """All discs of one radius are the same picture, so neighbours say nothing; but all pictures are known."""
    distance, which, is_disc = nearest_disc(sets.x)
    found, n = len(which[is_disc].unique()), len(sets.x)
    return {
        "nearest": metrics.mean("distance to the nearest disc", distance),
        "is disc": metrics.proportion("share of discs", int(is_disc.sum()) / n, n),
        "radii": Result("radii of 32", float(found), math.nan, n),
        **_of_pixels(sets),
    }


def _score_avatars(sets: Sets) -> dict[str, Result]:
    judge, natural = features.avatar_attributes(), features.imagenet(64)
    r, g = natural.features(sets.real), natural.features(sets.x)
    p, source = judge.probabilities(sets.x)["head"], {"extractor": judge.name}
    return {
        **_of_features(sets),
        "frechet natural": metrics.frechet(r, g, extractor=natural.name),
        "kernel natural": metrics.kernel_distance(r, g, extractor=natural.name),
        "inception": metrics.inception_score(p, **source),
        "entropy": class_entropy(p, **source),
        "confidence": metrics.mean("mean confidence", p.max(1).values, **source),
        **_of_pixels(sets),
    }


def _of_features(sets: Sets) -> dict[str, Result]:
    pair, source = (sets.r, sets.g), {"extractor": sets.board.source}
    near = metrics.precision_recall(*pair, **source)
    return {
        "frechet": metrics.frechet(*pair, **source),
        "kernel": metrics.kernel_distance(*pair, **source),
        "sliced": metrics.sliced_wasserstein(*pair, generator=seeded(1), **source),
        "classifier": metrics.classifier_two_sample(
            *pair, generator=seeded(2), classifier="neighbours", **source
        ),
        "precision": near.precision,
        "recall": near.recall,
        "density": near.density,
        "coverage": near.coverage,
    }


def _of_pixels(sets: Sets) -> dict[str, Result]:
    m = sets.board.n_matching
    return {"matching": metrics.matching_score(sets.real[:m], sets.x[:m], extractor=None)}


def class_entropy(probabilities: Tensor, *, extractor: str) -> Result:
    """Entropy H(p̄) of the mean class probabilities of (N, C), in nats: at most log C. Interval of the delta method."""
    p = float64(probabilities.detach())
    marginal = p.mean(0)
    influence = -torch.xlogy(p, marginal).sum(1)
    value, ci95 = float(torch.special.entr(marginal).sum()), Z95 * standard_error(influence)
    return Result("class entropy", value, ci95, len(p), extractor=extractor)


BOARDS: dict[str, Board] = {
    "digits": Board(
        ("digit_classifier",),
        5_000,
        2_000,
        _shuffled_digits,
        lambda x: features.digit_classifier().features(x),
        "digit_classifier (MNIST CNN)",
        _score_digits,
    ),
    "discs": Board((), 2_000, 1_000, _two_draws(data.discs), lambda x: x.flatten(1), None, _score_discs),
    "moving discs": Board(
        (),
        2_000,
        1_000,
        _two_draws(data.moving_discs),
        lambda x: F.avg_pool2d(x, 2).flatten(1),
        "pixels, averaged to 16 x 16",
        lambda sets: {**_of_features(sets), **_of_pixels(sets)},
    ),
    "avatars": Board(
        ("avatar_classifier",),
        2_000,
        1_000,
        lambda n: data.avatars(2 * n, 64, seed=1, progress=False)[0].split(n),
        lambda x: features.avatar_attributes().features(x),
        "avatar_classifier (Open Peeps CNN)",
        _score_avatars,
    ),
}
