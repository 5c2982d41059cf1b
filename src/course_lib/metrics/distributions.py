"""How far apart two sets of features are: Fréchet distance, precision and recall (chapter 13).

`extractor` says what the features come from, None if they are pixels. Raises TypeError or ValueError for other types or
shapes, fewer than two samples, or numbers that are not finite; warns of `IdenticalSets`.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_lib import checks
from course_lib.metrics.result import Z95, IdenticalSets, Result, extractor_name, mean, proportion
from course_lib.precision import course_defaults, float64


class TooFewSamples(UserWarning):
    """A covariance of no more samples than dimensions: the distance is mostly bias."""


class Moments:
    """Mean and covariance of features, gathered batch by batch (Chan, Golub & LeVeque 1983); two merge by ``+``."""

    @course_defaults()
    def __init__(self, dimensions: int) -> None:
        d = self.dimensions = checks.whole("dimensions", dimensions)
        advice = "take the features of an extractor, or smaller pictures"
        checks.memory(f"the covariance of {d:,} dimensions, and what is computed from it,", 32 * d**2, advice)
        self.n = 0
        self._mean = torch.zeros(self.dimensions, dtype=torch.float64)
        self._scatter = torch.zeros(self.dimensions, self.dimensions, dtype=torch.float64)

    @course_defaults()
    def add(self, features: Tensor) -> Moments:
        """Take in features (n, dimensions), and return itself."""
        return self._add(sample("features", features, dimensions=self.dimensions))

    def _add(self, features: Tensor) -> Moments:
        for part in features.detach().cpu().split(4096):
            # Features known to 24 bits are multiplied in float32, in half the time: an error of about 1e-8.
            x = part if part.dtype == torch.float64 else part.float()  # (n, d)
            shift = x.mean(0)
            x = x - shift
            rest = x.mean(0).double()  # what rounding left of the mean
            center, scatter = shift.double() + rest, _gram(x).addr_(rest, rest, alpha=-len(x))
            self._merge(len(x), center, scatter)
        return self

    def __add__(self, other: Moments) -> Moments:
        if not isinstance(other, Moments):
            return NotImplemented
        if other.dimensions != self.dimensions:
            raise ValueError(f"expected moments of {self.dimensions} dimensions, got {other.dimensions}")
        total = Moments(self.dimensions)
        for part in (self, other):
            total._merge(part.n, part._mean, part._scatter)
        return total

    def _merge(self, n: int, center: Tensor, scatter: Tensor) -> None:
        if n == 0:
            return
        total = self.n + n
        gap = center - self._mean
        self._scatter += scatter
        self._scatter.addr_(gap, gap, alpha=self.n * n / total)
        self._mean += gap * (n / total)
        self.n = total

    @property
    def mean(self) -> Tensor:
        """μ: (dimensions,), float64. Raises ValueError before the first sample."""
        if self.n < 1:
            raise ValueError("expected at least 1 sample for a mean, got 0; add features first")
        return self._mean.clone()

    @property
    def covariance(self) -> Tensor:
        """Σ, the sum of squares about the mean over n - 1: (dimensions, dimensions). ValueError for n < 2."""
        _two_or_more("covariance", self.n)
        return self._scatter / (self.n - 1)


def _gram(x: Tensor) -> Tensor:
    """xᵀx in float64. NumPy sees that it is symmetric and computes half of it (BLAS syrk), which torch does not."""
    return torch.from_numpy(x.numpy().T @ x.numpy()).double()


@course_defaults()
def frechet(
    real: Tensor | Moments,
    generated: Tensor | Moments,
    *,
    extractor: str | None,
    interval: bool = True,
    fixed_reference: bool = False,
) -> Result:
    """‖μ_r - μ_g‖² + tr(Σ_r + Σ_g - 2(Σ_r^½ Σ_g Σ_r^½)^½) of features (N, d) and (M, d), or of their `Moments`.

    Heusel et al. 2017, Eq. (6). The interval (delta method) is about the expected score of *this many* samples; it is
    NaN for identical sets, for n ≤ d (with a warning, `TooFewSamples`), if not wanted, and for `Moments`, except for
    real ones with a `fixed_reference`, which takes the real set as it is.
    """
    sets = isinstance(real, Tensor) and isinstance(generated, Tensor)
    same = sets and pair(real, generated, extractor)
    extractor_name(extractor)
    r, g = _moments("real", real, checked=sets), _moments("generated", generated, checked=sets)
    _same_dimensions(r.dimensions, g.dimensions)
    few, d = min(r.n, g.n), r.dimensions
    if few <= d:
        warnings.warn(
            f"frechet: {few:,} samples for {d:,} dimensions make a singular covariance, and a distance that is mostly "
            "bias: even a perfect generator would score far above 0. Compare it only with the score of as many "
            "other real samples, or take more than as many samples as dimensions",
            TooFewSamples,
            stacklevel=3,
        )
    sampled = sets or (fixed_reference and isinstance(generated, Tensor))
    value, maps = _frechet(r, g, maps=interval and sampled and few > d and not same)
    ci95 = math.nan
    if maps is not None:
        variance = _influence_variance(generated, g, r.mean, maps[0])
        if not fixed_reference:
            variance += _influence_variance(real, r, g.mean, maps[1])
        ci95 = Z95 * math.sqrt(variance)
    return Result("Fréchet distance", value, ci95, g.n, r.n, extractor)


def _frechet(r: Moments, g: Moments, *, maps: bool) -> tuple[float, tuple[Tensor, Tensor] | None]:
    """The distance; with `maps` W too, W Wᵀ the optimal map from g to r, and one for its inverse, if there are any."""
    factor_r, factor_g = _factor(r), _factor(g)
    m = factor_g.T @ factor_r  # (rank of Σ_g, rank of Σ_r)
    apart = (r.mean - g.mean).square().sum() + r.covariance.trace() + g.covariance.trace()
    if m.numel() == 0:  # one set is a single point
        return float(apart), None
    narrow = m if m.shape[0] >= m.shape[1] else m.T
    squares, v = torch.linalg.eigh(_gram(narrow)) if maps else (torch.linalg.eigvalsh(_gram(narrow)), None)
    # Rounding in a square s² is a larger one in s, if s is small; then s itself is computed, which takes longer.
    large = squares > 1e-10 * squares[-1]
    trace = squares.sqrt().sum() if bool(large.all()) else torch.linalg.svdvals(m).sum()
    value = max(float(apart - 2 * trace), 0.0)
    if v is None:
        return value, None
    # With M = U S Vᵀ, T = F_r V S⁻¹ Vᵀ F_rᵀ and T⁻¹ = F_g U S⁻¹ Uᵀ F_gᵀ; directions of next to no s are left out.
    v, s = v[:, large], squares[large].sqrt()
    u = narrow @ v / s
    u, v = (u, v) if narrow is m else (v, u)
    return value, (factor_r @ v * s**-0.5, factor_g @ u * s**-0.5)


def _factor(moments: Moments) -> Tensor:
    """F (d, rank) with F Fᵀ = Σ: Cholesky's, and by eigenvectors where Σ is singular or nearly."""
    covariance = moments.covariance  # (d, d)
    lower, failed = torch.linalg.cholesky_ex(covariance)
    pivots = lower.diagonal().square()
    if int(failed) == 0 and float(pivots.min()) > 1e-10 * float(pivots.max()):
        return lower
    varies = covariance.diagonal() > 0  # among hundreds of zero rows LAPACK sometimes does not converge
    values, vectors = torch.linalg.eigh(covariance[varies][:, varies])
    keep = values > 1e-14 * len(values) * values[-1:]  # what is below is rounding
    keep[: max(0, len(values) - moments.n + 1)] = False  # n samples span no more than n - 1 directions
    factor = covariance.new_zeros(len(covariance), int(keep.sum()))
    factor[varies] = vectors[:, keep] * values[keep].sqrt()
    return factor


