"""Fréchet distance and neighbourhoods against closed forms, peers, brute force, and versions known to be wrong."""

import math
import warnings

import numpy as np
import pytest
import scipy.linalg
import torch

from course_lib.metrics.distributions import (
    IdenticalSets,
    Moments,
    TooFewSamples,
    frechet,
    frechet_bias,
    frechet_infinity,
    precision_recall,
)
from tests.unit.proof import generator, rejects


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def correlated(n, d, seed=0, shift=0.0):
    """Features as a network gives them: not negative, correlated, of very different spreads."""
    mix = draw(d, d, seed=99) / math.sqrt(d) * torch.logspace(0, -2, d, dtype=torch.float64)
    return (draw(n, d, seed=seed) @ mix + 0.3 + shift).relu()


def value(real, generated, **options):
    return frechet(real, generated, extractor="test", **options).value


def squared_mean_plus(real, generated, root, ddof=1, power=2):
    """The distance by a given function for the trace of the root of ΣΣ': where the wrong versions differ."""
    x, y = real.double().numpy(), generated.double().numpy()
    a, b = (np.atleast_2d(np.cov(z, rowvar=False, ddof=ddof)) for z in (x, y))
    return np.linalg.norm(x.mean(0) - y.mean(0)) ** power + np.trace(a) + np.trace(b) - 2 * root(a, b)


def reference_root(a, b):
    """tr (A^½ B A^½)^½ by symmetric square roots: slow, and as the formula says."""
    values, vectors = np.linalg.eigh(a)
    half = vectors * np.sqrt(values.clip(0)) @ vectors.T
    return np.sqrt(np.linalg.eigvalsh(half @ b @ half).clip(0)).sum()


# ---- moments


@pytest.mark.parametrize("sizes", [[1000], [1, 999], [500, 500], [3, 90, 407, 500], [1] * 5 + [995]])
@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_moments_do_not_depend_on_the_batches_nor_lose_digits_to_a_large_mean(sizes, mean):
    x = correlated(1000, 12) + mean

    def check(gather):
        found_mean, found_covariance = gather(x.split(sizes))
        exact = (x - mean).numpy()  # no digit is lost by this difference
        assert np.abs(found_mean.numpy() - mean - exact.mean(0)).max() < (1e-8 if mean else 1e-12)
        expected = np.cov(exact, rowvar=False)
        assert np.abs(found_covariance.numpy() - expected).max() < (1e-7 if mean else 1e-11) * expected.max()

    def ours(batches):
        moments = Moments(12)
        for batch in batches:
            moments.add(batch)
        return moments.mean, moments.covariance

    def sums_of_products(batches):
        n, total, products = 0, torch.zeros(12).double(), torch.zeros(12, 12).double()
        for batch in batches:
            n, total, products = n + len(batch), total + batch.sum(0), products + batch.T @ batch
        return total / n, (products - torch.outer(total, total) / n) / (n - 1)

    def over_n(batches):
        found_mean, covariance = ours(batches)
        return found_mean, covariance * 999 / 1000

    check(ours)
    assert rejects(check, over_n)
    if mean:
        assert rejects(check, sums_of_products)


def test_moments_merge_in_any_order():
    x = correlated(300, 8)
    a, b, c = (Moments(8).add(part) for part in x.split([50, 249, 1]))
    whole = Moments(8).add(x)
    for merged in ((a + b) + c, c + (b + a), Moments(8) + a + b + c):
        assert merged.n == 300
        assert torch.allclose(merged.mean, whole.mean, rtol=1e-12)
        assert torch.allclose(merged.covariance, whole.covariance, rtol=0, atol=1e-13)
    assert a.n == 50  # and what was merged stays as it was
    assert torch.allclose(a.covariance, x[:50].T.cov(), atol=1e-13)


def test_moments_leave_the_features_and_hand_out_copies():
    x = correlated(20, 3)
    before = x.clone()
    moments = Moments(3).add(x)
    moments.mean.zero_()
    moments.covariance.zero_()
    assert torch.equal(x, before)
    assert torch.allclose(moments.covariance, x.T.cov())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_features_of_lower_precision(dtype):
    """Sums of 4,096 products in float32: random rounding errors of 2^-24 each add up to 64 · 2^-24 at most."""
    x = (correlated(5000, 10) + 5).to(dtype)
    exact = x.double().T.cov()

    def check(covariance):
        assert float((covariance(x) - exact).abs().max() / exact.max()) < 64 * 2**-24

    def sums_of_products(x):
        x = x.float()
        return (x.T @ x - len(x) * torch.outer(x.mean(0), x.mean(0))) / (len(x) - 1)

    check(lambda x: Moments(10).add(x).covariance)
    assert rejects(check, sums_of_products)
    a, b = (5 + correlated(5000, 10, seed=s, shift=0.05 * s).to(dtype) for s in (0, 1))
    assert value(a, b) == pytest.approx(value(a.double(), b.double()), rel=1e-5)


