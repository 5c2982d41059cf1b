"""The algorithms behind the matchings of chapter 14, written out for small instances; `matching` solves large ones.

Wrong arguments raise ValueError. Shapes: n rows, m columns; `edges` (n, m) says which pairs may be matched.
"""

import heapq
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Edge = tuple[int, int, int, float]  # from, to, capacity, cost of one unit


def maximum_matching(edges: ArrayLike) -> NDArray[np.int64]:
    """The largest matching, by augmenting paths (König 1931): the column of each row, -1 where it has none, (n,)."""
    allowed = _booleans("edges", edges)
    rows, columns = allowed.shape
    neighbours = [np.flatnonzero(row).tolist() for row in allowed]
    matched, owner = [-1] * rows, [-1] * columns  # the column of each row, the row of each column

    def augment(root: int) -> None:
        """Breadth-first search for a free column, along edges that are unmatched and matched by turns."""
        parent: dict[int, int] = {}  # the row from which each column was reached
        queue = [root]
        for row in queue:  # the list grows while it is walked through
            for column in neighbours[row]:
                if column in parent:
                    continue
                parent[column] = row
                if owner[column] >= 0:
                    queue.append(owner[column])
                    continue
                while column >= 0:  # free: matched and unmatched edges change places, back to the root
                    row = parent[column]
                    owner[column], matched[row], column = row, column, matched[row]
                return

    for row in range(rows):
        augment(row)  # a row that fails once fails for ever: later augmentations open no path to it
    return np.array(matched, dtype=np.int64).reshape(rows)