def _influence_variance(x: Tensor, moments: Moments, other: Tensor, w: Tensor) -> float:
    """Variance of the distance that comes from sampling x (n, d): that of its influence function, over n."""
    influence = []
    for part in x.split(4096):
        centred = float64(part.detach()) - moments.mean
        # (x - μ)ᵀT(x - μ), in float32: an interval needs few digits.
        mapped = (centred.float() @ w.float()).square().sum(1)
        influence.append(2 * centred @ (moments.mean - other) + centred.square().sum(1) - mapped)
    return float(torch.cat(influence).var()) / len(x)


@course_defaults()
def frechet_bias(real: Tensor | Moments, n: int, reference: int) -> float:
    """Expected Fréchet distance of a perfect generator: n samples against m = `reference` others of the same Gaussian.

    To first order, with λ the eigenvalues of Σ (after Chong & Forsyth 2020): tr(Σ)(1/n + 1/m) + ½(1/(n-1) + 1/(m-1))
    (Σ_ij λ_iλ_j/(λ_i + λ_j) + tr(Σ)/2). It wants N, n and m well above d.
    """
    n, m = checks.whole("n", n, at_least=2), checks.whole("reference", reference, at_least=2)
    values = torch.linalg.eigvalsh(_moments("real", real).covariance).clamp(min=0)
    sums = (values[:, None] + values).clamp(min=torch.finfo(values.dtype).tiny)
    pairs = (values[:, None] * values / sums).sum() + values.sum() / 2
    return float(values.sum() * (1 / n + 1 / m) + 0.5 * pairs * (1 / (n - 1) + 1 / (m - 1)))


