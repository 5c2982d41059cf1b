"""A score says how sure it is: intervals cover what they claim, and print with the digits that they leave."""

from __future__ import annotations

import math

import pytest
import torch

from course_lib import metrics
from course_lib.metrics import Result


def test_a_result_prints_all_it_means_nothing_without():
    result = Result("Fréchet distance", 3.14159, 0.2718, 10_000, 5_000, "digits (CNN)")
    assert str(result) == "Fréchet distance 3.14 ± 0.27 (n = 10,000 against 5,000; digits (CNN))"
    assert float(result) == 3.14159
    assert str(Result("PSNR", 22.6713, math.nan, 1)) == "PSNR 22.67 (n = 1)"


@pytest.mark.parametrize(
    ("value", "ci95", "shown"),
    [
        (0.9963, 0.00119, "0.9963 ± 0.0012"),
        (12345.678, 98.7, "12346 ± 99"),
        (-0.0004, 0.02, "-0.000 ± 0.020"),
        (76.3612, 0.0, "76.36"),
        (0.0012345678, math.nan, "0.001235"),
    ],
)
def test_digits_follow_the_interval(value, ci95, shown):
    assert metrics.with_interval(value, ci95) == shown


def test_95_percent_intervals_of_a_mean_cover_95_percent():
    draws = torch.randn(4_000, 400, generator=torch.Generator().manual_seed(0)).exp()
    found = [metrics.mean("m", draw) for draw in draws]
    covered = sum(abs(r.value - math.exp(0.5)) < r.ci95 for r in found) / len(found)
    assert 0.92 < covered < 0.96  # a little below: 400 draws of a skewed distribution


def test_95_percent_intervals_of_a_share_cover_95_percent():
    draws = (torch.rand(4_000, 500, generator=torch.Generator().manual_seed(0)) < 0.3).double().mean(1)
    covered = [abs(p - 0.3) < metrics.proportion("p", p, 500).ci95 for p in draws.tolist()]
    assert abs(sum(covered) / len(covered) - 0.95) < 0.012


def test_one_sample_has_no_interval():
    assert math.isnan(metrics.mean("m", torch.tensor([2.0])).ci95)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.mean("m", torch.tensor([1.0, math.nan])), "expected finite numbers, got 1 NaN"),
        (lambda: metrics.mean("m", torch.zeros(2, 2)), "expected shape"),
        (lambda: metrics.proportion("p", 1.5, 10), "a share between 0 and 1; received 1.5"),
        (lambda: metrics.proportion("p", 0.5, 0), "whole number >= 1; received 0"),
    ],
)
def test_what_is_no_sample_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
