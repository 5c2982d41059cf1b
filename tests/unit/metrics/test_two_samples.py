"""Two sets against each other: closed forms, peers, levels of tests by simulation, and versions known to be wrong."""

import math
import warnings

import numpy as np
import pytest
import scipy.stats
import torch

from course_lib.metrics import IdenticalSets
from course_lib.metrics.two_samples import (
    classifier_two_sample,
    kernel_distance,
    kolmogorov_smirnov,
    parzen,
    sliced_wasserstein,
)
from tests.unit.proof import generator, rejects


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def over_pairs(x, y, with_diagonal=False):
    """The estimate of the squared discrepancy by its definition; biased if a sample is paired with itself."""
    n, m = len(x), len(y)
    xx, yy = kernel(x, x), kernel(y, y)
    if with_diagonal:
        return float(xx.mean() + yy.mean() - 2 * kernel(x, y).mean())
    within = (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1))
    return float(within - 2 * kernel(x, y).mean())


def kid(x, y, **options):
    return kernel_distance(x, y, extractor="test", **options).value


# ---- kernel distance


@pytest.mark.parametrize("batch", [1, 7, 16, 2048])
def test_kernel_distance_is_the_definition_in_blocks_of_any_size(batch):
    x, y = draw(50, 6), 1.2 * draw(33, 6, seed=1) + 0.1

    def check(of):
        assert of(x, y) == pytest.approx(over_pairs(x, y), rel=1e-10)

    check(lambda x, y: kid(x, y, batch=batch))
    check(lambda x, y: kid(y, x, batch=batch))
    check(lambda x, y: kid(x.flip(0), y.roll(3, 0), batch=batch))
    assert rejects(check, lambda x, y: over_pairs(x, y, with_diagonal=True))
    whole = kernel_distance(x, y, extractor="t")
    assert kernel_distance(x, y, extractor="t", batch=batch).ci95 == pytest.approx(whole.ci95, rel=1e-10)


def test_kernel_distance_of_known_means():
    """In one dimension E k(x, y) is a polynomial in the moments: here of N(0, 1) and N(1, 1)."""
    # k = (xy)³ + 3(xy)² + 3xy + 1; moments of N(0,1): 0, 1, 0; of N(1,1): 1, 2, 4
    expected = (4 - 0) ** 2 + 3 * (2 - 1) ** 2 + 3 * (1 - 0) ** 2
    found = kernel_distance(draw(4000, 1), draw(4000, 1, seed=1) + 1, extractor="t")
    assert found.value == pytest.approx(expected, abs=2 * found.ci95)
    assert found.ci95 < 0.25 * expected


def test_kernel_distance_is_that_of_the_peers():
    peer = pytest.importorskip("torch_fidelity.metric_kid")
    metrics = pytest.importorskip("torchmetrics.image.kid")
    x, y = draw(200, 32), 1.1 * draw(200, 32, seed=1)
    options = {"kid_subsets": 1, "kid_subset_size": 200, "rng_seed": 1, "verbose": False}
    theirs = peer.kid_features_to_metric(x, y, **options)["kernel_inception_distance_mean"]
    assert kid(x, y) == pytest.approx(theirs, rel=1e-5)
    assert kid(x, y) == pytest.approx(float(metrics.poly_mmd(x, y)), rel=1e-5)


def test_random_subsets_estimate_the_same():
    """The mean over subsets of Bińkowski et al. scatters about the estimate from all samples."""
    x, y = draw(500, 8), 1.2 * draw(500, 8, seed=1)
    g = generator(2)
    subsets = [
        over_pairs(x[torch.randperm(500, generator=g)[:100]], y[torch.randperm(500, generator=g)[:100]])
        for _ in range(100)
    ]
    assert np.mean(subsets) == pytest.approx(kid(x, y), abs=4 * np.std(subsets) / 10)


def test_it_is_unbiased_and_may_be_negative():
    def check(of):
        values = np.array([of(draw(30, 4, seed=s), draw(30, 4, seed=1000 + s)) for s in range(300)])
        assert abs(values.mean()) < 4 * values.std() / math.sqrt(300)
        assert 0.3 < (values < 0).mean() < 0.8

    check(kid)
    assert rejects(check, lambda x, y: over_pairs(x, y, with_diagonal=True))


