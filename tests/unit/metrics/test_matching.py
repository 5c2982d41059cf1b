"""The matching score: known distances, POT and SciPy, its proof and its interval; the sparse variant and its traps."""

import math
import warnings

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array, hstack
from scipy.sparse.csgraph import maximum_bipartite_matching, min_weight_full_bipartite_matching
from scipy.spatial.distance import cdist
from torch.nn.functional import avg_pool2d

from course_lib import data
from course_lib.metrics import assignment, column_generation, matching
from course_lib.metrics.matching import (
    IdenticalSets,
    cost_by_class,
    cost_matrix,
    matching_score,
    neighbours,
    real_baseline,
    score_difference,
    sparse_matching_score,
)
from tests.unit.proof import generator


def gauss(n, d, seed=0, shift=0.0, scale=1.0):
    x = scale * torch.randn(n, d, generator=generator(seed), dtype=torch.float64)
    x[:, 0] += shift
    return x


def dense(a, b, **options):
    return matching_score(a, b, extractor="points", **options)


def sparse(a, b, k, **options):
    return sparse_matching_score(a, b, k, extractor="points", **options)


# The first half of MNIST's test set is neater than the second, so that its first thousand are no random sample.
DRAWN = {
    part: torch.randperm(size, generator=generator())[:1000]
    for part, size in (("train", 60_000), ("test", 10_000))
}


@pytest.fixture(scope="module")
def digits():
    """A thousand real digits and a thousand others, at half the resolution, for speed."""
    return tuple(avg_pool2d(data.mnist(part)[0][DRAWN[part]], 2) for part in ("train", "test"))


# Known values


def test_a_shift_of_one_sample_costs_its_length():
    """Translations are optimal: W₁ = ‖δ‖ and W₂² = ‖δ‖², whatever the sample."""
    x, delta = gauss(200, 3), torch.tensor([3.0, -4.0, 12.0])
    assert dense(x, x[torch.randperm(200, generator=generator())] + delta).value == pytest.approx(
        13, rel=1e-12
    )
    assert dense(x, x.flip(0) + delta, cost="squared").value == pytest.approx(169, rel=1e-12)


def test_on_the_line_sorted_samples_are_matched():
    a, b = gauss(300, 1), gauss(300, 1, 1, 0.5, 2.0)
    gaps = (a.sort(0).values - b.sort(0).values).abs()
    assert dense(a, b).value == pytest.approx(float(gaps.mean()), rel=1e-12)
    assert dense(a, b, cost="squared").value == pytest.approx(float(gaps.square().mean()), rel=1e-12)


def test_the_score_is_a_mean_and_its_plan_has_entries_one_over_n():
    """Errata T13: with entries 1 the 'plan' has mass n, and its cost grows with n instead of settling."""
    a, b = gauss(60, 2), gauss(60, 2, 1)
    result = dense(a, b)
    plan = ot.emd(np.full(60, 1 / 60), np.full(60, 1 / 60), cdist(a, b))
    assert np.allclose(plan[plan > 0], 1 / 60) and (plan > 0).sum() == 60
    assert {tuple(p) for p in result.pairs.tolist()} == {tuple(p) for p in np.argwhere(plan).tolist()}
    total = lambda a, b: float(dense(a, b).costs.sum())  # noqa: E731 - the wrong version
    twice = torch.cat([a, a + 1e-9]), torch.cat([b, b + 1e-9])
    assert dense(*twice).value == pytest.approx(result.value, rel=1e-6)
    assert total(*twice) == pytest.approx(2 * total(a, b), rel=1e-6)


# Independent implementations