@course_defaults()
def frechet_infinity(
    real: Tensor, generated: Tensor, *, extractor: str | None, generator: torch.Generator, sizes: int = 6
) -> Result:
    """The Fréchet distance extrapolated to infinitely many samples (Chong & Forsyth 2020), from (N, d) and (M, d).

    By a straight line through those of `sizes` >= 2 random subsets, evenly spaced in 1/n from half to all. Without an
    interval. ValueError for fewer than 2(d + 1) samples.
    """
    pair(real, generated, extractor)
    sizes = checks.whole("sizes", sizes, at_least=2)
    few, d = min(len(real), len(generated)), real.shape[1]
    if few < 2 * (d + 1):
        wanted = f"at least 2(d + 1) = {2 * (d + 1):,} samples, so that half of them exceed the dimensions"
        raise ValueError(f"frechet_infinity: expected {wanted}, got {few:,}")
    inverse = torch.linspace(1, 2, sizes, dtype=torch.float64)
    values = []
    for shrink in inverse.tolist():
        moments = []
        for name, x in (("real", real), ("generated", generated)):
            subset = torch.randperm(len(x), generator=generator)[: round(len(x) / shrink)]
            moments.append(_moments(name, x[subset]))
        values.append(_frechet(*moments, maps=False)[0])
    design = torch.stack([torch.ones_like(inverse), inverse], 1)  # (sizes, 2): value at 0, slope
    line = torch.linalg.lstsq(design, torch.tensor(values, dtype=torch.float64)[:, None]).solution
    return Result("Fréchet distance, n → ∞", float(line[0]), math.nan, len(generated), len(real), extractor)


class PrecisionRecall(NamedTuple):
    """Four scores from the same neighbourhoods. Each depends on both numbers of samples, on k and on d."""

    precision: Result  # share of the generated samples that lie among the real ones: quality
    recall: Result  # share of the real samples that lie among the generated ones: variety
    density: Result  # how many real neighbourhoods a generated sample lies in, over k: may exceed 1
    coverage: Result  # share of the real neighbourhoods with a generated sample in them