@pytest.mark.parametrize(("scale", "low", "high"), [(1.3, 0.91, 0.985), (1.0, 0.96, 1.0)])
def test_the_interval_covers_and_is_too_long_at_equality(scale, low, high):
    found = [
        kernel_distance(draw(150, 8, seed=s), scale * draw(120, 8, seed=1000 + s), extractor="t")
        for s in range(300)
    ]
    values, lengths = (torch.tensor([getattr(f, name) for f in found]) for name in ("value", "ci95"))
    assert low < float(((values - values.mean()).abs() < lengths).double().mean()) <= high
    ratio = float(lengths.mean() / 1.96 / values.std())
    assert 0.9 < ratio < (1.2 if scale > 1 else 1.6)


# ---- Parzen window


def log_density(x, centres, sigma):
    """By SciPy, one sample at a time."""
    d = centres.shape[1]
    normal = scipy.stats.multivariate_normal(np.zeros(d), sigma**2 * np.eye(d))
    return [math.log(np.mean(normal.pdf((row - centres).numpy()))) for row in x]


def window(real, generated, validation, **options):
    return parzen(real, generated, validation=validation, extractor=None, **options)


@pytest.mark.parametrize("batch", [1, 9, 500])
def test_log_likelihood_is_the_mixture_s(batch):
    x, centres, held_out = draw(20, 3), draw(40, 3, seed=1), draw(30, 3, seed=2)

    def check(of):
        found = of(x, centres, held_out)
        assert found.value == pytest.approx(np.mean(log_density(x, centres, found.sigma)), rel=1e-10)

    def changed(shift):
        def of(*sets):
            found = window(*sets)
            return type(found)(**{**vars(found), "value": found.value + shift(found.sigma)})

        return of

    check(lambda *sets: window(*sets, batch=batch))
    normaliser = lambda sigma: math.log(2 * math.pi * sigma**2) / 2  # noqa: E731
    assert rejects(check, changed(lambda sigma: 3 * normaliser(sigma)))  # without the normaliser
    assert rejects(check, changed(lambda sigma: 2 * normaliser(sigma)))  # one for all dimensions
    assert rejects(check, changed(lambda sigma: math.log(40)))  # log-sum-exp for log-mean-exp


def test_far_samples_do_not_underflow():
    """exp(-d²/2σ²) is 0 in floating point for images: only its logarithm can be averaged."""
    x, centres = draw(30, 784), draw(50, 784, seed=1)
    found = window(x, centres, draw(30, 784, seed=2))
    assert -3000 < found.value < -500
    with np.errstate(divide="ignore"):
        squares = (x[:, None] - centres).square().sum(2).numpy()
        naive = np.log(np.exp(-squares / (2 * 0.2**2)).mean(1)).mean()
    assert naive == -math.inf


def test_the_width_is_the_best_for_the_validation_set():
    centres, held_out, test = draw(60, 2), draw(50, 2, seed=1), 0.2 * draw(50, 2, seed=2)
    widths = np.geomspace(0.2, 5, 60)

    def best_for(x):
        return widths[np.argmax([np.mean(log_density(x, centres, width)) for width in widths])]

    def check(sigma):
        assert sigma == pytest.approx(best_for(held_out), rel=0.05)

    check(window(test, centres, held_out).sigma)
    assert rejects(check, window(held_out, centres, test).sigma)  # chosen by the test set
    around = [
        np.mean(log_density(held_out, centres, window(test, centres, held_out).sigma * f))
        for f in (1, 0.97, 1.03)
    ]
    assert around[0] > max(around[1:])


def test_the_width_of_one_centre_is_the_root_mean_square():
    held_out = 0.7 * draw(400, 5)
    centres = torch.zeros(2, 5).double() + torch.tensor([[0.0], [1e-9]])
    expected = float(held_out.square().mean().sqrt())
    assert window(draw(9, 5), centres, held_out).sigma == pytest.approx(expected, rel=1e-3)


def test_its_interval_is_the_standard_error_over_the_test_samples():
    x, centres, held_out = draw(80, 3), draw(200, 3, seed=1), draw(60, 3, seed=2)
    found = window(x, centres, held_out)
    values = np.array(log_density(x, centres, found.sigma))
    assert found.ci95 == pytest.approx(1.96 * values.std(ddof=1) / math.sqrt(80), rel=1e-4)
    assert (found.n, found.reference, found.extractor) == (200, 80, None)