@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 1), (50, 2), (400, 5), (650, 2), (650, 20), (1210, 64)])
@pytest.mark.parametrize("cost", ["euclidean", "squared"])
def test_dense_is_pots_and_scipys_with_its_proof(n, d, cost):
    a, b = gauss(n, d), gauss(n, d, 1, 0.7, 1.3)
    c = cdist(a, b, "sqeuclidean" if cost == "squared" else cost)
    rows, columns = linear_sum_assignment(c)
    result = dense(a, b, cost=cost)
    assert result.value == pytest.approx(c[rows, columns].mean(), rel=1e-12, abs=1e-12)
    uniform = np.full(n, 1 / n)
    assert abs(result.value - ot.emd2(uniform, uniform, c)) < 1e-9
    u, v = (x.numpy() for x in result.potentials)
    assert (c - u[:, None] - v).min() > -1e-9 * c.max()
    assert u.mean() + v.mean() == pytest.approx(result.value, rel=1e-10)
    i, j = result.pairs.T.numpy()
    assert sorted(i) == sorted(j) == list(range(n))
    assert np.allclose(c[i, j], result.costs, rtol=1e-10) and (np.diff(result.costs) >= 0).all()
    assert result.n == result.reference == n and result.deficiency == 0


def test_on_digits_too(digits):
    real, test = digits
    result = matching_score(real, test, extractor=None)
    c = cdist(real.flatten(1), test.flatten(1))
    assert column_generation.concentrated(c)
    rows, columns = linear_sum_assignment(c)
    assert result.value == pytest.approx(c[rows, columns].mean(), rel=1e-9)
    assert str(result).startswith("matching score W₁ 4.") and "n = 1,000 against 1,000" in str(result)


@pytest.mark.parametrize("offset", [0.0, -50.0])
def test_pricing_is_exact_whatever_the_costs(offset):
    """Ties, hubs, rows and columns of very different price, costs below zero."""
    g = np.random.default_rng(0)
    for c in (
        g.integers(0, 5, (900, 900)).astype(float),
        g.random((700, 700)) + 10 * g.random((700, 1)) + 10 * g.random(700),
        np.exp(2 * g.standard_normal((801, 801))),
        cdist(g.standard_normal((650, 2)), g.standard_normal((650, 2))),
    ):
        c += offset
        columns, u, v = column_generation._by_pricing(c)
        rows, best = linear_sum_assignment(c)
        scale = np.abs(c).max()
        assert abs(c[np.arange(len(c)), columns].mean() - c[rows, best].mean()) < 1e-10 * scale
        assert (c - u[:, None] - v).min() > -1e-9 * scale


def test_pricing_stops_at_rounding_errors_and_after_a_few_rounds(monkeypatch):
    """Costs over seven orders of magnitude: the solver's own errors are edges of negative reduced cost, for ever."""
    solved, simplex = [], column_generation._simplex
    monkeypatch.setattr(
        column_generation, "_simplex", lambda *args: solved.append(len(args)) or simplex(*args)
    )
    monkeypatch.setattr(column_generation, "SMALL", 300)
    column_generation._by_pricing(np.exp(2 * np.random.default_rng(0).standard_normal((801, 801))))
    assert len(solved) <= 9  # three sizes
    solved.clear()
    monkeypatch.setattr(column_generation, "ROUNDS", 1)
    c = cdist(np.random.default_rng(0).standard_normal((650, 2)), np.zeros((650, 2)))
    columns, _, _ = column_generation._by_pricing(c + np.random.default_rng(1).random(c.shape))
    assert sorted(columns) == list(range(650)) and solved[-1] == 1  # all edges


def test_the_network_simplex_proves_its_matching_on_few_edges_as_on_all():
    g = np.random.default_rng(0)
    c = g.standard_normal((40, 40))
    every = np.arange(1600)
    for columns, u, v in (column_generation._simplex(c), column_generation._simplex(c, every)):
        assert sorted(columns) == list(range(40))
        assert (c - u[:, None] - v).min() > -1e-12
        assert u.sum() + v.sum() == pytest.approx(c[np.arange(40), columns].sum(), abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 10, 784])
