"""The matching score: how far n generated samples are from n real ones if each is paired with one, at least cost.

Chapter 14; the thesis, chapter 5. `real` and `generated` are images (n, C, H, W) in [-1, 1], or features (n, d) of the
`extractor`; `cost` is "euclidean" (W₁ between the samples) or "squared" (W₂²). Compare only at the same n, beside
`real_baseline`. Raises TypeError or ValueError for other types, shapes or ranges; warns of `IdenticalSets`.
"""

import math
import warnings
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from course_lib import checks
from course_lib.metrics.result import Z95, IdenticalSets, Result, extractor_name, mean
from course_lib.precision import course_defaults, float64

_BLOCK = 2**22  # numbers held at once where all pairs are gone through: 32 MB
_SWAMPED = 1e6  # times the median cost: what costs more takes digits from the rest
_FEW = 16  # dimensions up to which the differences of all pairs take no longer than a matrix product


@dataclass(frozen=True, eq=False, kw_only=True)
class Matching(Result):
    """A matching score and its pairs in order of cost: ``pairs[:20]`` are the best, ``pairs[::20]`` every twentieth."""

    pairs: Tensor = field(repr=False)  # (m, 2) int64: index of the real sample, index of the generated one
    costs: Tensor = field(repr=False)  # (m,) float64, rising
    potentials: tuple[Tensor, Tensor] | None = field(default=None, repr=False)  # u, v: (n,) each
    deficiency: float = 0.0  # share of the samples left without a partner: 0 for a perfect matching


@course_defaults()
def matching_score(
    real: Tensor, generated: Tensor, *, extractor: str | None, cost: str = "euclidean"
) -> Matching:
    """The mean cost of a cheapest perfect matching between two samples of equal size n.

    The potentials prove it: u_i + v_j <= c_ij, and mean(u) + mean(v) is the score (Egerváry 1931). The interval is
    about the expected score at this n (after Efron & Stein 1981). MemoryError where there is no room for n² costs.
    """
    a, b = _pair(real, generated, extractor, "a perfect matching pairs each with one, and scores depend on n")
    from course_lib.metrics import column_generation

    advice = "match fewer samples, or use sparse_matching_score, which keeps a few neighbours of each"
    checks.memory(f"a matching of {len(a):,} samples with as many", 16 * len(a) ** 2, advice)
    columns, u, v = column_generation.solve(cost_matrix(a, b, cost=cost).numpy())
    pairs = torch.stack([torch.arange(len(a)), torch.from_numpy(columns)], 1)
    return _matching(a, b, pairs, cost, extractor, torch.from_numpy(u), torch.from_numpy(v))


@course_defaults()
def sparse_matching_score(
    real: Tensor,
    generated: Tensor,
    k: int,
    *,
    extractor: str | None,
    cost: str = "euclidean",
    both: bool = False,
) -> Matching:
    """The mean cost over a largest matching, of least cost among these, where only k nearest neighbours may be paired.

    The thesis, section 5.6. Generated samples keep the edges to their k nearest reals; with `both`, reals keep theirs,
    too. `deficiency` is the share left unmatched, and `value` speaks of matched pairs only. There is no interval.
    """
    a, b = _pair(real, generated, extractor, "the deficiency of unequal samples would be that of their sizes")
    n = len(a)
    checks.whole("k", k, at_most=n, why="the number of samples")
    near, _ = neighbours(b, a, k)
    edges = (near + n * torch.arange(n)[:, None]).reshape(-1)  # (n k,): generated·n + real
    if both:
        near, _ = neighbours(a, b, k)
        edges = torch.cat([edges, (near * n + torch.arange(n)[:, None]).reshape(-1)]).unique()
    rows, columns = edges // n, edges % n  # rows are generated, columns real
    price = _power(pair_distances(b, a, rows, columns), cost)
    chosen = _largest_and_cheapest(rows, columns, price, n)
    pairs = torch.stack([columns[chosen], rows[chosen]], 1)
    return _matching(a, b, pairs, cost, extractor)


