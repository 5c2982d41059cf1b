"""Linear autoencoders (chapter 3): PCA by singular value decomposition, probabilistic PCA, and the trained kind.

Shapes: N samples, D numbers per sample, k components. Samples are vectors (N, D) or images (N, C, H, W) with C·H·W = D;
what is decoded or drawn has the shape fitted. PCA of either kind computes on the CPU in float64. Arguments of another
shape, not finite or out of range raise TypeError or ValueError.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.precision import course_defaults, float64


class PCA:
    """The k directions of largest variance, and the projection onto them (Pearson 1901, Hotelling 1933).

    Attributes (float64): `mean` (D,), `components` (k, D) with orthonormal rows in order of falling variance,
    `variances` (k,) along them, with 1/(N-1), `spectrum` (r,) all r = min(N, D) variances.
    """

    def __init__(
        self, mean: Tensor, components: Tensor, spectrum: Tensor, sample_shape: tuple[int, ...]
    ) -> None:
        """Take the parts as they are; use `fit` to compute them."""
        self.mean, self.components = mean, components
        self.spectrum, self.sample_shape = spectrum, sample_shape

    @classmethod
    @course_defaults()
    def fit(cls, x: Tensor, k: int | None = None) -> PCA:
        """PCA of x (N, D) or (N, C, H, W), N >= 2, with the `k` leading components (by default all min(N, D))."""
        flat, shape = _flatten("x", x)
        n, d = flat.shape
        if n < 2:
            raise ValueError(f"x: expected at least two samples, for one has no variance, got {n}")
        if k is not None:
            checks.whole("k", k, at_most=min(n, d), why=f"the smaller of {n} samples and {d} dimensions")
        mean = flat.mean(0)
        _, s, vt = torch.linalg.svd(torch.linalg.qr(flat - mean, mode="r").R, full_matrices=False)
        largest = vt.gather(1, vt.abs().argmax(1, keepdim=True))  # (r, 1): its sign shall be positive
        return cls(mean, (vt * largest.sign())[:k], s.square() / (n - 1), shape)

    @property
    def variances(self) -> Tensor:
        """Variance along each component (k,)."""
        return self.spectrum[: len(self.components)]

    def truncated(self, k: int) -> PCA:
        """The same PCA with only its `k` leading components."""
        checks.whole("k", k, at_most=len(self.components), why="the components there are")
        return PCA(self.mean, self.components[:k], self.spectrum, self.sample_shape)

    @course_defaults()
    def encode(self, x: Tensor) -> Tensor:
        """Coordinates z = U(x - mean) along the components: (N, D) or (N, C, H, W) -> (N, k), float64."""
        return _centre(x, self.mean) @ self.components.T

    @course_defaults()
    def decode(self, z: Tensor) -> Tensor:
        """Samples Uᵀz + mean with the coordinates z (N, k), in the shape and of the kind fitted, float64."""
        z = float64(checks.tensor("z", z, f"(N, {len(self.components)})"))
        return (z @ self.components + self.mean).unflatten(1, self.sample_shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The nearest point to each x in the affine subspace, in the shape of x, float64."""
        return self.decode(self.encode(x)).reshape(x.shape)