# ---- Fréchet distance


def test_distance_of_known_gaussians():
    """In one dimension (Δμ)² + (σ_r - σ_g)²; with independent ones their sum; with equal covariances ‖Δμ‖²."""
    x, y = draw(50, 1), 3 * draw(70, 1, seed=1) + 2
    expected = (x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2
    assert value(x, y) == pytest.approx(float(expected), rel=1e-12)

    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3).double()  # covariance 8/7 I exactly
    scale, shift = torch.tensor([3.0, 0.5, 1.0]).double(), torch.tensor([1.0, -2.0, 0.0]).double()
    expected = float(shift.square().sum() + 8 / 7 * (scale - 1).square().sum())
    assert value(corners, corners * scale + shift) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("d", [1, 4, 60])
def test_equal_covariances_leave_the_distance_of_the_means(d):
    x, shift = correlated(200, d), draw(d, seed=5)

    def check(distance):
        assert distance(x, x + shift) == pytest.approx(float(shift.square().sum()), rel=1e-9)

    check(value)
    assert rejects(check, lambda x, y: squared_mean_plus(x, y, reference_root, power=1))  # erratum T9


@pytest.mark.parametrize("d", [2, 16, 64])
def test_distance_is_that_of_the_slow_reference(d):
    x, y = correlated(300, d), 1.2 * correlated(250, d, seed=1, shift=0.1)
    expected = squared_mean_plus(x, y, reference_root)

    def check(distance):
        assert distance(x, y) == pytest.approx(expected, rel=1e-9)

    check(value)
    check(lambda x, y: value(y, x))
    check(lambda x, y: value(x.flip(0), y[torch.randperm(len(y), generator=generator())]))
    check(lambda x, y: value(Moments(d).add(x[:7]) + Moments(d).add(x[7:]), y))
    assert rejects(check, lambda x, y: squared_mean_plus(x, y, reference_root, ddof=0))
    assert rejects(check, lambda x, y: squared_mean_plus(x, y, reference_root, power=1))
    by_element = lambda a, b: np.trace(np.sqrt(np.abs(a @ b)))  # noqa: E731
    assert rejects(check, lambda x, y: squared_mean_plus(x, y, by_element))
    symmetric = lambda a, b: np.sqrt(np.linalg.eigvalsh(a @ b).clip(0)).sum()  # noqa: E731
    assert rejects(check, lambda x, y: squared_mean_plus(x, y, symmetric))  # reads one triangle of ΣΣ'
    product_of_roots = lambda a, b: np.trace(scipy.linalg.sqrtm(a) @ scipy.linalg.sqrtm(b))  # noqa: E731
    assert rejects(check, lambda x, y: squared_mean_plus(x, y, product_of_roots))


def test_distance_is_that_of_the_peers():
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    peer = pytest.importorskip("torchmetrics.image.fid")
    x, y = correlated(400, 48), correlated(300, 48, seed=1, shift=0.05)
    statistics = [fid.fid_features_to_statistics(z) for z in (x, y)]
    theirs = fid.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    also_theirs = float(peer._compute_fid(*(m for z in (x, y) for m in (z.mean(0), z.T.cov()))))
    assert value(x, y) == pytest.approx(theirs, rel=1e-9)
    assert value(x, y) == pytest.approx(also_theirs, rel=1e-9)
    # Of float32 features torch-fidelity takes the mean in float32, and is itself off by 1e-6; ours is not.
    a, b = x.float(), y.float()
    statistics = [fid.fid_features_to_statistics(z.double()) for z in (a, b)]
    exact = fid.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert value(a, b) == pytest.approx(exact, rel=1e-6)


def test_distance_does_not_see_rotations_and_shifts_and_scales_as_a_square():
    x, y = correlated(100, 6), correlated(90, 6, seed=1)
    turn = torch.linalg.qr(draw(6, 6, seed=2)).Q
    assert value(x @ turn + 7, y @ turn + 7) == pytest.approx(value(x, y), rel=1e-9)
    assert value(3 * x, 3 * y) == pytest.approx(9 * value(x, y), rel=1e-9)