def vertex_cover(edges: ArrayLike, matching: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """König's (1931) vertex cover, rows (n,) and columns (m,): proves a matching (n,) largest, else ValueError."""
    allowed = _booleans("edges", edges)
    matched = np.asarray(matching)
    if matched.shape != (len(allowed),):
        raise ValueError(f"matching: expected one column per row, ({len(allowed)},), got {matched.shape}")
    owner = {int(column): row for row, column in enumerate(matched) if column >= 0}
    in_rows, in_columns = matched < 0, np.zeros(allowed.shape[1], bool)
    queue = np.flatnonzero(in_rows).tolist()
    for row in queue:
        for column in np.flatnonzero(allowed[row] & ~in_columns).tolist():
            in_columns[column] = True
            if column not in owner:
                raise ValueError("matching: expected a largest one, but an augmenting path is left in it")
            in_rows[owner[column]] = True
            queue.append(owner[column])
    return ~in_rows, in_columns


def hungarian(cost: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The cheapest matching that covers every row: columns (n,), and potentials u (n,) and v (m,) that prove it.

    `cost` (n, m) is finite, n <= m. u_i + v_j <= c_ij, with equality on matched edges, and v_j <= 0, with equality on
    unmatched columns (Egerváry 1931). Kuhn 1955: O(n²m).
    """
    c = _matrix("cost", cost).astype(float)
    n, m = c.shape
    if n > m:
        raise ValueError(f"cost: expected no more rows than columns, got {c.shape}; pass the transpose")
    if not np.isfinite(c).all():
        raise ValueError("cost: expected finite numbers, got NaN or infinity; leave those to match_by_flow")
    u, v, owner = np.zeros(n), np.zeros(m), np.full(m, -1)
    for root in range(n):
        slack = np.full(m, math.inf)  # of the tightest edge from the tree to each column
        reached_from = np.full(m, -1)  # the column before it on that path, -1 for the root
        in_tree = np.zeros(m, bool)
        row, last = root, -1
        while True:
            reduced = c[row] - u[row] - v
            closer = ~in_tree & (reduced < slack)
            slack[closer], reached_from[closer] = reduced[closer], last
            column = int(np.where(in_tree, math.inf, slack).argmin())
            delta = slack[column]  # shift the potentials of the tree until one more edge is tight
            u[root] += delta
            u[owner[in_tree]] += delta
            v[in_tree] -= delta
            slack[~in_tree] -= delta
            in_tree[column] = True
            if owner[column] < 0:
                break
            row, last = owner[column], column
        while column >= 0:  # exchange matched and unmatched edges along the path back to the root
            before = reached_from[column]
            owner[column] = root if before < 0 else owner[before]
            column = before
    columns = np.full(n, -1)
    columns[owner[owner >= 0]] = np.flatnonzero(owner >= 0)
    return columns, u, v


def min_cost_max_flow(edges: Sequence[Edge], source: int, sink: int) -> tuple[list[int], int, float]:
    """A cheapest among the largest flows: the flow on every edge, its amount, and its cost.

    Edges are (from, to, capacity, cost), both >= 0, capacities whole. Successive shortest paths (Edmonds & Karp 1972).
    """
    if source == sink:
        raise ValueError(f"sink: expected another node than the source, got {sink} for both")
    for edge in edges:
        if not (edge[2] >= 0 and edge[2] == int(edge[2]) and edge[3] >= 0):
            raise ValueError(f"edges: expected whole capacities >= 0 and costs >= 0, got {edge}")
    nodes = 1 + max(source, sink, *(max(a, b) for a, b, _, _ in edges)) if edges else 1 + max(source, sink)
    leaving: list[list[int]] = [[] for _ in range(nodes)]
    head, room, price = [], [], []  # of edge 2e and of its reverse, 2e + 1
    for a, b, capacity, cost in edges:
        for start, end, space, c in ((a, b, capacity, cost), (b, a, 0, -cost)):
            leaving[start].append(len(head))
            head.append(end)
            room.append(space)
            price.append(c)
    potential, amount = [0.0] * nodes, 0
    while True:
        distance, arrived_by, settled = [math.inf] * nodes, [-1] * nodes, [False] * nodes
        distance[source] = 0.0
        heap = [(0.0, source)]
        while heap:
            d, a = heapq.heappop(heap)
            if settled[a]:
                continue
            settled[a] = True
            for e in leaving[a]:
                b = head[e]
                through = d + price[e] + potential[a] - potential[b]
                if room[e] > 0 and not settled[b] and through < distance[b]:
                    distance[b], arrived_by[b] = through, e
                    heapq.heappush(heap, (through, b))
        if not settled[sink]:
            break
        potential = [h + min(d, distance[sink]) for h, d in zip(potential, distance, strict=True)]
        path, node = [], sink
        while node != source:
            path.append(arrived_by[node])
            node = head[arrived_by[node] ^ 1]  # the reverse edge leads to where the edge starts
        send = min(room[e] for e in path)
        for e in path:
            room[e] -= send
            room[e ^ 1] += send
        amount += send
    flow = [room[2 * i + 1] for i in range(len(edges))]
    return flow, amount, float(sum(f * edge[3] for f, edge in zip(flow, edges, strict=True)))


def match_by_flow(cost: ArrayLike, edges: ArrayLike | None = None) -> NDArray[np.int64]:
    """A cheapest among the largest matchings, as a flow (thesis, section 5.6): the column of each row or -1, (n,).

    `cost` (n, m) is finite and >= 0; `edges` None allows all pairs.
    """
    c = _matrix("cost", cost).astype(float)
    if not (np.isfinite(c).all() and (c >= 0).all()):
        raise ValueError("cost: expected finite numbers >= 0, got others; subtract the smallest first")
    n, m = c.shape
    allowed = np.ones((n, m), bool) if edges is None else _booleans("edges", edges)
    if allowed.shape != c.shape:
        raise ValueError(f"edges: expected the shape of cost {c.shape}, got {allowed.shape}")
    pairs = np.argwhere(allowed).tolist()
    source, sink = n + m, n + m + 1
    network: list[Edge] = [(i, n + j, 1, float(c[i, j])) for i, j in pairs]
    network += [(source, i, 1, 0.0) for i in range(n)] + [(n + j, sink, 1, 0.0) for j in range(m)]
    flow, _, _ = min_cost_max_flow(network, source, sink)
    columns = np.full(n, -1)
    for (i, j), on in zip(pairs, flow, strict=False):
        if on:
            columns[i] = j
    return columns


def _matrix(name: str, value: ArrayLike) -> NDArray:
    matrix = np.asarray(value)
    if matrix.ndim != 2:
        raise ValueError(f"{name}: expected a matrix (rows, columns), got shape {matrix.shape}")
    return matrix


def _booleans(name: str, value: ArrayLike) -> NDArray[np.bool_]:
    matrix = _matrix(name, value)
    if matrix.dtype != bool and not np.isin(matrix, (0, 1)).all():
        raise ValueError(
            f"{name}: expected booleans, whether row i may be matched with column j, got numbers from "
            f"{matrix.min():g} to {matrix.max():g}; pass cost <= limit, or costs to hungarian()"
        )
    return matrix.astype(bool)