def _largest_and_cheapest(rows: Tensor, columns: Tensor, price: Tensor, n: int) -> Tensor:
    """Which edges make a largest matching, of least cost among these: their numbers.

    SciPy matches every row, so each has a dummy column that is dear enough, and takes no edges of cost 0, so a constant
    is added. Pairs that swamp the digits of others are settled first.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    settled, left = [], torch.arange(len(price))
    while len(left):
        r, c, p = rows[left], columns[left], price[left]
        dearest = torch.zeros(n, dtype=torch.float64).scatter_reduce(0, r, p, "amax")
        unit = float(dearest.max()) or 1.0
        dummy = float(dearest.sum()) + unit
        entries = torch.cat([p, torch.full((n,), dummy, dtype=torch.float64)]) + unit
        all_rows, all_columns = torch.cat([r, torch.arange(n)]), torch.cat([c, n + torch.arange(n)])
        graph = csr_array((entries.numpy(), (all_rows.numpy(), all_columns.numpy())), (n, 2 * n))
        partner = torch.from_numpy(min_weight_full_bipartite_matching(graph)[1].astype(np.int64))
        taken = partner[r] == c
        swamped = p[taken] > _SWAMPED * p[taken].median() if bool(taken.any()) else taken[:0]
        if not bool(swamped.any()) or bool(swamped.all()):
            return torch.cat([*settled, left[taken]])
        dear = left[taken][swamped]
        settled.append(dear)
        free = ~torch.isin(rows[left], rows[dear]) & ~torch.isin(columns[left], columns[dear])
        left = left[free]
    return torch.cat(settled)


@course_defaults()
def real_baseline(
    real: Tensor, n: int, generator: torch.Generator, *, extractor: str | None, cost: str = "euclidean"
) -> Matching:
    """The score of n reals, drawn at random by `generator`, against n others, of at least 2n: as `matching_score`."""
    checks.tensor("real", real)
    checks.whole("n", n, at_most=len(real) // 2, why="half of the real samples, which are split in two")
    order = torch.randperm(len(real), generator=generator).to(real.device)
    return matching_score(real[order[:n]], real[order[n : 2 * n]], extractor=extractor, cost=cost)


def score_difference(first: Matching, second: Matching) -> Result:
    """First score minus second, of two generators that were matched with *the same real samples in the same order*.

    What the reals contribute cancels. ValueError for sparse scores, another n, kind of score or extractor.
    """
    if first.potentials is None or second.potentials is None:
        raise ValueError("expected two scores of perfect matchings, got a sparse one, without potentials")
    kinds = [(m.name, m.n, m.extractor) for m in (first, second)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"expected scores of the same kind, n and extractor, got {kinds[0]} and {kinds[1]}")
    (u1, v1), (u2, v2) = first.potentials, second.potentials
    variance = float((u1 - u2).var() + v1.var() + v2.var()) / first.n
    name, value, ci95 = f"difference of {first.name}", first.value - second.value, Z95 * math.sqrt(variance)
    return Result(name, value, ci95, first.n, first.n, first.extractor)


@course_defaults()
def cost_by_class(matching: Matching, labels: Tensor, classes: int) -> list[Result | None]:
    """Mean cost of the pairs whose real is of class 0, 1, ... by `labels` (n,) int64; None for one without pairs."""
    labels = checks.labels("labels", labels, matching.n, checks.whole("classes", classes)).cpu()
    of_pairs = labels[matching.pairs[:, 0]]
    results: list[Result | None] = []
    for c in range(classes):
        name, costs = f"{matching.name}, class {c}", matching.costs[of_pairs == c]
        results.append(mean(name, costs, extractor=matching.extractor) if len(costs) else None)
    return results


@course_defaults()
def cost_matrix(a: Tensor, b: Tensor, *, cost: str = "euclidean") -> Tensor:
    """Distances ("euclidean") or their squares ("squared") of a (n, d) and b (m, d): (n, m) float64."""
    checks.choice("cost", cost, ("euclidean", "squared"))
    a, b = _centred(checks.tensor("a", a, "(n, d)"), checks.tensor("b", b, f"(m, {a.shape[-1]})"))
    checks.memory(f"a cost matrix of {len(a):,} x {len(b):,}", 8 * len(a) * len(b), "take fewer samples")
    if a.shape[1] <= _FEW:
        return _power(torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist"), cost)
    a2, b2 = a.square().sum(1), b.square().sum(1)
    result = torch.empty(len(a), len(b), dtype=torch.float64)
    for rows in torch.arange(len(a)).split(max(1, _BLOCK // len(b))):
        d2 = torch.addmm(b2 + a2[rows, None], a[rows], b.T, alpha=-2, out=result[rows[0] : rows[-1] + 1])
        close = (d2 < 1e-5 * (a2[rows, None] + b2)).nonzero()
        if len(close):
            i, j = close.T
            d2[i, j] = pair_distances(a, b, rows[i], j).square()
        if cost == "euclidean":
            d2.sqrt_()
    return result


@course_defaults()
def pair_distances(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """‖a[i] - b[j]‖ of pairs given by their indices i, j (m,): (m,) float64, from the differences themselves."""
    block = max(1, _BLOCK // 16 // a.shape[1])  # stays in the cache
    parts = zip(i.split(block), j.split(block), strict=True)
    return torch.cat([(float64(a[p]) - float64(b[q])).square().sum(1).sqrt() for p, q in parts])


@course_defaults()
def neighbours(a: Tensor, b: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k <= m rows of b (m, d) nearest to each of a (n, d), in order: indices and distances, (n, k) each; exact."""
    checks.whole("k", k, at_most=len(b), why="the number of samples")
    a, b = _centred(checks.tensor("a", a, "(n, d)"), checks.tensor("b", b, f"(m, {a.shape[-1]})"))
    wide = min(k + 8, len(b))
    b2 = b.square().sum(1)
    # A product of d terms is off by at most d·ε times the product of the norms; a few ε more for what is rounded first.
    error = (a.shape[1] + 8) * torch.finfo(torch.float32).eps * (a.square().sum(1) + b2.max())
    small, small2 = b.float().T.contiguous(), b2.float()
    indices = torch.empty(len(a), k, dtype=torch.int64)
    distances = torch.empty(len(a), k, dtype=torch.float64)
    for rows in torch.arange(len(a)).split(max(1, _BLOCK // len(b))):
        # ‖a‖² is the same for a whole row: it is left out of the search
        rough, found = torch.addmm(small2, a[rows].float(), small, alpha=-2).topk(wide, 1, largest=False)
        exact = pair_distances(a, b, rows.repeat_interleave(wide), found.reshape(-1)).view(-1, wide)
        found, exact = _nearest(found, exact, k)
        if wide < len(b):
            limit = float64(rough[:, -1]) + a[rows].square().sum(1)  # everything that was left out is beyond
            unsure = (exact[:, -1].square() > (limit - error[rows]).clamp(min=0)).nonzero()[:, 0]
            if len(unsure):
                near = cost_matrix(a[rows[unsure]], b).topk(k, 1, largest=False).indices
                again = pair_distances(a, b, rows[unsure].repeat_interleave(k), near.reshape(-1)).view(-1, k)
                found[unsure], exact[unsure] = _nearest(near, again, k)
        indices[rows], distances[rows] = found, exact
    return indices, distances


def _nearest(found: Tensor, distances: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest in each row, of equal ones those of smaller index: (n, m) -> (n, k)."""
    found, order = found.sort(1)
    distances, nearest = distances.gather(1, order).sort(dim=1, stable=True)
    return found.gather(1, nearest)[:, :k], distances[:, :k]


def _centred(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in double precision and moved so that norms are small, which spares digits; differences do not notice."""
    a, b = float64(a.detach()), float64(b.detach())
    centre = b.mean(0)
    return a - centre, b - centre


def _power(distance: Tensor, cost: str) -> Tensor:
    checks.choice("cost", cost, ("euclidean", "squared"))
    return distance if cost == "euclidean" else distance.square()


def _pair(real: Tensor, generated: Tensor, extractor: str | None, why: str) -> tuple[Tensor, Tensor]:
    """Both samples, equally many, as rows on the CPU: pixels of images if there is no extractor, else features."""
    extractor_name(extractor)
    if extractor is None:
        checks.images("real", real, "(N, C, H, W)")
        sizes = ", ".join(str(s) for s in real.shape[1:])
        checks.images("generated", generated, f"(N, {sizes})")
    else:
        checks.tensor("real", real, "(N, d)")
        checks.tensor("generated", generated, f"(N, {real.shape[1]})")
    n, m = len(real), len(generated)
    if n != m:
        advice = f"{why}; pass the first {min(n, m):,} of both"
        raise ValueError(f"generated: expected as many samples as real, {n:,}, got {m:,}: {advice}")
    return real.detach().flatten(1).cpu(), generated.detach().flatten(1).cpu()


def _matching(
    a: Tensor, b: Tensor, pairs: Tensor, cost: str, extractor: str | None, *potentials: Tensor
) -> Matching:
    """The result, with the costs of its pairs computed once more from their differences."""
    n, ci95 = len(a), math.nan
    if potentials and n > 1:
        u, v = (potential.numpy() for potential in potentials)
        ci95 = Z95 * math.sqrt((u.var(ddof=1) + v.var(ddof=1)) / n)
    costs = _power(pair_distances(a, b, pairs[:, 0], pairs[:, 1]), cost)
    costs, order = costs.sort(dim=0, stable=True)
    if float(costs[-1]) == 0:
        warnings.warn(
            f"all {len(costs):,} matched generated samples are copies of real ones: a score of 0 says that they were "
            "memorised, not that the distributions are equal; compare with real_baseline",
            IdenticalSets,
            stacklevel=4,
        )
    kind = "W₁" if cost == "euclidean" else "W₂²"
    name = f"matching score {kind}" + ("" if potentials else " on nearest neighbours")
    found = {"pairs": pairs[order], "costs": costs, "potentials": potentials or None}
    deficiency = 1 - len(costs) / n
    return Matching(name, float(costs.mean()), ci95, n, n, extractor, **found, deficiency=deficiency)