@course_defaults()
def precision_recall(
    real: Tensor, generated: Tensor, *, extractor: str | None, k: int = 3, batch: int = 1024
) -> PrecisionRecall:
    """Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) of (N, d) and (M, d).

    A set covers the closed balls around its samples up to the `k`-th nearest other one, `batch` of them at a time.
    """
    pair(real, generated, extractor)
    batch, few = checks.whole("batch", batch), min(len(real), len(generated))
    k = checks.whole("k", k, at_most=few - 1, why="a sample of the smaller set has no more neighbours")
    x, y = float64(real.detach()), float64(generated.detach())
    center = x.mean(0)
    x, y = x - center, y - center  # shorter vectors lose fewer digits in |x|² + |y|² - 2xy
    real_balls, generated_balls = _squared_radii(x, k, batch), _squared_radii(y, k, batch)
    recalled, covered = torch.zeros(len(x), dtype=torch.bool), torch.zeros(len(x), dtype=torch.bool)
    counts = []
    for part, ball in zip(y.split(batch), generated_balls.split(batch), strict=True):
        distances = squared_distances(part, x)  # (batch, N)
        inside = distances <= real_balls
        counts.append(inside.sum(1))
        covered |= inside.any(0)
        recalled |= (distances <= ball[:, None]).any(0)
    balls = torch.cat(counts)  # (M,) real neighbourhoods that each generated sample lies in

    def share(name: str, hits: Tensor) -> Result:
        result = proportion(name, float(hits.double().mean()), len(hits))
        return dataclasses.replace(result, n=len(y), reference=len(x), extractor=extractor)

    return PrecisionRecall(
        share(f"precision (k = {k})", balls > 0),
        share(f"recall (k = {k})", recalled),
        mean(f"density (k = {k})", balls.double() / k, reference=len(x), extractor=extractor),
        share(f"coverage (k = {k})", covered),
    )


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """‖x_i - y_j‖²: (n, d), (m, d) -> (n, m)."""
    lengths = x.square().sum(1)[:, None] + y.square().sum(1)
    distances = torch.addmm(lengths, x, y.T, alpha=-2)
    # A duplicate is at distance 0, not at the rounding error of its length: radii of 0 are compared with it.
    return distances.masked_fill_(distances <= 1e-14 * lengths, 0)


def _squared_radii(x: Tensor, k: int, batch: int) -> Tensor:
    """Squared distance to the k-th nearest other sample: (n,). The nearest of all is the sample itself."""
    return torch.cat([squared_distances(part, x).kthvalue(k + 1).values for part in x.split(batch)])


def sample(name: str, value: Any, *, dimensions: int | None = None) -> Tensor:
    """`value` if it is features (N, d), or (N, dimensions); the errors of `checks.tensor`, and one for images."""
    if isinstance(value, Tensor) and value.dim() > 2:
        raise ValueError(
            f"{name}: expected features (N, d), got a tensor of shape {tuple(value.shape)}; take the features of an "
            "extractor, or compare pixels with x.flatten(1)"
        )
    fits = isinstance(value, Tensor) and value.dim() == 2 and dimensions in (None, value.shape[1])
    if fits and value.is_floating_point() and value.numel() and bool(torch.isfinite(value.sum())):
        return value  # a finite sum shows, in a fiftieth of the time, that all are finite
    return checks.tensor(name, value, "(N, d)" if dimensions is None else f"(N, {dimensions})")


def pair(real: Any, generated: Any, extractor: Any) -> bool:
    """Check two sets of features and the extractor's name; whether only real samples are generated (it warns)."""
    extractor_name(extractor)
    for name, value in (("real", real), ("generated", generated)):
        _two_or_more(name, len(sample(name, value)))
    _same_dimensions(real.shape[1], generated.shape[1])
    # The first few numbers of each row settle it nearly always.
    same = _rows(generated[:, :8]) <= _rows(real[:, :8]) and _rows(generated) <= _rows(real)
    if same:
        warnings.warn(
            "every generated sample is also in the real set: the same set was passed twice, or the generator has "
            "memorised it. A distance of 0 then says that nothing was compared; take real samples that the generator "
            "was not trained on",
            IdenticalSets,
            stacklevel=4,
        )
    return same


def _two_or_more(name: str, n: int) -> None:
    if n < 2:
        raise ValueError(f"{name}: expected at least 2 samples, got {n}; one has no spread")


def _same_dimensions(real: int, generated: int) -> None:
    if real != generated:
        advice = "use one extractor for both"
        raise ValueError(f"generated: expected as many dimensions as real, {real}, got {generated}; {advice}")


def _moments(name: str, value: Tensor | Moments, *, checked: bool = False) -> Moments:
    if not isinstance(value, Moments):
        if not checked:
            sample(name, value)
        value = Moments(value.shape[1])._add(value)
    _two_or_more(name, value.n)
    return value


def _rows(x: Tensor) -> set[int]:
    return {hash(row.tobytes()) for row in float64(x.detach()).numpy() + 0.0}  # + 0.0 makes -0.0 to 0.0
