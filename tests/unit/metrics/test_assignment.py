"""Matchings written out, against SciPy on a thousand instances each, and the theorems that prove them optimal."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching, min_weight_full_bipartite_matching

from course_lib.metrics.assignment import (
    hungarian,
    match_by_flow,
    maximum_matching,
    min_cost_max_flow,
    vertex_cover,
)

KINDS = ["ties", "whole", "real", "negative"]


def instances(count, kind, seed=0):
    g = np.random.default_rng(seed)
    for _ in range(count):
        n = int(g.integers(1, 9))
        shape = n, n + int(g.integers(0, 4))
        if kind == "ties":
            yield g.integers(0, 4, shape)
        elif kind == "whole":
            yield g.integers(0, 100, shape)
        else:
            yield g.standard_normal(shape) * 1e3 if kind == "negative" else g.standard_normal(shape) ** 2


def graphs(count, seed=0):
    g = np.random.default_rng(seed)
    for _ in range(count):
        n, m = g.integers(1, 10, 2)
        yield g.random((n, m)) < g.choice([0.05, 0.2, 0.4, 0.8])


@pytest.mark.parametrize("kind", KINDS)
def test_hungarian_is_scipys_and_its_potentials_prove_it(kind):
    """Egerváry: feasible potentials are worth at most any matching, so equality is optimality of both."""
    for c in instances(1000, kind):
        columns, u, v = hungarian(c)
        n = len(c)
        rows, best = linear_sum_assignment(c)
        total, scale = c[rows, best].sum(), max(1, np.abs(c).max())
        assert len(set(columns.tolist())) == n
        assert abs(c[np.arange(n), columns].sum() - total) < 1e-12 * n * scale
        assert (c - u[:, None] - v).min() > -1e-12 * scale
        assert v.max() <= 0 and (np.delete(v, columns) == 0).all()
        assert abs(u.sum() + v.sum() - total) < 1e-11 * scale
        if kind in ("ties", "whole"):  # Egerváry's addition: whole costs have whole potentials
            assert (u == u.round()).all() and (v == v.round()).all()


@pytest.mark.parametrize("kind", ["ties", "whole", "real"])
def test_successive_shortest_paths_are_scipys(kind):
    for c in instances(1000, kind, seed=1):
        columns = match_by_flow(c)
        rows, best = linear_sum_assignment(c)
        assert sorted(set(columns.tolist())) == sorted(columns.tolist())
        assert c[np.arange(len(c)), columns].sum() == pytest.approx(c[rows, best].sum(), rel=1e-12, abs=1e-12)


def test_maximum_matching_and_konigs_cover_on_random_graphs():
    """König: the cover has as many vertices as the matching has edges, so that neither can be improved."""
    for edges in graphs(1000):
        columns = maximum_matching(edges)
        used = columns[columns >= 0]
        assert len(set(used.tolist())) == len(used)
        assert edges[columns >= 0, used].all()
        assert len(used) == (maximum_bipartite_matching(csr_array(edges), "column") >= 0).sum()
        rows, cover = vertex_cover(edges, columns)
        assert not edges[~rows][:, ~cover].any()  # every edge has an end in the cover
        assert rows.sum() + cover.sum() == len(used)


def test_deficiency_is_that_of_the_worst_set_of_rows():
    """König–Hall, by brute force over all sets of rows; the cover names one that attains it."""
    for edges in graphs(100, seed=2):
        n = len(edges)
        sets = itertools.chain.from_iterable(itertools.combinations(range(n), k) for k in range(n + 1))
        worst = max(len(s) - edges[list(s)].any(0).sum() if s else 0 for s in sets)
        columns = maximum_matching(edges)
        assert (columns < 0).sum() == worst
        in_z = ~vertex_cover(edges, columns)[0]
        assert in_z.sum() - (edges[in_z].any(0).sum() if in_z.any() else 0) == worst


def test_on_sparse_graphs_the_flow_is_largest_first_and_cheapest_then():
    """By brute force over permutations, and cardinality before cost: the cheap edge is given up for two dear ones."""
    assert match_by_flow([[0, 9], [9, 0]], [[1, 1], [1, 0]]).tolist() == [1, 0]
    g = np.random.default_rng(3)
    for edges in graphs(150, seed=3):
        edges = edges[:6, :6]
        c = g.integers(0, 9, edges.shape).astype(float)
        n, m = c.shape
        best = min(
            (-len(s), sum(c[i, j] for i, j in s))
            for p in itertools.permutations(range(max(n, m)), n)
            for s in [[(i, j) for i, j in enumerate(p) if j < m and edges[i, j]]]
        )
        columns = match_by_flow(c, edges)
        rows = np.flatnonzero(columns >= 0)
        assert edges[rows, columns[rows]].all()
        assert (-len(rows), c[rows, columns[rows]].sum()) == best


def test_flow_on_networks_solves_the_linear_program():
    """Against HiGHS: first the largest amount, then the least cost of that amount."""
    g = np.random.default_rng(4)
    for _ in range(40):
        n = int(g.integers(2, 9))
        edges = [
            (a, b, int(g.integers(0, 5)), float(g.integers(0, 9)))
            for a, b in itertools.permutations(range(n), 2)
            if g.random() < 0.5
        ] + [(0, n - 1, 1, 5.0)]
        flow, amount, cost = min_cost_max_flow(edges, 0, n - 1)
        out_of = np.zeros((n, len(edges)))
        for e, (a, b, _, _) in enumerate(edges):
            out_of[a, e] += 1
            out_of[b, e] -= 1
        bounds = [(0, capacity) for _, _, capacity, _ in edges]
        inner = out_of[1:-1] if n > 2 else None
        largest = linprog(-out_of[0], A_eq=inner, b_eq=np.zeros(n - 2) if n > 2 else None, bounds=bounds)
        assert amount == pytest.approx(-largest.fun)
        demand = amount * np.eye(n)[0] - amount * np.eye(n)[n - 1]
        cheapest = linprog([c for *_, c in edges], A_eq=out_of, b_eq=demand, bounds=bounds)
        assert cost == pytest.approx(cheapest.fun)
        assert (out_of @ flow == demand).all() and all(0 <= f <= hi for f, (_, hi) in zip(flow, bounds))


def test_parallel_edges_fill_up_cheapest_first():
    edges = [(0, 1, 2, 5.0), (0, 1, 1, 1.0), (1, 2, 4, 0.0)]
    assert min_cost_max_flow(edges, 0, 2) == ([2, 1, 3], 3, 11.0)
    assert min_cost_max_flow([], 0, 1) == ([], 0, 0.0)


def test_a_graph_without_edges_matches_nothing():
    assert maximum_matching(np.zeros((3, 2))).tolist() == [-1] * 3
    assert match_by_flow(np.ones((3, 2)), np.zeros((3, 2))).tolist() == [-1] * 3
    rows, columns = vertex_cover(np.zeros((3, 2)), [-1] * 3)
    assert not rows.any() and not columns.any()


def test_greedy_matching_is_caught():
    """The cheapest edge first is no optimum, and no potentials prove it one."""
    c = np.array([[0, 1], [1, 9]])
    greedy, (columns, u, v) = c[0, 0] + c[1, 1], hungarian(c)
    assert columns.tolist() == [1, 0]
    assert u.sum() + v.sum() == 2 < greedy
    with pytest.raises(ValueError, match="augmenting path"):
        vertex_cover([[1, 1], [1, 0]], [0, -1])


def test_scipy_sparse_takes_zero_for_no_edge():
    """Why sparse scores add a constant: an edge of cost 0 is lost, and the dear one taken, or none found."""
    lossy = csr_array(np.array([[0.0, 5.0], [5.0, 0.0]]))
    assert min_weight_full_bipartite_matching(lossy)[1].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: hungarian(np.zeros(3)), r"cost: expected a matrix .*\(3,\)"),
        (lambda: hungarian(np.zeros((3, 2))), "cost: expected no more rows than columns.*transpose"),
        (lambda: hungarian([[np.nan]]), "cost: expected finite numbers"),
        (lambda: match_by_flow([[-1.0]]), "cost: expected finite numbers >= 0"),
        (lambda: match_by_flow([[1.0]], [[1, 1]]), r"edges: expected the shape of cost \(1, 1\)"),
        (lambda: vertex_cover([[1]], [0, 0]), r"matching: expected one column per row, \(1,\), got \(2,\)"),
        (
            lambda: min_cost_max_flow([(0, 1, 1, -1.0)], 0, 1),
            "edges: expected whole capacities >= 0 and costs >= 0",
        ),
        (
            lambda: min_cost_max_flow([(0, 1, -1, 1.0)], 0, 1),
            "edges: expected whole capacities >= 0 and costs >= 0",
        ),
        (lambda: min_cost_max_flow([], 1, 1), "sink: expected another node"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_costs_are_not_taken_for_edges_nor_broken_capacities_for_whole_ones():
    cost = np.random.default_rng(0).random((3, 3))
    for use in (maximum_matching, lambda c: match_by_flow(cost, c)):
        with pytest.raises(ValueError, match=r"edges: expected booleans.*cost <= limit"):
            use(cost)
    assert maximum_matching(np.eye(3)).tolist() == [0, 1, 2]  # 0 and 1 will do
    for capacity in (-1, 0.5, float("nan")):
        with pytest.raises(ValueError, match="whole capacities >= 0"):
            min_cost_max_flow([(0, 1, capacity, 1.0)], 0, 1)
