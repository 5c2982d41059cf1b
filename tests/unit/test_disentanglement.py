"""Mutual information against scikit-learn's, and its gap for codes that are right, mixed, or about something else."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from course_lib import data
from course_lib.disentanglement import entropies, mutual_information, mutual_information_gap
from tests.unit.proof import generator


@pytest.fixture(scope="module")
def factors():
    return data.moving_discs(5_000, size=8, levels=10)[1]


def noisy(factors, noise=0.1, seed=0):
    """Codes that know one factor each, monotonically but not linearly."""
    codes = (factors / 4.0).exp()
    return codes + noise * torch.randn(factors.shape, generator=generator(seed))


def binned(column, bins=20):
    edges = np.linspace(column.min(), column.max(), bins + 1)
    return np.digitize(column, edges[1:-1])


@pytest.mark.parametrize("bins", [2, 7, 20])
def test_mutual_information_is_scikit_learns(factors, bins):
    codes = noisy(factors, 1.0).double() @ torch.randn(4, 6, generator=generator(1), dtype=torch.float64)
    information = mutual_information(codes, factors, bins=bins)
    assert information.shape == (6, 4)
    expected = [[mutual_info_score(binned(z, bins), v) for v in factors.T.numpy()] for z in codes.T.numpy()]
    assert np.abs(information.numpy() - expected).max() < 1e-10


def test_information_of_known_pairs():
    """A copy tells everything, one of two bits half of it, their exclusive or nothing about either."""
    bits = torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat(5, 1)  # (20, 2)
    pair, xor = 2 * bits[:, 0] + bits[:, 1], bits[:, 0] ^ bits[:, 1]
    codes = torch.stack([pair, bits[:, 0], xor, torch.full((20,), 3)], 1).double()
    about = torch.stack([pair, bits[:, 0], xor], 1)
    bit = math.log(2)
    expected = [[2 * bit, bit, bit], [bit, bit, 0], [bit, 0, bit], [0, 0, 0]]
    assert np.abs(mutual_information(codes, about).numpy() - expected).max() < 1e-12
    assert np.abs(entropies(about).numpy() - [2 * bit, bit, bit]).max() < 1e-12


def test_information_does_not_depend_on_scale_order_or_names(factors):
    codes = noisy(factors).double()
    information = mutual_information(codes, factors)
    assert torch.allclose(mutual_information(-1e3 * codes + 7, factors), information, atol=1e-12)
    assert torch.allclose(mutual_information(codes[:, [2, 0]], factors), information[[2, 0]])
    renamed = torch.randperm(30, generator=generator())[factors]  # other names, some of them never used
    assert torch.allclose(mutual_information(codes, renamed), information)


def test_independent_codes_seem_informative_by_the_documented_bias():
    """(bins - 1)(levels - 1)/2N on average, for codes that fill their bins."""
    n, k = 2_000, 60
    codes = torch.rand(n, k, generator=generator())
    v = torch.randint(10, (n, 4), generator=generator(1))
    information = mutual_information(codes, v)
    error = float(information.std()) / math.sqrt(4 * k)
    assert float(information.mean()) == pytest.approx(19 * 9 / (2 * n), abs=4 * error + 0.001)


def test_one_latent_per_factor_has_a_gap_of_one(factors):
    codes = noisy(factors, 0.0)[:, [3, 1, 0, 2]]
    gap = mutual_information_gap(codes, factors)
    assert gap.shape == (4,)
    assert float(gap.max()) <= 1
    assert float(gap.min()) > 0.75  # steps of a nonlinear code share bins, and the runner-up has its bias
    exact = mutual_information_gap(factors.double(), factors, bins=10)
    assert float(exact.min()) > 0.99


def test_mixed_codes_have_a_small_gap(factors):
    """The same information, rotated by 45°: two latents know each factor equally well."""
    codes = factors.double()
    turned = torch.stack(
        [
            codes[:, 0] + codes[:, 1],
            codes[:, 0] - codes[:, 1],
            codes[:, 2] + codes[:, 3],
            codes[:, 2] - codes[:, 3],
        ],
        1,
    )
    assert float(mutual_information_gap(turned, factors).max()) < 0.03
    assert (
        float(mutual_information(turned, factors).max(0).values.min()) > 0.5
    )  # and it is not that they know nothing


def test_a_second_copy_closes_the_gap(factors):
    codes = factors.double()
    doubled = torch.cat([codes, codes[:, :1]], 1)
    gap = mutual_information_gap(doubled, factors)
    assert float(gap[0]) == 0
    assert float(gap[1:].min()) > 0.9


def test_unrelated_codes_have_no_gap(factors):
    codes = torch.randn(5_000, 6, generator=generator(2))
    assert float(mutual_information_gap(codes, factors).max()) < 0.01


def test_the_gap_is_the_best_minus_the_second_best_over_the_entropy(factors):
    codes = noisy(factors, 2.0).double() @ torch.randn(4, 5, generator=generator(4), dtype=torch.float64)
    information = mutual_information(codes, factors).numpy()
    gap = mutual_information_gap(codes, factors).numpy()
    for f in range(4):
        ordered = sorted(information[:, f])
        counts = np.bincount(factors[:, f].numpy()) / len(factors)
        assert gap[f] == pytest.approx(
            (ordered[-1] - ordered[-2]) / -(counts * np.log(counts)).sum(), rel=1e-9
        )


CODES, FACTORS = torch.rand(9, 3, generator=generator()), torch.arange(18).view(9, 2) % 4


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: mutual_information(CODES[0], FACTORS),
            ValueError,
            r"codes: expected shape \(N, k\).*\(3,\)",
        ),
        (
            lambda: mutual_information(CODES, FACTORS[:5]),
            ValueError,
            r"factors: expected shape \(9, F\).*\(5, 2\)",
        ),
        (lambda: mutual_information(CODES, FACTORS.float()), TypeError, "factors: expected integer.*float32"),
        (lambda: mutual_information(CODES.long(), FACTORS), TypeError, "codes: expected a floating-point"),
        (lambda: mutual_information(CODES * math.nan, FACTORS), ValueError, "codes: expected finite"),
        (lambda: mutual_information(CODES, FACTORS, bins=1), ValueError, "bins must be .*>= 2; received 1"),
        (lambda: mutual_information(CODES, FACTORS, bins=5.0), TypeError, "bins must be a whole number.*5.0"),
        (lambda: mutual_information(CODES, FACTORS - 1), ValueError, "factors: expected .*from 0.*got -1"),
        (lambda: entropies(FACTORS - 3), ValueError, "factors: expected .*from 0.*got -3"),
        (
            lambda: mutual_information_gap(CODES, FACTORS - 1),
            ValueError,
            "factors: expected .*from 0.*got -1",
        ),
        (
            lambda: mutual_information_gap(CODES[:, :1], FACTORS),
            ValueError,
            "codes: expected at least two latents",
        ),
        (
            lambda: mutual_information_gap(CODES, FACTORS * torch.tensor([1, 0])),
            ValueError,
            "factors: expected each to take two values or more, factor 1 never varies",
        ),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
