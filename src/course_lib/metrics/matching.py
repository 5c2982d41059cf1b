"""The matching score: how far n generated samples are from n real ones if each is paired with one, at least cost.

Chapter 14; the thesis, chapter 5. The average cost of a cheapest perfect matching is the Wasserstein distance between
the two *samples*: a plan between uniform weights has extreme points with entries 0 or 1/n, which are permutations
(Birkhoff). As an estimate of the distance between the two *distributions* it is biased upward, by a multiple of about
n^(-1/d) for d > 2 (Dudley 1969): it does not reach 0 at any n that can be computed, not even for real against real.
So a score is read beside `real_baseline` at the same n, and compared only at the same n.

The sparse variant (thesis, section 5.6) keeps k neighbours of each sample and asks for a largest matching, of least
cost among these; what it leaves unmatched is the deficiency (König–Hall). `column_generation` holds the solver of the
dense problem, `assignment` the algorithms written out for small ones.
"""

from __future__ import annotations

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
    """A matching score and the matching behind it. Pairs are in order of cost, the cheapest first.

    ``pairs[:20]`` are the best, ``pairs[-20:]`` the worst, ``pairs[::20]`` every twentieth by rank.
    """

    pairs: Tensor = field(repr=False)  # (m, 2) int64: index of the real sample, index of the generated one
    costs: Tensor = field(repr=False)  # (m,) float64, rising
    potentials: tuple[Tensor, Tensor] | None = field(
        default=None, repr=False
    )  # u of reals, v of generated, (n,)
    deficiency: float = 0.0  # share of the samples left without a partner: 0 for a perfect matching


