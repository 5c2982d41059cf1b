"""What a card says of a score: value, interval, number of samples, and how exactly it can be repeated."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from course_lib import metrics

Facts = dict[str, Any]  # what a card says besides its scores, of a training for instance
Score = dict[str, Any]  # value, ci95 (0 where there is none), n and kind

# By how much a score may differ on another processor: a part of its value, but at least a floor in its own unit.
_RELATIVE = {"share": 5e-4, "count": 0.0, "mean": 5e-4, "distance": 2e-3}
_FLOOR = {"count": 1.0, "mean": 1e-5, "distance": 1e-3}


def full_name(function: Callable[..., Any]) -> str:
    """The name under which Python finds `function`: its module's, and its own."""
    return f"{function.__module__}.{function.__qualname__}"


def share(hits: Tensor) -> Score:
    """The share of True in `hits` (N,), with its 95 % interval, as `metrics.proportion`."""
    return proportion(int(hits.sum()) / len(hits), len(hits))


def proportion(value: float, n: int) -> Score:
    """A share of `n` samples with its 95 % interval, as `metrics.proportion`."""
    return card(metrics.proportion("share", value, n), "share")


def mean(values: Tensor) -> Score:
    """The mean of `values` (N,), one per sample, with its 95 % interval, as `metrics.mean`."""
    return card(metrics.mean("mean", values), "mean")


def count(value: int, n: int) -> Score:
    """How many different ones were found among `n` samples."""
    return {"value": value, "ci95": 0.0, "n": n, "kind": "count"}


def card(result: metrics.Result, kind: str) -> Score:
    """A result as a card has it; `kind` is share, count, mean or distance, and says how exactly it can be repeated."""
    return {"value": result.value, "ci95": result.ci95, "n": result.n, "kind": kind}


def tolerance(score: Mapping[str, Any]) -> float:
    """By how much this score may differ when it is computed again from the same weights."""
    kind = score["kind"]
    # A share: one and a half steps, that is one, and no doubt about how the difference itself is rounded.
    floor = 1.5 / score["n"] if kind == "share" else _FLOOR[kind]
    return max(_RELATIVE[kind] * abs(score["value"]), floor)