def test_cost_matrix_keeps_the_digits_of_close_pairs(d):
    """The plain expansion puts copies of far-away points at 1e-6 of their norm, or NaN, instead of 0."""
    a = gauss(300, d) + 1e3
    b = torch.cat([a[:100], a[100:200] + 1e-7, gauss(50, d, 1) + 1e3])
    exact = torch.from_numpy(cdist(a, b))
    got = cost_matrix(a, b)
    assert float(((got - exact).abs() / exact.clamp(min=1e-6)).max()) < 1e-9
    assert float(got[:100, :100].diagonal().max()) == 0
    naive = (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp(min=0).sqrt()
    assert float((naive - exact).abs().max()) > 1e-5
    assert torch.allclose(cost_matrix(a, b, cost="squared"), exact.square(), rtol=1e-9)


def test_results_depend_neither_on_blocks_nor_order_nor_precision(monkeypatch, digits):
    real, test = (x[:300].flatten(1) for x in digits)
    value = dense(real, test).value
    p, q = (torch.randperm(300, generator=generator(s)) for s in (1, 2))
    assert dense(real[p], test[q]).value == pytest.approx(value, rel=1e-12)
    assert dense(real.double(), test.double()).value == pytest.approx(value, rel=1e-12)
    assert dense(test, real).value == pytest.approx(value, rel=1e-12)
    nearest = sparse(real, test, 5)
    monkeypatch.setattr(matching, "_BLOCK", 10_000)
    assert dense(real, test).value == pytest.approx(value, rel=1e-12)
    again = sparse(real[p], test[q], 5)
    assert again.value == pytest.approx(nearest.value, rel=1e-12)
    assert again.deficiency == nearest.deficiency


# Uncertainty and bias


@pytest.mark.parametrize(
    ("d", "shift", "scale", "cost"), [(1, 1, 1, "squared"), (2, 0, 2, "euclidean"), (10, 1, 1.3, "squared")]
)
def test_the_interval_covers_the_expected_score(d, shift, scale, cost):
    """Over 120 samples: as often as promised, though intervals from the edge costs' spread fall short or overshoot."""
    scores = [
        dense(gauss(40, d, 2 * s), gauss(40, d, 2 * s + 1, shift, scale), cost=cost) for s in range(120)
    ]
    values = torch.tensor([float(s) for s in scores])
    covered = sum(abs(s.value - float(values.mean())) < s.ci95 for s in scores) / 120
    assert 0.88 <= covered <= 1
    if d == 1:  # a shift: the edges cost nearly the same, yet the score varies with the samples' means
        by_edges = [1.96 * float(s.costs.std()) / math.sqrt(40) for s in scores]
        assert sum(abs(v - values.mean()) < e for v, e in zip(values, by_edges)) / 120 < 0.9


def test_the_interval_is_the_known_one_for_a_shift():
    """W₂² between N(0, 1) and N(δ, 1): potentials are linear, the score varies as 2δ times a difference of means."""
    result = dense(gauss(800, 1), gauss(800, 1, 1, 3.0), cost="squared")
    assert result.ci95 == pytest.approx(1.96 * 2 * 3 * math.sqrt(2 / 800), rel=0.1)


def test_the_difference_of_two_scores_on_the_same_reals_is_surer_than_either():
    pairs = []
    for s in range(100):
        real = gauss(50, 2, 3 * s)
        pairs.append([dense(real, gauss(50, 2, 3 * s + k, k, 1.0)) for k in (1, 2)])
    differences = [score_difference(b, a) for a, b in pairs]
    values = torch.tensor([x.value for x in differences])
    assert differences[0].value == pairs[0][1].value - pairs[0][0].value
    covered = sum(abs(x.value - float(values.mean())) < x.ci95 for x in differences) / 100
    assert 0.88 <= covered <= 1
    unpaired = [math.hypot(a.ci95, b.ci95) for a, b in pairs]
    assert np.mean([x.ci95 for x in differences]) < 0.9 * np.mean(unpaired)


def test_the_score_of_equal_distributions_falls_like_n_to_minus_one_over_d():
    """Errata T12: in 5 dimensions twice the samples take off 13 %, and ten times as many a third."""
    sizes, d = [100, 400, 1600], 5
    x = torch.rand(5000, d, generator=generator())
    scores = [float(real_baseline(x, n, generator(1), extractor="points")) for n in sizes]
    slope = np.polyfit(np.log(sizes), np.log(scores), 1)[0]
    assert slope == pytest.approx(-1 / d, abs=0.05)
    assert scores[-1] > 0.15


def test_a_memoriser_beats_the_test_set(digits):
    """The score favours it, as the thesis found; the baseline tells how much is too little."""
    real, test = digits
    copied = real[torch.randint(1000, (1000,), generator=generator())]
    baseline = matching_score(real, test, extractor=None)
    memoriser = matching_score(real, copied, extractor=None)
    assert memoriser.value < 0.5 * baseline.value
    assert int((memoriser.costs == 0).sum()) > 600


# Neighbours and the sparse variant


@pytest.mark.parametrize(
    ("n", "m", "d", "k"), [(100, 80, 1, 1), (300, 500, 2, 7), (50, 400, 784, 15), (20, 20, 3, 20)]
)
def test_neighbours_are_exact(n, m, d, k):
    a, b = gauss(n, d) + 100, gauss(m, d, 1) + 100
    indices, distances = neighbours(a, b, k)
    exact = torch.from_numpy(cdist(a, b))
    assert torch.equal(indices, exact.topk(k, 1, largest=False).indices)
    assert torch.allclose(distances, exact.gather(1, indices), rtol=1e-12)


def test_neighbours_are_exact_where_single_precision_is_lost():
    """A cloud of 1e-5 beside a far point: single precision sees all its distances as equal."""
    b = torch.cat([1e-5 * gauss(200, 3), torch.full((1, 3), 1e3, dtype=torch.float64)])
    a = 1e-5 * gauss(20, 3, 1)
    exact = torch.from_numpy(cdist(a, b))
    rough = (b.float().square().sum(1) - 2 * a.float() @ b.float().T).topk(4, 1, largest=False).indices
    assert torch.equal(neighbours(a, b, 4)[0], exact.topk(4, 1, largest=False).indices)
    centred = (b - b.mean(0)).float()
    rough = (
        (centred.square().sum(1) - 2 * (a - b.mean(0)).float() @ centred.T).topk(4, 1, largest=False).indices
    )
    assert not torch.equal(rough.sort(1).values, exact.topk(4, 1, largest=False).indices.sort(1).values)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_sparse_is_the_flow_of_the_thesis(k, both):
    """As many pairs as Hopcroft and Karp find, at the cost of the minimum-cost maximum flow written out."""
    for seed in range(8):
        a, b = gauss(40, 3, 2 * seed), gauss(40, 3, 2 * seed + 1, 0.5)
        c = cdist(b, a)  # rows are generated
        edges = c <= np.sort(c, 1)[:, k - 1 : k]
        if both:
            edges |= c <= np.sort(c, 0)[k - 1]
        result = sparse(a, b, k, both=both)
        columns = assignment.match_by_flow(c, edges)
        rows = np.flatnonzero(columns >= 0)
        assert (
            len(result.costs) == len(rows) == (maximum_bipartite_matching(csr_array(edges), "row") >= 0).sum()
        )
        assert result.value == pytest.approx(c[rows, columns[rows]].mean(), rel=1e-12)
        assert result.deficiency == pytest.approx(1 - len(rows) / 40)
        assert edges[result.pairs[:, 1], result.pairs[:, 0]].all()
        assert math.isnan(result.ci95) and result.potentials is None


def test_sparse_tends_to_dense_and_its_deficiency_to_zero(digits):
    """Thesis, figure 5.20: 10 to 15 neighbours leave less than 5 % of 1,000 test digits unmatched."""
    real, test = digits
    whole = matching_score(real, test, extractor=None)
    scores = {k: sparse_matching_score(real, test, k, extractor=None) for k in (1, 5, 15, 40)}
    deficiency = [s.deficiency for s in scores.values()]
    assert deficiency == sorted(deficiency, reverse=True)
    assert deficiency[0] > 0.4 and deficiency[2] < 0.05 and deficiency[3] == 0
    gaps = [abs(s.value - whole.value) / whole.value for s in scores.values()]
    assert gaps[3] < 0.01 < gaps[0]
    a, b = (x[:200] for x in digits)
    assert sparse_matching_score(a, b, 200, extractor=None).value == pytest.approx(
        matching_score(a, b, extractor=None).value, rel=1e-12
    )


def test_collapse_and_a_missing_mode_show_as_deficiency():
    real = torch.cat([gauss(100, 2), gauss(100, 2, 1) + 100])
    good = torch.cat([gauss(100, 2, 2), gauss(100, 2, 3) + 100])
    missing = gauss(200, 2, 4)
    collapsed = real[:1] + 0.01 * gauss(200, 2, 5)
    assert sparse(real, good, 20).deficiency < 0.05
    assert sparse(real, missing, 20).deficiency >= 0.5
    assert sparse(real, collapsed, 20).deficiency >= 0.85


def chain(n):
    """Reals and generated on a line so that the only largest matching moves every pair, and costs much more.

    Generated sample i sits on real i at cost 0 and is 1 from real i + 1; the last real is taken by generated n - 1 only
    if all others move on.
    """
    cost = np.full((n, n), np.inf)
    for i in range(n - 1):
        cost[i, i], cost[i, i + 1] = 0, 1
    cost[n - 1, 0] = 1
    return cost


def test_a_fixed_multiple_of_the_largest_cost_is_no_price_for_a_dummy():
    """Known wrong: 50 times the largest cost. An augmenting path through 200 rows costs more, and is not taken."""
    n = 200
    cost = chain(n)
    edges = np.isfinite(cost)
    rows, columns = np.nonzero(edges)
    largest = int((maximum_bipartite_matching(csr_array(edges), "column") >= 0).sum())
    assert largest == n

    def matched(price):
        graph = csr_array((cost[rows, columns] + 1, (rows, columns)), (n, n))
        dummies = csr_array((np.full(n, price + 1.0), (np.arange(n), np.arange(n))), (n, n))
        return int((min_weight_full_bipartite_matching(hstack([graph, dummies]).tocsr())[1] < n).sum())

    assert matched(50 * 1.0) == n - 1
    assert matched(np.where(edges, cost, 0).max(1).sum() + 1) == n


def test_the_score_itself_takes_the_long_augmenting_path():
    """The same chain as points on a line, one real per unit; the last generated sample is to the left of them all."""
    n = 150
    real = torch.arange(n, dtype=torch.float64)[:, None]
    generated = real + 0.01
    generated[-1] = -1.0  # its neighbours are the first reals, and the last real is left for generated n - 2
    result = sparse(real, generated, 2)
    assert result.deficiency == 0
    assert result.value == pytest.approx((1 + (n - 1) * 0.99) / n)
    assert (n - 1) * 0.99 > 50 * float(result.costs.max())  # more than fifty of the dearest edges


def test_edges_of_cost_zero_count():
    """Copies in a sample: SciPy drops explicit zeros, and the wrong version would match copies with strangers."""
    real = gauss(50, 4)
    generated = torch.cat([real[:25], gauss(25, 4, 1, 1.0)])
    result = sparse(real, generated, 3)
    zero = result.pairs[result.costs == 0]
    assert len(zero) >= 20 and bool((zero[:, 0] == zero[:, 1]).all())


# Reading a matching


def test_pairs_are_ranked_and_ones_are_cheapest(digits):
    """Thesis, figure 5.13: the cheapest edges are ones and sevens."""
    labels = data.mnist("train")[1][DRAWN["train"]]
    result = matching_score(*digits, extractor=None)
    i, j = result.pairs[:20].T
    assert float((digits[0][i] - digits[1][j]).flatten(1).norm(dim=1).max()) <= float(result.costs[20]) + 1e-4
    assert int((labels[i] == 1).sum()) >= 18
    means = [r.value for r in cost_by_class(result, labels, 10)]
    assert np.argsort(means)[0] == 1 and 7 in np.argsort(means)[1:4]
    weights = torch.bincount(labels, minlength=10) / 1000
    assert float((torch.tensor(means) * weights).sum()) == pytest.approx(result.value, rel=1e-6)
    assert cost_by_class(result, labels, 11)[10] is None


def test_copies_are_warned_of():
    x = gauss(30, 3)
    with pytest.warns(IdenticalSets, match=r"all 30 matched .* copies .* memorised"):
        assert dense(x, x.flip(0)).value == 0
    with pytest.warns(IdenticalSets):
        assert sparse(x, x.flip(0), 4).deficiency == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dense(x, torch.cat([x[:-1], x[-1:] + 1])).value == pytest.approx(math.sqrt(3) / 30)


IMAGES, X = torch.zeros(4, 1, 2, 2), gauss(9, 3)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: dense(X, X[:7]), ValueError, r"generated: expected as many .*9, got 7: .* first 7 of both"),
        (
            lambda: sparse(X, X[:7], 2),
            ValueError,
            r"generated: expected as many .*9, got 7: .* first 7 of both",
        ),
        (lambda: dense(X, X * math.nan), ValueError, "generated: expected finite"),
        (lambda: dense(X, X[:, :2]), ValueError, r"generated: expected shape \(N, 3\).*\(9, 2\)"),
        (lambda: dense(X.numpy(), X), TypeError, "real: expected a torch tensor"),
        (lambda: dense(X, X, cost="manhattan"), ValueError, "cost must be one of 'euclidean', 'squared'"),
        (
            lambda: matching_score(255 + IMAGES, IMAGES, extractor=None),
            ValueError,
            r"real: expected images in \[-1, 1\]",
        ),
        (
            lambda: matching_score(IMAGES, 255 + IMAGES, extractor=None),
            ValueError,
            r"generated: expected images in",
        ),
        (lambda: matching_score(X, X, extractor=None), ValueError, r"real: expected shape \(N, C, H, W\)"),
        (lambda: matching_score(IMAGES, IMAGES, extractor="x"), ValueError, r"real: expected shape \(N, d\)"),
        (
            lambda: matching_score(X, X, extractor=print),
            TypeError,
            "extractor must be the extractor.s name, or None",
        ),
        (lambda: sparse(X, X, 10), ValueError, "k must be .*<= 9 .the number of samples.; received 10"),
        (lambda: sparse(X, X, 0), ValueError, "k must be .*>= 1.*received 0"),
        (
            lambda: real_baseline(X, 5, generator(), extractor="x"),
            ValueError,
            "n must be .*<= 4 .half of the real",
        ),
        (
            lambda: cost_by_class(dense(X, X + 1), torch.zeros(3).long(), 2),
            ValueError,
            "labels: expected one .* 9, got 3",
        ),
        (lambda: score_difference(dense(X, X + 1), sparse(X, X + 1, 3)), ValueError, "got a sparse one"),
        (
            lambda: score_difference(dense(X, X + 1), dense(X[:5], X[:5] + 1)),
            ValueError,
            "same kind, n and extractor",
        ),
        (
            lambda: column_generation.solve(np.zeros((2, 3))),
            ValueError,
            r"cost: expected a square matrix, got shape \(2, 3\)",
        ),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


