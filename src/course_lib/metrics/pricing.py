"""Large dense assignment problems, solved exactly on few of their edges, with a proof that these were enough.

`solve` matches rows with columns at least cost. SciPy's dense solver looks at all n² edges again and again; nearly
all of them are too expensive ever to be used. So: take the k edges per row and column that look cheapest, solve that
sparse problem, read potentials u, v off its solution, and look once at all edges with their *reduced* costs
c_ij - u_i - v_j. If none is negative, the potentials are feasible for the whole problem, and as they sum to the cost of
the matching, it is the optimum of the whole problem (Egerváry 1931). Else the most negative edges join the sparse
problem, and it is solved again. This is column generation (Gilmore & Gomory 1961), for assignment problems as in
Gerber & Maffioli 1997 and Schmitzer 2016; what looks cheapest is judged by the potentials of a problem of half the
size, every other row against every other column.

Both ways return the same optimum; ties may be broken differently. The sparse way pays where costs are concentrated, as
distances in many dimensions are. In two or three dimensions the dense solver is faster, and `solve` uses it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Float = NDArray[np.float64]
Index = NDArray[np.int64]

SMALL = 600  # rows up to which the dense solver is used anyway
NEIGHBOURS = 10  # edges taken per row, and per column, in each round
_ROWS = 256  # looked at together: a few megabytes


def solve(cost: Float) -> tuple[Index, Float, Float]:
    """A cheapest perfect matching: the column of each row (n,), and potentials u (n,), v (n,) that prove it so.

    u_i + v_j <= c_ij everywhere, up to 1e-9 of the largest cost, and with equality on the matched edges.

    Args:
        cost: (n, n) finite numbers.

    Raises:
        ValueError: not square.
    """
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1]:
        raise ValueError(f"cost: expected a square matrix, got shape {cost.shape}")
    return _by_pricing(cost) if concentrated(cost) else _dense(cost)


def concentrated(cost: Float) -> bool:
    """Whether even the cheapest edge of a row costs about as much as any other: at least 0.3 of the mean.

    Judged by a few hundred rows and columns. This is what distances look like in ten dimensions or more.
    """
    step = max(1, len(cost) // 512)
    sample = cost[::step, ::step]
    return len(cost) > SMALL and float(sample.min(1).mean()) > 0.3 * float(sample.mean())


def potentials(cost: Float, columns: Index) -> tuple[Float, Float]:
    """Potentials u (n,), v (n,) that prove a matching optimal: u_i + v_j <= c_ij, with equality where j = columns[i].

    Found on few edges and priced on all, like the matching itself.

    Args:
        cost: (n, n) finite numbers.
        columns: the column of each row, (n,).

    Raises:
        ValueError: the matching is not optimal.
    """
    rows, v = np.arange(len(cost)), np.zeros(len(cost))
    edges = np.union1d(_edges(cost, cost.min(1), v, np.inf), rows * len(cost) + columns)
    return _priced(cost, edges, cost.min(1), v, columns)[1:]


def _dense(cost: Float) -> tuple[Index, Float, Float]:
    from scipy.optimize import linear_sum_assignment

    columns = linear_sum_assignment(cost)[1]
    return columns, *potentials(cost, columns)


def _by_pricing(cost: Float) -> tuple[Index, Float, Float]:
    n = len(cost)
    if n <= SMALL:
        return _dense(cost)
    half = _by_pricing(np.ascontiguousarray(cost[::2, ::2]))[1]
    v = np.full(n, np.inf)
    for i in range(len(half)):
        np.minimum(v, cost[2 * i] - half[i], out=v)  # the largest v that the half's potentials allow
    u = np.array([(row - v).min() for row in cost])
    return _priced(cost, _completed(_edges(cost, u, v, np.inf), n), u, v)


def _priced(
    cost: Float, edges: Index, u: Float, v: Float, columns: Index | None = None
) -> tuple[Index, Float, Float]:
    """The optimum and its potentials; if `columns` are given, only their potentials."""
    tolerance = 1e-10 * float(np.abs(u).max() + np.abs(v).max())
    while True:
        matching = _sparse_matching(cost, edges, u, v) if columns is None else columns
        u, v = _sparse_potentials(cost, edges, matching, v)
        more = np.union1d(edges, _edges(cost, u, v, -tolerance))
        if len(more) == len(edges):
            return matching, u, v
        edges = more


def _edges(cost: Float, u: Float, v: Float, below: float) -> Index:
    """The k edges of each row and of each column with the least reduced costs, if under `below`: n·row + column."""
    n = len(cost)
    of_columns = _edges_of_rows(cost.T, v, u, below)
    return np.union1d(_edges_of_rows(cost, u, v, below), of_columns % n * n + of_columns // n)


def _edges_of_rows(cost: Float, u: Float, v: Float, below: float) -> Index:
    n, found = len(cost), [np.empty(0, np.int64)]
    for first in range(0, n, _ROWS):
        reduced = cost[first : first + _ROWS] - v
        reduced -= u[first : first + _ROWS, None]
        rows = np.flatnonzero(reduced.min(1) < below)
        if len(rows):
            values, columns = torch.from_numpy(reduced[rows]).topk(min(NEIGHBOURS, n), 1, largest=False)
            keys = (first + rows)[:, None] * n + columns.numpy()
            found.append(keys[values.numpy() < below])
    return np.concatenate(found)


def _completed(edges: Index, n: int) -> Index:
    """`edges` and, if they have no perfect matching, any few more that give them one."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    graph = csr_array((np.ones(len(edges), np.int8), (edges // n, edges % n)), (n, n))
    columns = maximum_bipartite_matching(graph, perm_type="column")
    rows_left = np.flatnonzero(columns < 0)
    return np.union1d(edges, rows_left * n + np.setdiff1d(np.arange(n), columns))


def _sparse_matching(cost: Float, edges: Index, u: Float, v: Float) -> Index:
    """The cheapest perfect matching on these edges only."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    n = len(cost)
    rows, ends = edges // n, edges % n
    reduced = cost[rows, ends] - u[rows] - v[ends]  # the same matching is cheapest, and less is left to do
    shift = float(np.abs(reduced).max()) - float(reduced.min()) + 1e-300
    reduced += shift  # for SciPy takes a zero for a missing edge
    return min_weight_full_bipartite_matching(csr_array((reduced, (rows, ends)), (n, n)))[1].astype(np.int64)


def _sparse_potentials(cost: Float, edges: Index, columns: Index, v: Float) -> tuple[Float, Float]:
    """Potentials that are feasible for these edges, which hold the matching.

    v_j is the length of a shortest path to column j in the graph where going from a row's own column to column j costs
    what the exchange does, c_ij - c_i,columns[i] (Bellman & Ford), starting anywhere at the given v. If paths become
    shorter for ever, there is a cycle of exchanges that makes the matching cheaper.
    """
    n = len(cost)
    rows, ends = edges // n, edges % n
    order = np.argsort(ends, kind="stable")
    rows, ends = rows[order], ends[order]
    first = np.searchsorted(ends, np.arange(n))  # of each column's edges
    matched = cost[np.arange(n), columns]
    exchange, via = cost[rows, ends] - matched[rows], columns[rows]
    tolerance = 1e-13 * float(np.abs(matched).max())
    for _ in range(n + 1):
        shorter = np.minimum(v, np.minimum.reduceat(exchange + v[via], first))
        if (shorter >= v - tolerance).all():
            return matched - v[columns], v
        v = shorter
    raise ValueError(
        "columns: expected a matching of least cost, but exchanging edges along a cycle makes it cheaper"
    )