def with_dead(x, columns):
    x = x.clone()
    x[:, columns] = 0.25
    return x


@pytest.mark.parametrize(
    ("real", "generated"),
    [
        (
            with_dead(correlated(200, 9), [2, 5]),
            with_dead(correlated(200, 9, seed=1), [2, 5]),
        ),  # dead features
        (correlated(200, 9), with_dead(correlated(200, 9, seed=1), [1])),  # dead in one set only
        (correlated(200, 9), correlated(1, 9, seed=1).expand(30, 9)),  # one image, over and over
        (correlated(1, 9, seed=1).expand(30, 9), correlated(1, 9, seed=2).expand(30, 9)),
        (
            torch.cat([correlated(200, 4)] * 2, 1),
            torch.cat([correlated(200, 4, seed=1)] * 2, 1),
        ),  # every twice
    ],
)
def test_singular_covariances(real, generated):
    x, y = (z.numpy() for z in (real, generated))
    root = np.linalg.svd((x - x.mean(0)) @ (y - y.mean(0)).T, compute_uv=False) if len(x) == len(y) else None
    cross = np.linalg.svd((y - y.mean(0)) @ (x - x.mean(0)).T, compute_uv=False)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum()
    expected -= 2 * cross.sum() / math.sqrt((len(x) - 1) * (len(y) - 1))  # tr (Σ_r^½ΣgΣ_r^½)^½ = ‖Y X'‖_*
    assert root is None or root.sum() == pytest.approx(cross.sum())
    found = frechet(real, generated, extractor="test")
    assert found.value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert isinstance(found.value, float)


def test_dead_features_stay_out_of_the_decomposition(monkeypatch):
    """LAPACK did not converge on the features of a generator after two steps, 21 of 1,280 of which varied at all."""
    sizes, eigh = [], torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: sizes.append(len(matrix)) or eigh(matrix))
    dead = torch.zeros(200, 50, dtype=torch.float64)
    real, generated = correlated(200, 4), correlated(200, 4, seed=1)
    padded = [torch.cat([x, dead], 1) for x in (real, generated)]
    found = frechet(*padded, extractor="test").value
    assert max(sizes) == 4
    assert found == pytest.approx(frechet(real, generated, extractor="test").value, rel=1e-9)


def test_too_few_samples_warn_and_still_compute():
    x, y = correlated(15, 40), correlated(20, 40, seed=1)
    with pytest.warns(TooFewSamples, match="15 samples for 40 dimensions.*mostly bias.*other real samples"):
        found = frechet(x, y, extractor="test")
    cross = np.linalg.svd(((x - x.mean(0)) @ (y - y.mean(0)).T).numpy(), compute_uv=False)
    expected = (x.mean(0) - y.mean(0)).square().sum() + x.var(0).sum() + y.var(0).sum()
    assert found.value == pytest.approx(float(expected) - 2 * cross.sum() / math.sqrt(14 * 19), rel=1e-9)
    assert math.isnan(found.ci95)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frechet(correlated(41, 40), correlated(42, 40, seed=1), extractor="test")


def test_a_result_says_what_it_is_of():
    found = frechet(correlated(50, 3), correlated(40, 3, seed=1), extractor="a network")
    assert (found.n, found.reference, found.extractor) == (40, 50, "a network")
    assert found.value == float(found)


@pytest.mark.parametrize("n", [60, 400])
def test_two_samples_of_one_gaussian_are_apart_by_the_bias(n):
    """2d/n + d(d + 1)/2(n - 1) for unit Gaussians; the common ½ d²/n is the part that grows fastest."""
    d, repeats = 12, 60
    both = [draw(2 * n, d, seed=s).split(n) for s in range(repeats)]
    values = torch.tensor([value(a, b, interval=False) for a, b in both])
    unit = Moments(d)  # of exactly I: every corner of ±√((n-1)/n)
    corners = torch.cat([torch.eye(d).double(), -torch.eye(d).double()])
    unit.add(corners * math.sqrt((2 * d - 1) / 2))
    bias = frechet_bias(unit, n, n)
    assert bias == pytest.approx(2 * d / n + d * (d + 1) / (2 * (n - 1)), rel=1e-12)
    error = float(values.std()) / math.sqrt(repeats)
    assert float(values.mean()) == pytest.approx(bias, abs=4 * error + bias * d / n / 2)  # next order
    assert float(values.mean()) > 6 * error  # not 0, though both are samples of the same
    assert frechet_bias(unit, 10**6, 10**6) * 2e6 / d**2 == pytest.approx(1 + 5 / d, rel=1e-5)


