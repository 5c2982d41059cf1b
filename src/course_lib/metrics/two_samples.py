"""Two sets of features or pixels compared directly: kernel distance, Parzen window, and two-sample tests (chapter 13).

`real` (N, d) and `generated` (M, d) come from `extractor`, None for pixels; `generator` draws what is random. Raises
TypeError or ValueError for other types or shapes, fewer than two samples, or numbers that are not finite; warns of
`IdenticalSets`. A p-value is for independent sets, unlike what was trained on the real one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib import checks
from course_lib.metrics.distributions import pair, sample, squared_distances
from course_lib.metrics.result import Z95, Result, proportion, standard_error
from course_lib.precision import course_defaults, float64

Statistic = Callable[[Tensor], float]  # of which samples count as real, (N + M,)


@dataclass(frozen=True, kw_only=True)
class Test(Result):
    """A score with the p-value of the hypothesis that both sets come from one distribution."""

    __test__ = False  # pytest collects what is called Test

    p: float  # NaN if it was not computed

    def __str__(self) -> str:
        return super().__str__() + ("" if math.isnan(self.p) else f", p = {self.p:.2g}")


@dataclass(frozen=True, kw_only=True)
class LogLikelihood(Result):
    """A mean log-likelihood with the width of the window it was computed with."""

    sigma: float


@course_defaults()
def kernel_distance(real: Tensor, generated: Tensor, *, extractor: str | None, batch: int = 2048) -> Result:
    """Squared maximum mean discrepancy with the kernel (xᵀy/d + 1)³, from features (N, d) and (M, d).

    Bińkowski et al. 2018, section 3: unbiased, so it *may be negative*. The interval is that of a U-statistic.
    """
    same, batch = pair(real, generated, extractor), checks.whole("batch", batch)
    x, y = float64(real.detach()), float64(generated.detach())
    n, m = len(x), len(y)
    xx, yy = _kernel_sums(x, batch) / (n - 1), _kernel_sums(y, batch) / (m - 1)  # (N,), (M,)
    xy, yx = torch.zeros_like(xx), torch.zeros_like(yy)
    for i in range(0, n, batch):
        for j in range(0, m, batch):
            k = _kernel(x[i : i + batch], y[j : j + batch])
            xy[i : i + batch] += k.sum(1) / m
            yx[j : j + batch] += k.sum(0) / n
    value = float(xx.mean() + yy.mean() - xy.mean() - yx.mean())
    variance = 4 * float((xx - xy).var() / n + (yy - yx).var() / m)
    ci95 = math.nan if same else Z95 * math.sqrt(variance)
    return Result("kernel distance", value, ci95, m, n, extractor)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)  # section 4, Bińkowski et al. 2018


def _kernel_sums(x: Tensor, batch: int) -> Tensor:
    """Σ_{j≠i} k(x_i, x_j): (N,). Of two blocks that mirror each other only one is computed."""
    sums = torch.zeros(len(x), dtype=x.dtype)
    for i in range(0, len(x), batch):
        for j in range(i, len(x), batch):
            k = _kernel(x[i : i + batch], x[j : j + batch])
            if i == j:
                k.fill_diagonal_(0)
            else:
                sums[j : j + batch] += k.sum(0)
            sums[i : i + batch] += k.sum(1)
    return sums


@course_defaults()
def parzen(
    real: Tensor, generated: Tensor, *, validation: Tensor, extractor: str | None, batch: int = 500
) -> LogLikelihood:
    """Mean log-likelihood of real samples (N, d) under a Gaussian window around each generated sample (M, d), in nats.

    log p(x) = log (1/M) Σ_i exp(-‖x - g_i‖²/2σ²) - (d/2) log 2πσ² (Goodfellow et al. 2014), with the σ that is best for
    `validation` (V, d), other real samples; ValueError if that is 0.
    """
    pair(real, generated, extractor)
    sample("validation", validation, dimensions=real.shape[1])
    batch = checks.whole("batch", batch)
    centres, held_out = float64(generated.detach()), float64(validation.detach())
    sigma = _best_width(held_out, centres, batch)
    width = torch.tensor([sigma], dtype=torch.float64)
    values = _parzen_log_densities(float64(real.detach()), centres, width, batch)[:, 0]
    name, value = "Parzen log-likelihood", float(values.mean())
    ci95 = Z95 * float(values.std()) / math.sqrt(len(values))
    return LogLikelihood(name, value, ci95, len(generated), len(real), extractor, sigma=sigma)


def _best_width(x: Tensor, centres: Tensor, batch: int) -> float:
    d = x.shape[1]
    nearest, total = 0.0, 0.0
    for part in x.split(batch):
        squares = squared_distances(part, centres)
        nearest, total = nearest + float(squares.amin(1).sum()), total + float(squares.mean(1).sum())
    low, high = (math.sqrt(sum_ / (len(x) * d)) for sum_ in (nearest, total))
    if low < 1e-6 * high or high == 0:
        raise ValueError(
            "validation: expected samples that were not generated, got only copies of generated ones, "
            "for which the best width is 0 and the likelihood infinite"
        )
    low, high = math.log(low), math.log(high)
    for _ in range(4):  # each grid is 6 times as fine: in the end σ is known to about 0.1 %
        grid = torch.linspace(low, high, 13, dtype=torch.float64)
        best = float(grid[_parzen_log_densities(x, centres, grid.exp(), batch).mean(0).argmax()])
        step = float(grid[1] - grid[0])
        low, high = best - step, best + step
    return math.exp(best)


def _parzen_log_densities(x: Tensor, centres: Tensor, widths: Tensor, batch: int) -> Tensor:
    """log p(x) for each width: (N, d), (M, d), (W,) -> (N, W)."""
    m, d = centres.shape
    rows = []
    for part in x.split(batch):
        squares = squared_distances(part, centres)  # (batch, M)
        rows.append(torch.stack([(squares / (-2 * s * s)).logsumexp(1) for s in widths], 1))  # (batch, W)
    return torch.cat(rows) - math.log(m) - d / 2 * (2 * math.pi * widths.square()).log()


@course_defaults()
def sliced_wasserstein(
    real: Tensor,
    generated: Tensor,
    *,
    extractor: str | None,
    generator: torch.Generator,
    order: float = 2,
    directions: int = 128,
    permutations: int = 0,
) -> Test:
    """(mean over directions of W_p^p)^(1/p) between the projections of (N, d) and (M, d) on random unit vectors.

    Bonneel et al. 2015, for p = `order` >= 1 and at least 2 `directions`. The interval is that of the mean over
    directions, the p-value that of `permutations` between the sets, NaN without any.
    """
    pair(real, generated, extractor)
    if checks.real("order", order) < 1:
        raise ValueError(f"order must be a finite number >= 1; received {order}")
    values, ranks = _projections(real, generated, directions, generator)
    n, total = len(real), values.shape[1]

    def costs(is_real: Tensor) -> Tensor:
        chosen = is_real[ranks]  # (L, N + M)
        return _wasserstein(values[chosen].view(-1, n), values[~chosen].view(-1, total - n), order)

    power = costs(torch.arange(total) < n)  # (L,) W_p^p in each direction
    mean = float(power.mean())
    value = mean ** (1 / order)
    ci95 = Z95 * standard_error(power) * value / (order * mean) if value > 0 else math.nan
    p = _permutation_p(lambda is_real: float(costs(is_real).mean()), mean, n, total, permutations, generator)
    return Test(f"sliced Wasserstein-{order:g}", value, ci95, len(generated), n, extractor, p=p)


@course_defaults()
def kolmogorov_smirnov(
    real: Tensor,
    generated: Tensor,
    *,
    extractor: str | None,
    generator: torch.Generator,
    directions: int = 32,
    permutations: int = 199,
) -> Test:
    """The largest Kolmogorov–Smirnov statistic, ``max |F_r - F_g|`` in [0, 1], over at least 2 random `directions`.

    The p-value is that of `permutations` between the sets, NaN without any. There is no interval.
    """
    pair(real, generated, extractor)
    values, ranks = _projections(real, generated, directions, generator)
    n, total = len(real), values.shape[1]
    # Between equal values both distribution functions jump at once: only the last of them counts.
    last = torch.cat([values[:, 1:] > values[:, :-1], torch.ones(len(values), 1, dtype=torch.bool)], 1)

    def statistic(is_real: Tensor) -> float:
        jumps = torch.where(is_real, total - n, -n)  # whole numbers: nm(F_r - F_g) without rounding
        return float((jumps[ranks].cumsum(1).abs() * last).max()) / (n * (total - n))

    value = statistic(torch.arange(total) < n)
    p = _permutation_p(statistic, value, n, total, permutations, generator)
    return Test("Kolmogorov–Smirnov", value, math.nan, len(generated), n, extractor, p=p)


def _projections(
    real: Tensor, generated: Tensor, directions: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Both sets on L random directions: sorted values (L, N + M), and which sample each value is of (L, N + M)."""
    directions = checks.whole("directions", directions, at_least=2)
    w = torch.randn(real.shape[1], directions, generator=generator, dtype=torch.float64)
    w /= w.norm(dim=0)
    values, ranks = torch.cat([float64(real.detach()) @ w, float64(generated.detach()) @ w]).T.sort(dim=1)
    return values, ranks