def test_a_memoriser_beats_the_true_distribution():
    """Theis et al. 2016: cluster centres of the data score better than samples of their own distribution."""
    modes = 3 * draw(20, 30)
    pick = torch.arange(200) % 20
    data = [modes[pick] + 0.3 * draw(200, 30, seed=s) for s in (1, 2, 3)]
    honest = window(data[0], data[1], data[2])
    centres = window(data[0], modes, data[2])
    assert centres.value - centres.ci95 > honest.value + honest.ci95


def test_more_windows_help_and_noise_hurts():
    x, held_out = draw(100, 6), draw(100, 6, seed=1)
    values = [window(x, draw(n, 6, seed=2), held_out).value for n in (10, 100, 1000)]
    assert values == sorted(values)
    exact = float((-0.5 * x.square().sum(1) - 3 * math.log(2 * math.pi)).mean())
    assert values[-1] < exact  # a window widens the distribution
    assert window(x, draw(1000, 6, seed=2) * 3, held_out).value < values[-1] - 1


# ---- sliced Wasserstein distance


def sliced(x, y, **options):
    return sliced_wasserstein(x, y, extractor="t", generator=generator(5), **options)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("m", [40, 55, 80])
def test_sliced_distance_is_that_of_the_peer(order, m):
    ot = pytest.importorskip("ot")
    x, y = draw(40, 4), 1.5 * draw(m, 4, seed=1) + 0.3
    w = torch.randn(4, 16, generator=generator(5), dtype=torch.float64)
    w /= w.norm(dim=0)
    theirs = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), projections=w.numpy(), p=order)
    found = sliced(x, y, order=order, directions=16)
    assert found.value == pytest.approx(theirs, rel=1e-9)
    assert found.value == pytest.approx(
        np.mean([ot.wasserstein_1d((x @ w)[:, i].numpy(), (y @ w)[:, i].numpy(), p=order) for i in range(16)])
        ** (1 / order),
        rel=1e-9,
    )


def test_a_shift_is_shortened_by_the_root_of_the_dimension():
    x = draw(30, 10)
    shift = draw(10, seed=3)

    def check(of):
        found = of(x, x + shift)
        assert found.value == pytest.approx(float(shift.norm()) / math.sqrt(10), abs=1.5 * found.ci95)

    check(lambda x, y: sliced(x, y, directions=4000))
    assert rejects(check, lambda x, y: sliced(x, 2 * y, directions=4000))
    assert sliced(x, x + shift, directions=4000).ci95 < 0.05 * float(shift.norm()) / math.sqrt(10)


def test_the_interval_is_over_directions():
    x, y = draw(60, 5), draw(50, 5, seed=1) + torch.tensor([1.0, 0, 0, 0, 0])
    found = [
        sliced_wasserstein(x, y, extractor="t", generator=generator(s), directions=60) for s in range(200)
    ]
    values, lengths = (torch.tensor([getattr(f, name) for f in found]) for name in ("value", "ci95"))
    assert 0.90 < float(((values - values.mean()).abs() < lengths).double().mean()) < 0.985


def test_sets_of_any_order_and_size_are_compared_exactly():
    x = draw(20, 3)
    y = torch.cat([x, x, x])[torch.randperm(60, generator=generator())]
    with pytest.warns(IdenticalSets):
        found = sliced(x, y)
    assert found.value == pytest.approx(0, abs=1e-12)  # the same distribution with three times the samples
    with pytest.warns(IdenticalSets):
        assert sliced(y, x, order=1).value == pytest.approx(0, abs=1e-12)


# ---- Kolmogorov-Smirnov


def ks(x, y, **options):
    return kolmogorov_smirnov(x, y, extractor="t", generator=generator(5), **options)


@pytest.mark.parametrize("ties", [False, True])
def test_the_statistic_is_scipys(ties):
    x, y = draw(40, 3), draw(55, 3, seed=1) + 0.4
    if ties:
        x, y = x.round()[:, :1], y.round()[:, :1]  # a single dimension keeps equal values equal
    w = torch.randn(x.shape[1], 8, generator=generator(5), dtype=torch.float64)
    w /= w.norm(dim=0)
    theirs = max(scipy.stats.ks_2samp(a.numpy(), b.numpy()).statistic for a, b in zip((x @ w).T, (y @ w).T))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdenticalSets)  # rounded values occur in both sets
        found = ks(x, y, directions=8, permutations=0)
    assert found.value == pytest.approx(theirs, abs=1e-12)
    assert math.isnan(found.p)
    assert math.isnan(found.ci95)


