"""What a recipe is, and how its results are written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from course_lib import metrics

Facts = dict[str, Any]
Score = dict[str, float]


@dataclass(frozen=True)
class Recipe:
    """How to make the empty model from its config, train it as ``train(rt, quiet, **settings)``, and score it."""

    build: Callable[[dict[str, Any]], nn.Module]
    train: Callable[..., tuple[nn.Module, Facts]]
    score: Callable[[nn.Module], dict[str, Score]]
    settings: dict[str, Any] | None = None


def proportion(value: float, n: int) -> Score:
    """A share of `n` samples with its 95 % interval, as `metrics.proportion`."""
    return _card(metrics.proportion("share", value, n))


def mean(values: Tensor) -> Score:
    """The mean of `values` (N,), one per sample, with its 95 % interval, as `metrics.mean`."""
    return _card(metrics.mean("mean", values))


def _card(result: metrics.Result) -> Score:
    return {"value": result.value, "ci95": result.ci95, "n": result.n}