def _wasserstein(x: Tensor, y: Tensor, order: float) -> Tensor:
    """W_p^p of each row, sorted: (L, N), (L, M) -> (L,). Quantile functions are constant between i/N and j/M."""
    n, m = x.shape[1], y.shape[1]
    ends = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()  # in units of 1/(NM)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    gaps = (x[:, starts // m] - y[:, starts // n]).abs() ** order
    return gaps @ ((ends - starts).double() / (n * m))


def _permutation_p(
    statistic: Statistic, observed: float, n: int, total: int, permutations: int, generator: torch.Generator
) -> float:
    """Share of exchanges between the sets, the given one included, with a statistic at least as large."""
    if checks.whole("permutations", permutations, at_least=0) == 0:
        return math.nan
    exchanges = (torch.randperm(total, generator=generator) < n for _ in range(permutations))
    larger = sum(statistic(is_real) >= observed * (1 - 1e-12) for is_real in exchanges)
    return (1 + larger) / (1 + permutations)


@course_defaults()
def classifier_two_sample(
    real: Tensor,
    generated: Tensor,
    *,
    extractor: str | None,
    generator: torch.Generator,
    classifier: str = "logistic",
) -> Test:
    """Accuracy of telling (N, d) from (N, d), on a held-out half: ½ for a perfect generator, 1 for a poor one.

    Lopez-Paz & Oquab 2017, by ``"logistic"`` regression or √n_tr nearest ``"neighbours"`` of standardised features. p
    is by N(½, 1/(4 n_te)). ValueError for unequal sizes or fewer than 10 samples.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pair(real, generated, extractor)
    checks.choice("classifier", classifier, ("logistic", "neighbours"))
    n = len(real)
    if len(generated) != n or n < 10:
        got = f"{len(generated)} and {n}; take the same number of each, x[:n]"
        raise ValueError(f"generated: expected as many samples as real, and at least 10, got {got}")
    half = n // 2
    sets = [float64(x.detach())[torch.randperm(n, generator=generator)] for x in (real, generated)]
    train, test = (torch.cat([x[part] for x in sets]).numpy() for part in (slice(half), slice(half, None)))
    y_train, y_test = (torch.arange(2).repeat_interleave(size).numpy() for size in (half, n - half))
    if classifier == "logistic":
        model = LogisticRegression(max_iter=1000)
    else:
        model = KNeighborsClassifier(max(1, math.isqrt(2 * half)))
    accuracy = float(make_pipeline(StandardScaler(), model).fit(train, y_train).score(test, y_test))
    p = 0.5 * math.erfc((accuracy - 0.5) * math.sqrt(2 * len(y_test)))  # standard deviation 1/(2√n_te)
    ci95 = proportion("accuracy", accuracy, len(y_test)).ci95
    return Test(f"classifier test ({classifier})", accuracy, ci95, n, n, extractor, p=p)