@course_defaults()
def matching_score(
    real: Tensor, generated: Tensor, *, extractor: str | None, cost: str = "euclidean"
) -> Matching:
    """The mean cost of a cheapest perfect matching between two samples of equal size n.

    The cost of a pair is its distance ("euclidean": the score is W₁ between the samples, in the unit of the images or
    features) or the squared distance ("squared": the score is W₂², not its root). Images are in [-1, 1], so their
    distances are those of the thesis, in grey levels from 0 to 255, divided by 127.5.

    The potentials prove the optimum: u_i + v_j <= c_ij for all pairs, and mean(u) + mean(v) is the score (Egerváry
    1931). They also give the interval, whichever optimal u and v they are. Replace one real sample by another: as v
    stays feasible, the score falls by at most (u_i - u(x'))/n, where u(x') = min_j c(x', y_j) - v_j. With the
    inequality of Efron & Stein (1981) this bounds the variance of the score by (var u + var v)/n, at any n, but for
    estimating the variance of u(x') by that of u; as n grows, the bound is attained wherever the central limit theorem
    of del Barrio & Loubes (2019) holds. The costs of the edges are no substitute for u and v: they depend on each
    other, and know nothing of n^(-1/d).
    What the interval is for is the *expected score at this n*, not the distance between the distributions; and if both
    samples come from one distribution, it is wider than necessary.

    Args:
        real: images (n, C, H, W) in [-1, 1], compared by their pixels, or features (n, d).
        generated: as many, of the same kind.
        extractor: what the features come from; None for images.
        cost: "euclidean" or "squared".

    Raises:
        TypeError, ValueError: other types, shapes or ranges, or samples of unequal size.
        MemoryError: n² costs are more than the machine has room for.

    Warns:
        IdenticalSets: the score is 0, for all generated samples are copies of the real ones.
        checks.ImageRangeWarning: no pixel is below 0, as if images were in [0, 1].
    """
    a, b = _pair(real, generated, extractor)
    if len(a) != len(b):
        raise ValueError(
            f"generated: expected as many samples as real, {len(a):,}, got {len(b):,}: a perfect matching pairs each "
            f"with one, and scores depend on n; pass the first {min(len(a), len(b)):,} of both"
        )
    from course_lib.metrics import column_generation

    advice = "match fewer samples, or use sparse_matching_score, which keeps a few neighbours of each"
    checks.memory(f"a matching of {len(a):,} samples with as many", 16 * len(a) ** 2, advice)
    columns, u, v = column_generation.solve(cost_matrix(a, b, cost=cost).numpy())
    n = len(a)
    pairs = torch.stack([torch.arange(n), torch.from_numpy(columns)], 1)
    ci95 = Z95 * math.sqrt((u.var(ddof=1) + v.var(ddof=1)) / n) if n > 1 else math.nan
    return _matching(a, b, pairs, cost, extractor, ci95, (torch.from_numpy(u), torch.from_numpy(v)))


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

    A generated sample keeps the edges to its k nearest reals. What is copied over and over crowds around few reals,
    and most of it stays unmatched; so does what has no equal among the reals, from the other side. The result's
    `deficiency` is the unmatched share, and its `value` speaks of the matched pairs only: the two are read together.
    Both tend to the dense score's, 0 and W, as k tends to n. There is no interval: the score is a ratio of two
    quantities of which one is an integer program's size; repeat it on fresh samples instead.

    How it is solved: SciPy's sparse solver wants every row matched, so each row gets a dummy column of its own, at a
    price B. The matching is as large as possible if one pair more is worth any rise of the other costs: for two
    matchings M and M', the larger M' is preferred if B > cost(M') - cost(M); as a matching never costs more than the
    sum over rows of their dearest edges, that sum (plus one edge) suffices, and no fixed multiple of the largest cost
    does, because an augmenting path may exchange edges in all rows. The solver also takes an edge of cost 0, between
    a sample and its copy, for no edge at all: one constant is added to every entry, which changes no comparison, for
    every row uses exactly one.

    Args:
        real: images (n, C, H, W) in [-1, 1], compared by their pixels, or features (n, d).
        generated: as many, of the same kind.
        k: neighbours kept, from 1 to n; which of several at equal distance is left open.
        extractor: what the features come from; None for images.
        cost: "euclidean" or "squared".
        both: whether each real sample also keeps the edges to its k nearest generated ones.

    Raises:
        TypeError, ValueError: as `matching_score`; also a k that is not from 1 to n.

    Warns:
        IdenticalSets: all matched pairs have cost 0, for these generated samples are copies of real ones.
    """
    a, b = _pair(real, generated, extractor)
    n = len(a)
    if n != len(b):
        raise ValueError(
            f"generated: expected as many samples as real, {n:,}, got {len(b):,}: the deficiency of unequal samples "
            f"would be that of their sizes; pass the first {min(n, len(b)):,} of both"
        )
    checks.whole("k", k, at_most=n, why="the number of samples")
    near, _ = neighbours(b, a, k)
    edges = near + n * torch.arange(n)[:, None]  # (n, k): generated·n + real
    edges = edges.reshape(-1)
    if both:
        near, _ = neighbours(a, b, k)
        edges = torch.cat([edges, (near * n + torch.arange(n)[:, None]).reshape(-1)]).unique()
    rows, columns = edges // n, edges % n  # rows are generated, columns real
    price = _power(pair_distances(b, a, rows, columns), cost)
    chosen = _largest_and_cheapest(rows, columns, price, n)
    pairs = torch.stack([columns[chosen], rows[chosen]], 1)
    return _matching(a, b, pairs, cost, extractor, math.nan, None)


def _largest_and_cheapest(rows: Tensor, columns: Tensor, price: Tensor, n: int) -> Tensor:
    """Which edges make a largest matching, of least cost among these: their numbers.

    A single outlier may cost so much that the dummies' price, which has to exceed it, swamps the digits of all other
    costs. Then the pairs that cost that much are settled, and what is left is solved once more at a lower price.
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
    """The score of real against real: of n samples drawn at random against n others. No generator can be expected
    to do better at this n, except one that copies.

    Args:
        real: at least 2n images or features, as in `matching_score`.
        n: size of either sample.
        generator: draws which samples are taken.
        extractor: what the features come from; None for images.
        cost: "euclidean" or "squared".

    Raises:
        TypeError, ValueError: as `matching_score`; also fewer than 2n samples.
    """
    checks.tensor("real", real)
    checks.whole("n", n, at_most=len(real) // 2, why="half of the real samples, which are split in two")
    order = torch.randperm(len(real), generator=generator).to(real.device)
    return matching_score(real[order[:n]], real[order[n : 2 * n]], extractor=extractor, cost=cost)


def score_difference(first: Matching, second: Matching) -> Result:
    """First score minus second, of two generators that were matched with *the same real samples in the same order*.

    What the reals contribute to both scores cancels: its part of the variance is var(u₁ - u₂)/n, so that the interval
    is narrower than those of the two scores suggest.

    Raises:
        ValueError: no potentials (of a sparse score), or another n, kind of score or extractor.
    """
    if first.potentials is None or second.potentials is None:
        raise ValueError(
            "expected two scores of perfect matchings, got a sparse one, which has no potentials"
        )
    kinds = [(m.name, m.n, m.extractor) for m in (first, second)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"expected scores of the same kind, n and extractor, got {kinds[0]} and {kinds[1]}")
    (u1, v1), (u2, v2) = first.potentials, second.potentials
    variance = float((u1 - u2).var() + v1.var() + v2.var()) / first.n
    value = first.value - second.value
    return Result(
        f"difference of {first.name}", value, Z95 * math.sqrt(variance), first.n, first.n, first.extractor
    )


@course_defaults()
def cost_by_class(matching: Matching, labels: Tensor, classes: int) -> list[Result | None]:
    """The mean cost of the pairs whose real sample is of class 0, 1, ...; None for a class without pairs.

    The interval takes the pairs of a class for independent, which they are not quite: it describes their spread.

    Args:
        matching: of any score.
        labels: class of each real sample, (n,) int64.
        classes: how many there are.

    Raises:
        TypeError, ValueError: not one label per real sample, or one out of range.
    """
    labels = checks.labels("labels", labels, matching.n, checks.whole("classes", classes)).cpu()
    of_pairs = labels[matching.pairs[:, 0]]
    costs = [matching.costs[of_pairs == c] for c in range(classes)]
    return [
        mean(f"{matching.name}, class {c}", x, extractor=matching.extractor) if len(x) else None
        for c, x in enumerate(costs)
    ]


@course_defaults()
def cost_matrix(a: Tensor, b: Tensor, *, cost: str = "euclidean") -> Tensor:
    """Distances ("euclidean") or squared distances ("squared") between a (n, d) and b (m, d): (n, m) float64.

    By a matrix product, ‖a‖² + ‖b‖² - 2a·b, which loses the digits of what is close together; so pairs closer than
    a few thousandths of their norms are computed again from their difference, and copies are at distance 0 exactly.
    In few dimensions the differences of all pairs are faster anyway.

    Raises:
        TypeError, ValueError: other shapes, types or kinds of cost. MemoryError: more than there is room for.
    """
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
    # in blocks that stay in the cache
    parts = zip(*(x.split(max(1, _BLOCK // 16 // a.shape[1])) for x in (i, j)), strict=True)
    return torch.cat([(float64(a[p]) - float64(b[q])).square().sum(1).sqrt() for p, q in parts])


@course_defaults()
def neighbours(a: Tensor, b: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest rows of b (m, d) to each row of a (n, d), nearest first: indices and distances, (n, k) each.

    Exact, though searched for in single precision: k + 8 candidates are measured again in double precision, and where
    rounding could have hidden a nearer one from the candidates, the row is searched again in double precision.

    Raises:
        TypeError, ValueError: other shapes or types, or a k that is not from 1 to m.
    """
    checks.whole("k", k, at_most=len(b), why="the number of samples")
    a, b = _centred(checks.tensor("a", a, "(n, d)"), checks.tensor("b", b, f"(m, {a.shape[-1]})"))
    wide = min(k + 8, len(b))
    b2 = b.square().sum(1)
    # A product of d terms is off by at most d·ε times the product of the norms; a few ε more for what is rounded first.
    error = (a.shape[1] + 8) * torch.finfo(torch.float32).eps * (a.square().sum(1) + b2.max())
    small, small2 = b.float().T.contiguous(), b2.float()
    indices, distances = (
        torch.empty(len(a), k, dtype=torch.int64),
        torch.empty(len(a), k, dtype=torch.float64),
    )
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
    return (
        distance
        if checks.choice("cost", cost, ("euclidean", "squared")) == "euclidean"
        else distance.square()
    )


def _pair(real: Tensor, generated: Tensor, extractor: str | None) -> tuple[Tensor, Tensor]:
    """Both samples as rows on the CPU: pixels of images if there is no extractor, else features."""
    extractor_name(extractor)
    if extractor is None:
        checks.images("real", real, "(N, C, H, W)")
        sizes = ", ".join(str(s) for s in real.shape[1:])
        checks.images("generated", generated, f"(N, {sizes})")
        return real.detach().flatten(1).cpu(), generated.detach().flatten(1).cpu()
    checks.tensor("real", real, "(N, d)")
    checks.tensor("generated", generated, f"(N, {real.shape[1]})")
    return real.detach().cpu(), generated.detach().cpu()


def _matching(
    real: Tensor,
    generated: Tensor,
    pairs: Tensor,
    cost: str,
    extractor: str | None,
    ci95: float,
    potentials: tuple[Tensor, Tensor] | None,
) -> Matching:
    """The result, with the costs of its pairs computed once more from their differences."""
    n = len(real)
    costs = _power(pair_distances(real, generated, pairs[:, 0], pairs[:, 1]), cost)
    costs, order = costs.sort(dim=0, stable=True)
    if float(costs[-1]) == 0:
        warnings.warn(
            f"all {len(costs):,} matched generated samples are copies of real ones: a score of 0 says that they were "
            "memorised, not that the distributions are equal; compare with real_baseline",
            IdenticalSets,
            stacklevel=4,
        )
    kind = "W₁" if cost == "euclidean" else "W₂²"
    name = f"matching score {kind}" + ("" if potentials is not None else " on nearest neighbours")
    return Matching(
        name,
        float(costs.mean()),
        ci95,
        n,
        n,
        extractor,
        pairs=pairs[order],
        costs=costs,
        potentials=potentials,
        deficiency=1 - len(costs) / n,
    )