def test_the_bias_of_another_gaussian():
    scale = torch.logspace(0, -1.5, 8, dtype=torch.float64)
    values = torch.tensor(
        [
            value(draw(150, 8, seed=s) * scale, draw(300, 8, seed=1000 + s) * scale, interval=False)
            for s in range(80)
        ]
    )
    bias = frechet_bias(draw(20_000, 8, seed=7) * scale, 300, 150)
    assert float(values.mean()) == pytest.approx(
        bias, abs=4 * float(values.std()) / math.sqrt(80) + 0.05 * bias
    )


@pytest.mark.parametrize("fixed", [False, True])
def test_the_interval_covers_the_expected_score(fixed):
    """Coverage of 95 % intervals over repeated sampling, for skewed features; half as long ones are noticed."""
    real = draw(400, 4, seed=10_000).abs()

    def repeat(seed):
        r = real if fixed else draw(400, 4, seed=10_000 + seed).abs()
        return frechet(r, 1.3 * draw(300, 4, seed=seed).abs(), extractor="test", fixed_reference=fixed)

    found = [repeat(seed) for seed in range(250)]
    values, lengths = (torch.tensor([getattr(f, name) for f in found]) for name in ("value", "ci95"))
    off = (values - values.mean()).abs()
    assert 0.90 < float((off < lengths).double().mean()) < 0.985
    assert float((off < lengths / 2).double().mean()) < 0.85
    assert float(lengths.mean() / 1.96) == pytest.approx(float(values.std()), rel=0.15)


@pytest.mark.parametrize(
    "dead",
    [([], []), ([], [1, 3]), ([0], []), ([0, 2], [0, 2]), ([0], [4])],
    ids=["none", "g", "r", "both", "others"],
)
def test_the_interval_is_the_jackknife_s(dead):
    """Leaving out one sample changes the distance by its influence: another way to the same standard error."""
    x = with_dead(correlated(120, 5), dead[0])
    y = with_dead(1.3 * correlated(100, 5, seed=1, shift=0.2), dead[1])

    def spread(change, n):
        return (n - 1) ** 2 / n * float(torch.tensor(change).double().var())

    without_x = [value(torch.cat([x[:i], x[i + 1 :]]), y, interval=False) for i in range(len(x))]
    without_y = [value(x, torch.cat([y[:i], y[i + 1 :]]), interval=False) for i in range(len(y))]
    of_x, of_y = spread(without_x, len(x)), spread(without_y, len(y))
    assert frechet(x, y, extractor="t").ci95 == pytest.approx(1.96 * math.sqrt(of_x + of_y), rel=0.05)
    fixed = frechet(x, y, extractor="t", fixed_reference=True)
    assert fixed.ci95 == pytest.approx(1.96 * math.sqrt(of_y), rel=0.05)
    stored = frechet(Moments(5).add(x), y, extractor="t", fixed_reference=True)
    assert stored.ci95 == pytest.approx(fixed.ci95, rel=1e-9)


def test_where_there_is_no_interval():
    x, y = correlated(50, 4), correlated(50, 4, seed=1)
    m = Moments(4).add(x)
    assert math.isnan(frechet(m, y, extractor="t").ci95)
    assert math.isnan(frechet(x, Moments(4).add(y), extractor="t", fixed_reference=True).ci95)
    assert math.isnan(frechet(x, y, extractor="t", interval=False).ci95)
    both_dead = frechet(with_dead(x, [0]), with_dead(y, [0]), extractor="t")
    assert both_dead.ci95 == pytest.approx(frechet(x[:, 1:], y[:, 1:], extractor="t").ci95, rel=1e-6)
    with pytest.warns(IdenticalSets):
        assert math.isnan(frechet(x, x.flip(0), extractor="t").ci95)