def smallest_p(x, y, g):
    """The smallest of the p-values of 16 directions, taken for a p-value: the wrong combination."""
    w = torch.randn(x.shape[1], 16, generator=g, dtype=torch.float64)
    return min(scipy.stats.ks_2samp(a.numpy(), b.numpy()).pvalue for a, b in zip((x @ w).T, (y @ w).T))


def rejections(test, level=0.1, repeats=200, n=30, more=0, shift=0.0, d=4):
    """Share of repetitions with p ≤ level, for samples that are apart by a shift of every dimension."""
    p = [
        test(draw(n, d, seed=s), draw(n + more, d, seed=10_000 + s) + shift, generator(s))
        for s in range(repeats)
    ]
    return np.mean(np.array(p) <= level)


def ks_p(x, y, g):
    return kolmogorov_smirnov(x, y, extractor="t", generator=g, directions=16, permutations=19).p


def sliced_p(x, y, g):
    return sliced_wasserstein(x, y, extractor="t", generator=g, directions=4, permutations=19).p


@pytest.mark.parametrize("test", [ks_p, sliced_p])
def test_permutation_tests_have_their_level_and_power(test):
    def check(test):
        # 0.1 ± 3 standard errors. Equal sizes make few values of the statistic, and p too large where they tie.
        assert 0.04 < rejections(test, more=7) < 0.17

    check(test)
    assert rejections(test, repeats=40, shift=0.9) > 0.75
    assert rejects(check, smallest_p)


def test_p_is_a_share_of_exchanges_with_the_given_one():
    x, y = draw(40, 3), draw(40, 3, seed=1) + 3
    assert ks(x, y, permutations=19).p == 1 / 20
    assert sliced(x, y, permutations=19).p == 1 / 20
    assert "p = 0.05" in str(ks(x, y, permutations=19))
    assert "p =" not in str(sliced(x, y))
    assert ks(x, y).p == ks(x, y).p  # the generator alone decides


# ---- classifier


def accuracy_test(x, y, classifier="logistic", seed=0):
    return classifier_two_sample(x, y, extractor="t", generator=generator(seed), classifier=classifier)


@pytest.mark.parametrize("classifier", ["logistic", "neighbours"])
def test_classifiers_have_their_level_and_power(classifier):
    def check(p):
        assert 0.04 < rejections(p) < 0.17

    def of_held_out(x, y, g):
        return classifier_two_sample(x, y, extractor="t", generator=g, classifier=classifier).p

    def of_training(x, y, g):
        """Accuracy on what the classifier has learnt from, taken for one on new samples."""
        from sklearn.linear_model import LogisticRegression

        z, labels = torch.cat([x, y]).numpy(), np.repeat([0, 1], len(x))
        accuracy = LogisticRegression().fit(z, labels).score(z, labels)
        return scipy.stats.norm.sf((accuracy - 0.5) * 2 * math.sqrt(len(z)))

    check(of_held_out)
    assert rejects(check, of_training)
    assert rejections(of_held_out, repeats=20, n=100, shift=0.8) > 0.9


def test_the_null_distribution_is_that_of_lopez_paz_and_oquab():
    found = [accuracy_test(draw(40, 3, seed=s), draw(40, 3, seed=5000 + s), seed=s) for s in range(200)]
    z = (np.array([f.value for f in found]) - 0.5) * 2 * math.sqrt(40)  # 40 of 80 are held out
    assert abs(z.mean()) < 4 / math.sqrt(200)
    assert 0.8 < z.std() < 1.2
    p = np.array([f.p for f in found])
    assert np.abs(p - scipy.stats.norm.sf(z)).max() < 1e-12


