"""The two ways to classify (chapter 1): models of p(y|x) and a model of p(x, y).

Shapes: N images, D features, K classes. Arguments of another shape, type or range raise TypeError or ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.precision import course_defaults, float64


class SoftmaxRegression(nn.Module):
    """p(y|x) = softmax(W x + b) on raw pixels: logits (N, K) from images (N, C, H, W) or vectors (N, D)."""

    def __init__(self, features: int = 784, classes: int = 10) -> None:
        super().__init__()
        checks.whole("features", features)
        checks.whole("classes", classes)
        self.linear = nn.Linear(features, classes)
        nn.init.zeros_(self.linear.weight)  # the loss is convex: zero is as good a start as any
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K)."""
        flat, wanted, shape = x.flatten(1), self.linear.in_features, tuple(x.shape)
        if flat.shape[1] != wanted:
            raise ValueError(f"x: expected {wanted} features per sample, got {flat.shape[1]} (shape {shape})")
        return self.linear(flat)


@dataclass(frozen=True)
class DigitCNNConfig:
    """Architecture of `DigitCNN`."""

    channels: tuple[int, int, int] = (32, 64, 128)  # of the three convolutions
    features: int = 128  # width of the last hidden layer, what `features.digit_classifier` hands out
    dropout: float = 0.3  # on the last hidden layer
    classes: int = 10