def test_extrapolation_removes_most_of_the_bias():
    d, n = 10, 300
    plain, limit = [], []
    for seed in range(25):
        x, y = draw(n, d, seed=seed), draw(n, d, seed=100 + seed) + 0.1
        plain.append(value(x, y, interval=False))
        limit.append(frechet_infinity(x, y, extractor="t", generator=generator(seed)).value)
    truth, plain, limit = d * 0.01, torch.tensor(plain), torch.tensor(limit)
    assert float(plain.mean()) - truth > 0.2
    assert float(limit.mean()) == pytest.approx(truth, abs=4 * float(limit.std()) / 5 + 0.02)
    assert abs(float(limit.mean()) - truth) < 0.25 * (float(plain.mean()) - truth)


# ---- neighbourhoods


def brute_force(real, generated, k):
    """By the definitions, one distance at a time."""

    def radii(z):
        return [
            sorted(float((a - b).norm()) for j, b in enumerate(z) if j != i)[k - 1] for i, a in enumerate(z)
        ]

    r, g = radii(real), radii(generated)
    d = [[float((x - y).norm()) for x in real] for y in generated]  # [generated][real]
    n, m = range(len(real)), range(len(generated))
    return (
        np.mean([any(d[j][i] <= r[i] for i in n) for j in m]),
        np.mean([any(d[j][i] <= g[j] for j in m) for i in n]),
        np.mean([sum(d[j][i] <= r[i] for i in n) / k for j in m]),
        np.mean([any(d[j][i] <= r[i] for j in m) for i in n]),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("batch", [1, 7, 1024])
def test_neighbourhoods_are_those_of_brute_force(k, batch):
    x, y = correlated(40, 3), 1.3 * correlated(33, 3, seed=1, shift=0.3)
    found = precision_recall(x, y, extractor="t", k=k, batch=batch)
    assert [f.value for f in found] == pytest.approx(brute_force(x, y, k), abs=1e-12)
    shuffled = precision_recall(x.flip(0), y.roll(5, 0), extractor="t", k=k)
    assert [f.value for f in shuffled] == pytest.approx([f.value for f in found], abs=1e-12)


def test_neighbourhoods_are_those_of_the_peer():
    peer = pytest.importorskip("torch_fidelity.metric_prc")
    x, y = correlated(300, 8), 1.2 * correlated(250, 8, seed=1)
    theirs = peer.calculate_precision_recall_full(y, x, 3)
    ours = precision_recall(x, y, extractor="t")
    assert (ours.precision.value, ours.recall.value) == pytest.approx(theirs, abs=1e-6)  # float32 means


def test_a_sample_is_not_its_own_neighbour():
    """Counting itself makes the k-th neighbour the (k - 1)-th other, and balls too small."""
    x, y = draw(200, 5), draw(200, 5, seed=1)
    right = precision_recall(x, y, extractor="t", k=3)
    wrong = precision_recall(x, y, extractor="t", k=2)
    assert right.precision.value > wrong.precision.value + 0.02
    assert right.precision.value == pytest.approx(brute_force(x, y, 3)[0], abs=1e-12)


def test_quality_and_variety_are_told_apart():
    """Of two clusters one is left out: precise, half recalled. Far outliers added: less precise, all recalled."""
    left, right = draw(300, 2), draw(300, 2, seed=1) + 20
    real = torch.cat([left, right])
    one = precision_recall(real, draw(300, 2, seed=2), extractor="t")
    assert one.precision.value > 0.95
    assert one.recall.value == pytest.approx(0.5, abs=0.03)
    assert one.coverage.value == pytest.approx(0.45, abs=0.05)  # Naeem et al., Eq. (10): (1 - 2⁻³)/2 = 0.44
    noisy = torch.cat([draw(300, 2, seed=2), draw(300, 2, seed=3) + 20, 100 + 30 * draw(200, 2, seed=4)])
    more = precision_recall(real, noisy, extractor="t")
    assert more.precision.value == pytest.approx(0.75, abs=0.03)
    assert more.recall.value > 0.95
    assert more.density.value == pytest.approx(0.75, abs=0.1)  # about 1 for samples of the real distribution


def test_one_outlier_among_the_real_inflates_precision_but_not_density():
    real = torch.cat([draw(200, 2), torch.full((1, 2), 60.0).double()])
    between = 30 + draw(200, 2, seed=1)
    found = precision_recall(real, between, extractor="t")
    assert found.precision.value > 0.95
    assert found.density.value < 0.4
    assert found.coverage.value < 0.02


def test_duplicates_have_balls_of_radius_zero():
    real = draw(12, 3).repeat_interleave(5, 0) + 1e3
    generated = torch.cat([real[::10], draw(6, 3, seed=1) + 1e3])
    found = precision_recall(real, generated, extractor="t", k=3)
    assert found.precision.value == 0.5  # copies lie in the balls, though those are points
    assert found.coverage.value == 0.5


def test_shares_carry_their_counts():
    found = precision_recall(draw(80, 2), draw(50, 2, seed=1), extractor="net", k=4)
    for result in found:
        assert (result.n, result.reference, result.extractor) == (50, 80, "net")
        assert "k = 4" in result.name
    p, r = found.precision.value, found.recall.value
    assert found.precision.ci95 == pytest.approx(1.96 * math.sqrt(p * (1 - p) / 50), rel=1e-3)
    assert found.recall.ci95 == pytest.approx(1.96 * math.sqrt(r * (1 - r) / 80), rel=1e-3)


# ---- what comes in

X, Y = draw(20, 3), draw(20, 3, seed=1)
SCORES = [frechet, precision_recall]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("real", "generated", "error", "says"),
    [
        (X, Y * math.nan, ValueError, "generated: expected finite"),
        (X * math.inf, Y, ValueError, "real: expected finite"),
        (X, draw(20, 4), ValueError, "generated: expected as many dimensions as real, 3, got 4"),
        (draw(5, 3, 8, 8), Y, ValueError, r"real: expected features \(N, d\), got .*5, 3, 8, 8.*extractor"),
        (X, Y[:1], ValueError, "generated: expected at least 2 samples, got 1"),
        (X, Y[:0], ValueError, "generated: expected at least one element"),
        (X.long(), Y, TypeError, "real: expected a floating-point"),
        (X.numpy(), Y, TypeError, "real: expected a torch tensor, got ndarray"),
    ],
)
def test_bad_sets_are_named(score, real, generated, error, says):
    with pytest.raises(error, match=says) as caught:
        score(real, generated, extractor="t")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("score", SCORES)