class ProbabilisticPCA:
    """x = W z + μ + ε with z ~ N(0, I_k), ε ~ N(0, σ² I_D): a Gaussian whose covariance is C = W Wᵀ + σ² I.

    By maximum likelihood in closed form (Tipping & Bishop 1999, Eq. 7-8). Attributes (float64): `mean` (D,), `W` (D,
    k), `noise` (σ², a float). Densities are in nats, of the units that x has.
    """

    def __init__(self, mean: Tensor, W: Tensor, noise: float, sample_shape: tuple[int, ...]) -> None:
        """Take the parameters as they are; use `fit` to estimate them."""
        self.mean = float64(checks.tensor("mean", mean, "(D,)"))
        self.W = float64(checks.tensor("W", W, f"({len(mean)}, k)"))
        if not (math.isfinite(noise) and noise > 0):
            raise ValueError(f"noise: expected a positive variance, got {noise}")
        self.noise, self.sample_shape = float(noise), tuple(sample_shape)
        k = self.W.shape[1]
        # M = WᵀW + σ²I is k x k, and all that is needed of C's inverse (Woodbury) and determinant (Sylvester).
        m = self.W.T @ self.W + self.noise * torch.eye(k, dtype=torch.float64)
        self._factor = torch.linalg.cholesky(m)

    @classmethod
    @course_defaults()
    def fit(cls, x: Tensor, k: int) -> ProbabilisticPCA:
        """W = U(Λ - σ²I)^½ of the k leading eigenpairs, σ² the mean of the other eigenvalues; ValueError if it is 0."""
        flat, shape = _flatten("x", x)
        n, d = flat.shape
        checks.whole("k", k, at_most=min(n, d) - 1, why="at least one dimension must be left for the noise")
        pca = PCA.fit(flat, k)
        eigenvalues = pca.spectrum * (n - 1) / n
        noise = float(eigenvalues[k:].sum() / (d - k))
        if noise <= 1e-14 * float(eigenvalues[0]):  # zero up to rounding
            raise ValueError(
                f"x: expected variance outside the {k} components, got {noise:.1e}, and with none the density is "
                "infinite; use fewer components or more samples"
            )
        scale = (eigenvalues[:k] - noise).clamp(min=0).sqrt()
        return cls(pca.mean, pca.components.T * scale, noise, shape)

    @course_defaults()
    def covariance(self) -> Tensor:
        """C = W Wᵀ + σ² I, (D, D)."""
        return self.W @ self.W.T + self.noise * torch.eye(len(self.mean), dtype=torch.float64)

    @course_defaults()
    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log p(x) of each sample (N, D) or (N, C, H, W), in nats: (N,), at O(Dk) per sample."""
        centred = _centre(x, self.mean)
        d, k = self.W.shape
        u = torch.linalg.solve_triangular(self._factor, self.W.T @ centred.T, upper=False)  # (k, N)
        # Woodbury: (x-μ)ᵀ C⁻¹ (x-μ) = (‖x-μ‖² - ‖L⁻¹Wᵀ(x-μ)‖²) / σ²  with M = L Lᵀ
        mahalanobis = (centred.square().sum(1) - u.square().sum(0)) / self.noise
        log_det = 2 * self._factor.diagonal().log().sum() + (d - k) * math.log(self.noise)
        return -0.5 * (mahalanobis + log_det + d * math.log(2 * math.pi))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """p(z|x) = N(M⁻¹Wᵀ(x - μ), σ² M⁻¹): its means (N, k) and its covariance (k, k), the same for all x."""
        inverse = torch.cholesky_inverse(self._factor)
        return _centre(x, self.mean) @ self.W @ inverse, self.noise * inverse

    @course_defaults()
    def sample(self, n: int, generator: torch.Generator, *, noise: bool = True) -> Tensor:
        """`n` draws in the shape fitted, float64; with ``noise=False`` the means W z + μ without ε."""
        checks.whole("n", n)
        d, k = self.W.shape
        x = torch.randn(n, k, dtype=torch.float64, generator=generator) @ self.W.T + self.mean
        if noise:
            x = x + math.sqrt(self.noise) * torch.randn(n, d, dtype=torch.float64, generator=generator)
        return x.unflatten(1, self.sample_shape)


class LinearAutoencoder(nn.Module):
    """x -> z = A(x - b) -> B z + b, trained on the squared error (Baldi & Hornik 1989); b (D,) starts at `mean`."""

    def __init__(self, mean: Tensor, k: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        dimensions = len(checks.tensor("mean", mean, "(D,)"))
        checks.whole("k", k, at_most=dimensions, why="the dimensions there are")
        scale = 1 / math.sqrt(dimensions)
        self.A = nn.Parameter(scale * torch.randn(k, dimensions, generator=generator))
        self.B = nn.Parameter(scale * torch.randn(dimensions, k, generator=generator))
        self.b = nn.Parameter(mean.detach().clone().float())

    def encode(self, x: Tensor) -> Tensor:
        """Codes (N, k) of samples (N, D)."""
        d, got = len(self.b), tuple(x.shape)
        if got[1:] != (d,):
            raise ValueError(f"x: expected shape (N, {d}), got {got}; flatten images first")
        return (x - self.b) @ self.A.T

    def decode(self, z: Tensor) -> Tensor:
        """Samples (N, D) of codes (N, k)."""
        return z @ self.B.T + self.b

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction (N, D) of samples (N, D)."""
        return self.decode(self.encode(x))


@course_defaults()
def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Angles in degrees, rising, between the subspaces spanned by the rows of a (k, D) and of b (m, D).

    Björck & Golub 1973: the cosines are the singular values of QaᵀQb, small angles are taken from the sines.
    """
    a = float64(checks.tensor("a", a, "(k, D)"))
    b = float64(checks.tensor("b", b, f"(m, {a.shape[1]})"))
    if len(a) < len(b):
        a, b = b, a
    bases = []
    for name, rows in (("a", a), ("b", b)):
        rank = int(torch.linalg.matrix_rank(rows))
        if rank < len(rows):
            raise ValueError(f"{name}: expected linearly independent rows, got {len(rows)} of rank {rank}")
        bases.append(torch.linalg.qr(rows.T).Q)  # (D, k), orthonormal columns
    qa, qb = bases
    cosines = torch.linalg.svdvals(qa.T @ qb).clamp(max=1)
    sines = torch.linalg.svdvals(qb - qa @ (qa.T @ qb)).clamp(max=1).flip(0)
    return torch.rad2deg(torch.where(cosines.square() > 0.5, sines.asin(), cosines.acos()))


def _flatten(name: str, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Samples as float64 rows (N, D), and the shape that each had."""
    checks.tensor(name, x)
    shape = tuple(x.shape)
    if len(shape) not in (2, 4):
        raise ValueError(f"{name}: expected vectors (N, D) or images (N, C, H, W), got shape {shape}")
    return float64(x).flatten(1), shape[1:]


def _centre(x: Tensor, mean: Tensor) -> Tensor:
    """Samples as float64 rows (N, D) with the mean (D,) taken off."""
    flat, shape = _flatten("x", x)
    d, got = len(mean), flat.shape[1]
    if got != d:
        raise ValueError(f"x: expected samples of {d} numbers as fitted, got {got} (shape {shape})")
    return flat - mean