class DigitCNN(nn.Module):
    """A small convolutional classifier of 28x28 digits: three conv-norm-ReLU-pool stages and two linear layers."""

    def __init__(self, cfg: DigitCNNConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or DigitCNNConfig()
        a, b, c = cfg.channels
        self.body = nn.Sequential(
            *_stage(1, a),  # (N, a, 14, 14)
            *_stage(a, b),  # (N, b, 7, 7)
            *_stage(b, c),  # (N, c, 3, 3)
            nn.Flatten(),
            nn.Linear(9 * c, cfg.features),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(cfg.dropout), nn.Linear(cfg.features, cfg.classes))

    def embed(self, x: Tensor) -> Tensor:
        """Features (N, cfg.features) of images (N, 1, 28, 28): the last hidden layer."""
        return self.body(checks.image_shape(x, (1, 28, 28)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, 28, 28) in [-1, 1]."""
        return self.head(self.embed(x))


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, size, stride, padding=1, bias=False)  # the norm has a bias
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


def _stage(inputs: int, outputs: int) -> list[nn.Module]:
    return [*_convolution(inputs, outputs, 3), nn.MaxPool2d(2)]


@dataclass(frozen=True)
class AvatarCNNConfig:
    """Architecture of `AvatarCNN`, and what its logits mean."""

    names: Mapping[str, tuple[str, ...]]  # attribute -> its classes, in the order of the logits
    channels: tuple[int, int, int, int] = (32, 64, 64, 128)  # of the four convolutions
    features: int = 192  # width of the last hidden layer, what `features.avatar_attributes` hands out


class AvatarCNN(nn.Module):
    """A small convolutional classifier of 64x64 colour images: one hidden representation, one softmax per attribute."""

    def __init__(self, cfg: AvatarCNNConfig) -> None:
        super().__init__()
        if not cfg.names:
            raise ValueError("names: expected the classes of one attribute or more, got none")
        for name, classes in cfg.names.items():
            if len(classes) < 2 or len(set(classes)) < len(classes):
                got = tuple(classes)
                raise ValueError(f"names: expected two or more different classes of {name!r}, got {got}")
        self.cfg = cfg
        a, b, c, d = cfg.channels
        self.body = nn.Sequential(
            *_convolution(3, a, 4, stride=2),  # (N, a, 32, 32)
            *_convolution(a, b, 4, stride=2),  # (N, b, 16, 16)
            *_stage(b, c),  # (N, c, 8, 8)
            *_stage(c, d),  # (N, d, 4, 4)
            nn.Flatten(),
            nn.Linear(16 * d, cfg.features, bias=False),
            nn.BatchNorm1d(cfg.features),
            nn.ReLU(),
        )
        self.head = nn.Linear(cfg.features, sum(len(classes) for classes in cfg.names.values()))

    def embed(self, x: Tensor) -> Tensor:
        """Features (N, cfg.features) of images (N, 3, 64, 64): the last hidden layer."""
        return self.body(checks.image_shape(x, (3, 64, 64)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) of images (N, 3, 64, 64) in [-1, 1], all attributes side by side: see `by_attribute`."""
        return self.head(self.embed(x))

    def by_attribute(self, logits: Tensor) -> dict[str, Tensor]:
        """Attribute -> its own columns (N, classes) of logits (N, K)."""
        sizes = [len(classes) for classes in self.cfg.names.values()]
        checks.of_shape("logits", logits, f"(N, {sum(sizes)})")
        return dict(zip(self.cfg.names, logits.split(sizes, 1), strict=True))


class GaussianClassifier:
    """p(x, y) = π_y N(x; μ_y, Σ_y): quadratic or linear discriminant analysis, on the CPU in float64.

    Hastie, Tibshirani & Friedman 2009, section 4.3. Attributes: `priors` (K,), `means` (K, D), `covariances` (K, D, D).
    """

    def __init__(self, priors: Tensor, means: Tensor, covariances: Tensor) -> None:
        """Take the parameters as they are; use `fit` to estimate them."""
        self.priors = float64(checks.tensor("priors", priors, "(K,)"))
        self.means = float64(checks.tensor("means", means, "(K, D)"))
        self.covariances = float64(checks.tensor("covariances", covariances, "(K, D, D)"))
        k = (len(self.priors), len(self.means), len(self.covariances))
        if len(set(k)) > 1:
            raise ValueError(f"expected priors, means and covariances of the same number of classes, got {k}")
        if abs(float(self.priors.sum()) - 1) > 1e-6 or float(self.priors.min()) < 0:
            got = self.priors.tolist()
            raise ValueError(f"priors: expected non-negative numbers that sum to 1, got {got}")
        self._cholesky, failed = torch.linalg.cholesky_ex(self.covariances)
        if failed.any():
            k = int(failed.nonzero()[0])
            raise ValueError(
                f"covariances: expected positive definite ones, got a singular one for class {k}; "
                "raise `shrinkage`, use fewer features, or give it more samples"
            )

    @classmethod
    @course_defaults()
    def fit(cls, x: Tensor, y: Tensor, *, shrinkage: float = 0.0, shared: bool = False) -> GaussianClassifier:
        """Maximum-likelihood priors and means, and shrunk covariances, of features x (N, D) with labels y (N,).

        Σ_y = (1 - shrinkage) S_y + shrinkage · (tr S_y / D) · I (Ledoit & Wolf 2004), S_y the unbiased covariance of
        class y, or with `shared` one for all. ValueError also for a class of one sample, or a singular covariance.
        """
        x = float64(checks.tensor("x", x, "(N, D)"))
        y = checks.labels("y", y, len(x), classes=len(x)).cpu()
        if not 0 <= shrinkage <= 1:
            raise ValueError(f"shrinkage: expected a number from 0 to 1, got {shrinkage}")
        counts = torch.bincount(y)
        if int(counts.min()) < (1 if shared else 2):
            n, k = int(counts.min()), int(counts.argmin())
            raise ValueError(f"y: expected at least two samples of each class, got {n} of class {k}")
        means = torch.stack([x[y == k].mean(0) for k in range(len(counts))])  # (K, D)
        centred = [x[y == k] - mean for k, mean in enumerate(means)]
        scatters = torch.stack([part.T @ part for part in centred])  # (K, D, D)
        if shared:
            pooled = scatters.sum(0) / max(len(x) - len(counts), 1)
            covariances = pooled.expand(len(counts), -1, -1)
        else:
            covariances = scatters / (counts - 1).view(-1, 1, 1)
        sizes = covariances.diagonal(dim1=1, dim2=2).mean(1).view(-1, 1, 1)
        sphere = sizes * torch.eye(x.shape[1], dtype=x.dtype)
        return cls(counts.to(x.dtype) / len(y), means, (1 - shrinkage) * covariances + shrinkage * sphere)

    @course_defaults()
    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) of features x (N, D) for every class, in nats: (N, K)."""
        x = float64(checks.tensor("x", x, f"(N, {self.means.shape[1]})"))
        columns = []
        for prior, mean, factor in zip(self.priors, self.means, self._cholesky, strict=True):
            u = torch.linalg.solve_triangular(factor, (x - mean).T, upper=False)  # ‖u‖² = (x-μ)ᵀ Σ⁻¹ (x-μ)
            log_det = 2 * factor.diagonal().log().sum()
            log_normal = -0.5 * (u.square().sum(0) + log_det + x.shape[1] * math.log(2 * math.pi))
            columns.append(log_normal + prior.log())
        return torch.stack(columns, 1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) = log Σ_y p(x, y) of features x (N, D), in nats: (N,)."""
        return self.log_joint(x).logsumexp(1)

    def posterior(self, x: Tensor) -> Tensor:
        """p(y|x) by Bayes' rule, of features x (N, D): (N, K), rows sum to 1."""
        return self.log_joint(x).softmax(1)

    def sample(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """One draw x ~ p(x|y) per label y (N,): features (N, D)."""
        y = checks.labels("y", y, len(y), classes=len(self.means)).cpu()
        x = torch.randn(len(y), self.means.shape[1], dtype=torch.float64, generator=generator)
        for k, (mean, factor) in enumerate(zip(self.means, self._cholesky, strict=True)):
            x[y == k] = mean + x[y == k] @ factor.T  # Cov = L Lᵀ
        return x