def test_identical_sets_warn_in_any_order(score):
    for copy in (X, X.flip(0), X[:10], X.float().double()[:0]):
        if len(copy):
            with pytest.warns(IdenticalSets, match="also in the real set.*memorised.*nothing was compared"):
                score(X, copy, extractor="t")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(X, torch.cat([X[:19], Y[:1]]), extractor="t")
    with pytest.warns(IdenticalSets) as caught:
        score(X, X, extractor="t")
    assert caught[0].filename == __file__  # where the user called it


def test_the_extractor_has_to_be_named():
    for score in SCORES:
        with pytest.raises(TypeError, match="extractor"):
            score(X, Y)
        with pytest.raises(TypeError, match=r"extractor must be the extractor's name.*received 3"):
            score(X, Y, extractor=3)
        score(X, Y, extractor=None)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Moments(0), ValueError, "dimensions must be .*>= 1"),
        (lambda: Moments(4).add(X), ValueError, r"features: expected shape \(N, 4\).*20, 3"),
        (lambda: Moments(3).mean, ValueError, "at least 1 sample for a mean, got 0"),
        (
            lambda: Moments(3).add(X[:1]).covariance,
            ValueError,
            "covariance: expected at least 2 samples, got 1",
        ),
        (lambda: Moments(3) + Moments(4), ValueError, "moments of 3 dimensions, got 4"),
        (lambda: Moments(3) + 1, TypeError, "unsupported operand"),
        (
            lambda: frechet(Moments(3).add(X), draw(9, 2), extractor="t"),
            ValueError,
            "as many dimensions as real, 3",
        ),
        (
            lambda: frechet(Moments(3), Y, extractor="t"),
            ValueError,
            "real: expected at least 2 samples, got 0",
        ),
        (
            lambda: frechet(X, Moments(3).add(Y[:1]), extractor="t"),
            ValueError,
            "generated: .* 2 samples, got 1",
        ),
        (
            lambda: frechet(Moments(3).add(X), Y * math.nan, extractor="t"),
            ValueError,
            "generated: expected finite",
        ),
        (lambda: frechet_bias(X, 1, 5), ValueError, "n must be .*>= 2"),
        (
            lambda: frechet_infinity(X[:7], Y, extractor="t", generator=generator()),
            ValueError,
            r"at least 2\(d \+ 1\) = 8 samples.*got 7",
        ),
        (lambda: precision_recall(X, Y, extractor="t", k=20), ValueError, "k must be .*<= 19"),
        (lambda: precision_recall(X, Y, extractor="t", k=0), ValueError, "k must be .*>= 1"),
    ],
)
def test_bad_arguments_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