def test_only_neighbours_see_a_ring():
    """Equal means: a straight line cannot tell a ring from a Gaussian inside it, neighbours can."""
    x = draw(300, 2)
    ring = 3 * draw(300, 2, seed=1) / draw(300, 2, seed=1).norm(dim=1, keepdim=True)
    assert accuracy_test(x, ring, "neighbours").value > 0.9
    assert accuracy_test(x, ring, "neighbours").p < 1e-6
    assert accuracy_test(x, ring, "logistic").value < 0.65


def test_a_perfect_separation_and_its_counts():
    found = accuracy_test(draw(50, 2), draw(50, 2, seed=1) + 20)
    assert found.value == 1
    assert (found.n, found.reference) == (50, 50)
    assert found.p < 1e-6
    assert found.ci95 == 0
    weak = accuracy_test(draw(51, 2), draw(51, 2, seed=1) + 0.5)
    a = weak.value
    assert weak.ci95 == pytest.approx(1.96 * math.sqrt(a * (1 - a) / 52), rel=1e-3)


# ---- what comes in

X, Y = draw(20, 3), draw(20, 3, seed=1)


def with_defaults(score, **options):
    return lambda x, y, **more: score(x, y, **{"extractor": "t", **options, **more})


SCORES = [
    with_defaults(kernel_distance),
    with_defaults(parzen, validation=draw(9, 3, seed=2)),
    with_defaults(sliced_wasserstein, generator=generator()),
    with_defaults(kolmogorov_smirnov, generator=generator()),
    with_defaults(classifier_two_sample, generator=generator()),
]


@pytest.mark.parametrize("score", SCORES)
def test_bad_sets_are_named(score):
    for real, generated, error, says in [
        (X, Y * math.nan, ValueError, "generated: expected finite"),
        (X, draw(20, 4), ValueError, "generated: expected as many dimensions as real, 3, got 4"),
        (draw(5, 3, 8, 8), Y, ValueError, r"real: expected features \(N, d\), got .*extractor"),
        (X, Y[:1], ValueError, "generated: expected at least 2 samples, got 1"),
        (X.long(), Y, TypeError, "real: expected a floating-point"),
    ]:
        with pytest.raises(error, match=says):
            score(real, generated)
    with pytest.raises(TypeError, match="extractor must be"):
        score(X, Y, extractor=3)
    with pytest.warns(IdenticalSets) as caught:
        score(X, X.flip(0))
    assert caught[0].filename == __file__


@pytest.mark.parametrize("score", SCORES)
def test_lower_precision_and_order_change_nothing(score):
    if score is not SCORES[-1] and score is not SCORES[2] and score is not SCORES[3]:
        assert score(X.flip(0), Y.roll(3, 0)).value == pytest.approx(score(X, Y).value, rel=1e-9)
    x, y = X.float(), Y.float()
    fixed = {} if score in SCORES[:2] else {"generator": generator(1)}
    again = {} if score in SCORES[:2] else {"generator": generator(1)}
    assert score(x, y, **fixed).value == score(x.double(), y.double(), **again).value


def test_no_interval_for_identical_sets():
    with pytest.warns(IdenticalSets):
        found = kernel_distance(X, X, extractor="t")
    assert math.isnan(found.ci95)
    assert found.value < 0  # pairs of a sample with its copy are counted between the sets, not within


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: SCORES[0](X, Y, batch=0), ValueError, "batch must be"),
        (lambda: SCORES[1](X, Y, validation=draw(9, 2)), ValueError, r"validation: expected shape \(N, 3\)"),
        (
            lambda: SCORES[1](X, Y, validation=Y[:5]),
            ValueError,
            "validation: expected samples that were not generated",
        ),
        (lambda: SCORES[2](X, Y, order=0.5), ValueError, "order must be a finite number >= 1; received 0.5"),
        (lambda: SCORES[2](X, Y, directions=1), ValueError, "directions must be .*>= 2"),
        (lambda: SCORES[2](X, Y, permutations=-1), ValueError, "permutations must be .*>= 0"),
        (lambda: SCORES[3](X, Y, permutations=1.5), TypeError, "permutations must be"),
        (lambda: SCORES[4](X, Y[:15]), ValueError, "as many samples as real, and at least 10, got 15 and 20"),
        (lambda: SCORES[4](X[:9], Y[:9]), ValueError, "at least 10, got 9 and 9"),
        (
            lambda: SCORES[4](X, Y, classifier="svm"),
            ValueError,
            "classifier must be one of 'logistic', 'neighbours'",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