@pytest.mark.parametrize("cost", ["euclidean", "squared"])
def test_one_outlier_does_not_swamp_the_others(cost):
    """A point at 1e8 raised the dummies' price until the other costs had no digits left: 91.6 instead of 57.7."""
    real, made = (torch.randn(60, 3, generator=generator(k), dtype=torch.float64) for k in (0, 1))
    real[0], made[0] = 1e8, -1e8
    found = sparse_matching_score(real, made, 60, extractor="points", cost=cost)
    assert found.deficiency == 0
    rows, columns = (set(found.pairs[:, side].tolist()) for side in (0, 1))
    assert len(rows) == len(columns) == 60
    near = found.pairs[found.costs < 1e6]  # with whom the outliers are paired, their own costs decide
    c = cdist(real[near[:, 0]], made[near[:, 1]], "sqeuclidean" if cost == "squared" else "euclidean")
    assert float(found.costs[: len(near)].sum()) == pytest.approx(c[linear_sum_assignment(c)].sum(), rel=1e-9)
    assert 58 <= len(near) < 60


def test_what_does_not_fit_into_memory_is_refused_before_it_is_taken(monkeypatch):
    """60,000 rows ended in the allocator's error, or in the machine's."""
    monkeypatch.setattr("course_lib.checks.available_memory", lambda: 10**9)
    x = torch.zeros(1, 2).expand(60_000, 2)
    with pytest.raises(MemoryError, match=r"60,000 samples.*57\.6 GB.*1 GB are free.*sparse_matching_score"):
        matching_score(x, x, extractor="points")
    with pytest.raises(MemoryError, match=r"cost matrix of 60,000 x 60,000"):
        matching.cost_matrix(x, x)
