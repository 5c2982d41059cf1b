"""A score together with what it means nothing without: how many samples, which extractor, how uncertain."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from course_lib import checks
from course_lib.precision import float64

Z95 = 1.96  # standard errors in half a 95 % interval of the normal distribution


class IdenticalSets(UserWarning):
    """The generated samples are the real ones: what looks like a perfect score says nothing about a generator."""


@dataclass(frozen=True)
class Result:
    """One score; compare it only with one of the same extractor and the same numbers of samples."""

    name: str
    value: float
    ci95: float  # half-width of the 95 % confidence interval; NaN where none can be given
    n: int  # samples that were scored
    reference: int | None = None  # real samples they were compared with
    extractor: str | None = None  # what the features come from; None if pixels were compared

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        counts = f"n = {self.n:,}" + ("" if self.reference is None else f" against {self.reference:,}")
        source = "" if self.extractor is None else f"; {self.extractor}"
        return f"{self.name} {with_interval(self.value, self.ci95)} ({counts}{source})"


def mean(name: str, values: Tensor, *, reference: int | None = None, extractor: str | None = None) -> Result:
    """The mean of `values` (N,), one finite number per sample, with an interval of ± 1.96 standard errors."""
    values = float64(checks.tensor("values", values, "(N,)").detach())
    return Result(name, float(values.mean()), Z95 * standard_error(values), len(values), reference, extractor)


def standard_error(values: Tensor) -> float:
    """Of the mean of `values` (N,); NaN for a single one."""
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def proportion(
    name: str, value: float, n: int, *, reference: int | None = None, extractor: str | None = None
) -> Result:
    """A share `value` in [0, 1] of `n` samples; the interval's half-width is that of the normal approximation."""
    checks.whole("n", n)
    if not 0 <= checks.real("value", value) <= 1:
        raise ValueError(f"value must be a share between 0 and 1; received {value}")
    return Result(name, value, Z95 * math.sqrt(value * (1 - value) / n), n, reference, extractor)


def with_interval(value: float, ci95: float) -> str:
    """``value ± ci95`` to the second digit of the interval; without an interval, the value to four digits."""
    if not (math.isfinite(ci95) and ci95 > 0):
        return f"{value:.4g}"
    decimals = min(max(0, 1 - math.floor(math.log10(ci95))), 8)
    return f"{value:.{decimals}f} ± {ci95:.{decimals}f}"


def extractor_name(value: Any) -> None:
    """Check the name of an extractor: a text, or None for pixels."""
    if value is not None and not (isinstance(value, str) and value):
        raise TypeError(f"extractor must be the extractor's name, or None for pixels; received {value!r}")
