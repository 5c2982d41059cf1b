"""What a recipe is, and how its results are written down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from course_lib import checks

Facts = dict[str, Any]
Score = dict[str, float]


@dataclass(frozen=True)
class Recipe:
    """How to make the empty model from its config, train it as ``train(rt, quiet, **(settings or {}))``, and score it."""

    build: Callable[[dict[str, Any]], nn.Module]
    train: Callable[..., tuple[nn.Module, Facts]]
    score: Callable[[nn.Module], dict[str, Score]]
    settings: dict[str, Any] | None = None


def proportion(value: float, n: int) -> Score:
    """A share of `n` samples with the half-width of its 95 % confidence interval (normal approximation)."""
    return {"value": value, "ci95": 1.96 * math.sqrt(value * (1 - value) / n), "n": n}


def mean(values: Tensor) -> Score:
    """The mean of `values` (N,), one per sample, with the half-width of its 95 % interval (1.96 standard errors)."""
    checks.tensor("values", values, "(N,)")
    n = len(values)
    error = float(values.double().std()) / math.sqrt(n) if n > 1 else math.nan
    return {"value": float(values.double().mean()), "ci95": 1.96 * error, "n": n}
