"""Large dense assignment problems, solved exactly on few of their edges, with a proof that these were enough.

Column generation (Gilmore & Gomory 1961; Schmitzer 2016): solve on the edges that look cheapest by the potentials of
half the problem, add all of negative reduced cost c_ij - u_i - v_j, until there is none: u, v prove the optimum. The
solver is POT's network simplex (Flamary et al. 2021; Bonneel et al. 2011).
"""

import os

import numpy as np
import torch
from numpy.typing import NDArray

Float = NDArray[np.float64]
Index = NDArray[np.int64]

SMALL = 600  # rows up to which all edges are looked at anyway
NEIGHBOURS = 6  # edges taken per row, and per column, to begin with
NEARLY = 0.25  # of what the dearest of these costs, reduced: edges below it join in each round
MORE = 20  # at most so many per row, on average, in a round
ROUNDS = 12  # usually two or three; many ties, as among copies, can need more, and then all edges are taken
_ROWS = 256  # looked at together: a few megabytes


def solve(cost: Float) -> tuple[Index, Float, Float]:
    """A cheapest perfect matching of costs (n, n): the column of each row (n,), and potentials u, v (n,) that prove it.

    u_i + v_j <= c_ij up to rounding, with equality on matched edges. ValueError for what is not square.
    """
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1]:
        raise ValueError(f"cost: expected a square matrix, got shape {cost.shape}")
    return _by_pricing(cost) if concentrated(cost) else _simplex(cost)


def concentrated(cost: Float) -> bool:
    """Whether the cheapest edge of a row costs at least 0.1 of the mean, by a sample; False up to `SMALL` rows."""
    step = max(1, len(cost) // 512)
    sample = cost[::step, ::step]
    return len(cost) > SMALL and float(sample.min(1).mean()) > 0.1 * float(sample.mean())


def _by_pricing(cost: Float) -> tuple[Index, Float, Float]:
    n = len(cost)
    if n <= SMALL:
        return _simplex(cost)
    matched, half, _ = _by_pricing(cost[::2, ::2])
    v = np.full(n, np.inf)
    for i in range(len(half)):
        np.minimum(v, cost[2 * i] - half[i], out=v)  # the largest v that the half's potentials allow
    u = np.array([(row - v).min() for row in cost])
    of_rows, dearest = _cheapest(cost, u, v)
    of_columns, _ = _cheapest(cost.T, v, u)
    perfect = np.arange(n)  # some perfect matching must be among the edges: the half's, and of the rest any
    perfect[::2] = 2 * matched
    edges = _sorted(of_rows, of_columns % n * n + of_columns // n, np.arange(n) * n + perfect)
    nearly = NEARLY * float(np.median(dearest))
    for _ in range(ROUNDS):
        columns, u, v = _simplex(cost, edges)
        more, reduced = _below(cost, u, v, nearly)
        negative = more[reduced < -1e-12 * (np.abs(u).max() + np.abs(v).max())]
        place = np.searchsorted(edges, negative).clip(max=len(edges) - 1)
        if (edges[place] == negative).all():  # they are rounding errors of the solver, then
            return columns, u, v
        if len(more) > MORE * n:
            more = more[np.argpartition(reduced, MORE * n)[: MORE * n]]
        edges = _sorted(edges, more)
    return _simplex(cost)


def _cheapest(cost: Float, u: Float, v: Float) -> tuple[Index, Float]:
    """The k edges of each row with the least reduced costs, as n·row + column, and the largest of each row's k."""
    n, edges, dearest = len(cost), [], []
    for first in range(0, n, _ROWS):
        reduced = cost[first : first + _ROWS] - v
        reduced -= u[first : first + _ROWS, None]
        values, columns = torch.from_numpy(reduced).topk(NEIGHBOURS, 1, largest=False)
        edges.append((np.arange(first, first + len(reduced))[:, None] * n + columns.numpy()).ravel())
        dearest.append(values[:, -1].numpy())
    return np.concatenate(edges), np.concatenate(dearest)


def _sorted(*edges: Index) -> Index:
    """All of them, each once."""
    every = np.sort(np.concatenate(edges))  # several times faster than np.unique
    return every[np.concatenate([[True], every[1:] != every[:-1]])]


def _below(cost: Float, u: Float, v: Float, limit: float) -> tuple[Index, Float]:
    """All edges whose reduced cost is less than `limit`, as n·row + column, and these costs."""
    edges, values = [], []
    for first in range(0, len(cost), _ROWS):
        reduced = cost[first : first + _ROWS] - v
        reduced -= u[first : first + _ROWS, None]
        found = np.flatnonzero(reduced < limit)
        edges.append(first * len(cost) + found)
        values.append(reduced.ravel()[found])
    return np.concatenate(edges), np.concatenate(values)


def _simplex(cost: Float, edges: Index | None = None) -> tuple[Index, Float, Float]:
    """The cheapest perfect matching on these edges, or on all, and its potentials."""
    for backend in ("JAX", "CUPY", "TENSORFLOW"):  # importing POT would import them, where there are any
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")
    import ot
    from scipy.sparse import coo_array

    n, least = len(cost), min(0.0, float(cost.min()))  # POT wants costs that are not negative
    if edges is None:
        offered = np.ascontiguousarray(cost - least if least else cost)
    else:
        ends = edges // n, edges % n
        offered = coo_array((cost[ends] - least, ends), (n, n))
    one = np.ones(n)  # whole numbers: so is the flow
    flow, found = ot.emd(one, one, offered, numItermax=2**62, log=True, center_dual=False)
    if found["warning"] is not None:
        raise RuntimeError(f"expected an optimal matching of {n:,} pairs, but POT says: {found['warning']}")
    if edges is None:
        matched = flow.argmax(1)
    else:
        matched = np.empty(n, np.int64)
        matched[flow.row[flow.data > 0]] = flow.col[flow.data > 0]
    return matched, found["u"] + least, found["v"]
