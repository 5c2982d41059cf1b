"""How far apart two images are: MSE, PSNR, SSIM, and the distance of their features that LPIPS is made of.

All take pairs x and y of images (N, C, H, W) in [-1, 1] and give one float64 number per pair, (N,), with gradients;
they raise TypeError or ValueError for anything else. h x w are positions of a map.
"""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import checks
from course_lib.precision import course_defaults, float64

PEAK = 2.0  # white minus black in [-1, 1]: the data range of PSNR, whatever values the images happen to have


class RangeWarning(checks.ImageRangeWarning):
    """Of two sets of images, one or both look like [0, 1]."""


class IdenticalImagesWarning(UserWarning):
    """Pairs are equal in every pixel, so that their PSNR is infinite."""


@course_defaults()
def mse(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of each pair, over channels and pixels: (N,), from 0 to 4 = (white - black)²."""
    x, y = image_pair(x, y)
    return (float64(x) - float64(y)).square().flatten(1).mean(1)


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each pair in decibels, 10 log10(2² / MSE): (N,), the same in any range of values.

    Infinite for identical images, with an `IdenticalImagesWarning` and without a gradient.
    """
    errors = mse(x, y)
    identical = int((errors == 0).sum())
    if identical:
        warnings.warn(
            f"{identical} of {len(errors)} pairs are identical images: their PSNR is infinite, and so would be any "
            "mean with them; leave them out and say how many they were, or give the MSE",
            IdenticalImagesWarning,
            stacklevel=2,
        )
    return psnr_of_mse(errors)


def psnr_of_mse(mse: Tensor) -> Tensor:
    """The decibels of mean squared errors of images in [-1, 1], any shape: 10 log10(2² / mse), infinite for 0."""
    checks.tensor("mse", mse)
    if bool((mse < 0).any()):
        raise ValueError(f"mse: expected numbers >= 0, got {float(mse.detach().min()):.3g}")
    return 10 * torch.log10(PEAK**2 / float64(mse))


class SSIMMaps(NamedTuple):
    """The three comparisons that SSIM multiplies, each at every position of the window: (N, C, h, w)."""

    luminance: Tensor  # of the local means, in (0, 1]
    contrast: Tensor  # of the local standard deviations, in (0, 1]
    structure: Tensor  # the local correlation, in (-1, 1]


@course_defaults()
def ssim(
    x: Tensor,
    y: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    gamma: float = 1.0,
    k1: float = 0.01,
    k2: float = 0.03,
    c3: float | None = None,
    window: Tensor | None = None,
) -> Tensor:
    """Structural similarity of each pair, the mean over channels and positions of l^alpha c^beta s^gamma: (N,).

    Wang, Bovik, Sheikh & Simoncelli 2004, Eq. (12), by default Eq. (13), of intensities in [0, 1]. c1 = k1², c2 = k2²,
    and c3 is c2 / 2 if None. `window` (s,), `gaussian_window()` if None, weighs the rows and columns of s x s pixels.
    Exponents are >= 0, and gamma is whole where the structure is negative.
    """
    exponents = [checks.real(name, v) for name, v in (("alpha", alpha), ("beta", beta), ("gamma", gamma))]
    x, y, window = _prepared(x, y, window)
    c1, c2, c3 = _constants(k1, k2, c3)
    scores = []
    # A few images at a time: on a CPU, as many as keep the maps in its cache.
    batch = max(1, (2**16 if x.device.type == "cpu" else 2**24) // x[0].numel())
    for part_x, part_y in zip(x.split(batch), y.split(batch), strict=True):
        local = _local(part_x, part_y, window)
        if exponents == [1, 1, 1] and c3 == c2 / 2:
            luminance = _luminance(local, c1)
            similarity = luminance * (2 * local.covariance + c2) / (local.var_x + local.var_y + c2)
        else:
            maps = _maps(local, c1, c2, c3)
            lowest = float(maps.structure.detach().min())
            if lowest < 0 and not exponents[2].is_integer():
                raise ValueError(
                    f"gamma = {gamma:g}: the structure is negative in places ({lowest:.3g}), and a negative number has "
                    "no real power that is not whole; take a whole gamma"
                )
            luminance, contrast, structure = (m**e for m, e in zip(maps, exponents, strict=True))
            similarity = luminance * contrast * structure  # (n, C, h, w)
        # at most 1, says the inequality of Cauchy and Schwarz; rounding says more where both are nearly flat
        scores.append(similarity.clamp(max=1).flatten(1).mean(1))
    return torch.cat(scores)


@course_defaults()
def ssim_maps(
    x: Tensor,
    y: Tensor,
    *,
    k1: float = 0.01,
    k2: float = 0.03,
    c3: float | None = None,
    window: Tensor | None = None,
) -> SSIMMaps:
    """Luminance, contrast and structure of Wang et al. 2004, Eq. (6), (9) and (10): maps (N, C, h, w).

    The s x s window stays inside: h = H - s + 1, w = W - s + 1. Arguments as `ssim`.
    """
    x, y, window = _prepared(x, y, window)
    return _maps(_local(x, y, window), *_constants(k1, k2, c3))


@course_defaults()
def gaussian_window(size: int = 11, sigma: float = 1.5) -> Tensor:
    """Weights (size,) of a Gaussian of `sigma` pixels, with sum 1: Wang et al.'s window; size >= 2, sigma > 0."""
    size, sigma = checks.whole("size", size, at_least=2), checks.real("sigma", sigma, positive=True)
    position = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = (-0.5 * (position / sigma) ** 2).exp()
    return weights / weights.sum()


@course_defaults()
def uniform_window(size: int = 7) -> Tensor:
    """Equal weights (size,), with sum 1; size >= 2. Scikit-image's default, there with the sample covariance."""
    size = checks.whole("size", size, at_least=2)
    return torch.full((size,), 1 / size, dtype=torch.float64)


@course_defaults()
def perceptual_distance(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    weights: Mapping[str, Tensor] | None = None,
    *,
    exactly: bool = True,
) -> Tensor:
    """Σ over layers of the mean over positions of Σ_c w_c (â_c - b̂_c)², where â = a / ‖a‖ over the channels: (N,).

    Zhang et al. 2018, Eq. (1), their w squared being `weights` (C,) of each layer, ones if None. `a` and `b` are both
    sets' feature maps (N, C, h, w) by layer. `exactly` computes in double precision, on the CPU; else in the maps' own,
    where they are, which is enough for a loss.
    """
    if not a or set(a) != set(b) or (weights is not None and set(a) != set(weights)):
        got = [sorted(layers) for layers in (a, b, *(() if weights is None else (weights,)))]
        raise ValueError(f"a, b and weights: expected the same layers in each, at least one, got {got}")
    total = 0
    for layer in a:
        checks.tensor(f"a[{layer!r}]", a[layer], "(N, C, h, w)")
        checks.tensor(f"b[{layer!r}]", b[layer], "(N, C, h, w)")
        if a[layer].shape != b[layer].shape:
            got = f"{tuple(a[layer].shape)} and {tuple(b[layer].shape)}"
            raise ValueError(f"a and b: expected maps of one shape for layer {layer!r}, got {got}")
        # normalize() has gradient 0 at a vector of zeros, where that of sqrt(sum of squares) is NaN.
        pair = (float64(maps[layer]) if exactly else maps[layer] for maps in (a, b))
        unit_a, unit_b = (F.normalize(x, dim=1, eps=1e-10) for x in pair)
        difference = (unit_a - unit_b).square()  # (N, C, h, w)
        if weights is not None:
            w = checks.tensor(f"weights[{layer!r}]", weights[layer], f"({difference.shape[1]},)")
            difference = difference * w.to(difference).view(1, -1, 1, 1)
        total = total + difference.sum(1).mean((1, 2))
    return total


def image_pair(x: Any, y: Any, shape: str = "(N, C, H, W)", *, smallest: int = 1) -> tuple[Tensor, Tensor]:
    """x and y if they are images in [-1, 1] of one shape, of `smallest` pixels or more each way; else as `checks`."""
    extremes = []
    for name, value in (("x", x), ("y", y)):
        value = value.detach() if isinstance(value, Tensor) else value
        checks.images(name, value, shape, shown=True)  # of both together more can be said: see below
        if min(value.shape[2:]) < smallest:
            raise ValueError(
                f"{name}: expected images of at least {smallest} x {smallest} pixels, as many as the window or the "
                f"network needs, got {value.shape[2]} x {value.shape[3]}"
            )
        extremes.append((float(value.min()), float(value.max())))
    if x.shape != y.shape:
        got = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ValueError(f"x and y: images are compared in pairs, so expected sets of one shape, got {got}")
    if x.device != y.device:
        raise ValueError(f"x and y: expected one device, got {x.device} and {y.device}; move one by .to()")
    _range_warning(extremes)
    return x, y


def _range_warning(extremes: list[tuple[float, float]]) -> None:
    """Warns if neither of two sets goes below 0, or if only one does and the other starts at 0 and is bright."""
    (low, high), (other_low, other_high) = sorted(extremes)
    neither = low >= 0 and max(high, other_high) > 0  # a set of nothing but zeros is one of grey images
    one = low < -0.5 and 0 <= other_low < 0.02 and other_high > 0.5
    if neither or one:
        warnings.warn(
            f"{'x and y have' if neither else 'one of x and y has'} no pixel below 0, as images in [0, 1] have none, "
            "but images in [-1, 1] are expected; map by 2*x - 1, for otherwise "
            + ("PSNR is 6 dB too high, MSE 4 times too small" if neither else "the number says nothing")
            + ", and SSIM and feature distances are those of paler images",
            RangeWarning,
            stacklevel=5,
        )


class _Local(NamedTuple):
    """Weighted means, variances and covariance in the window at every position: (n, C, h, w) each."""

    mean_x: Tensor
    mean_y: Tensor
    var_x: Tensor
    var_y: Tensor
    covariance: Tensor


def _prepared(x: Tensor, y: Tensor, window: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    window = gaussian_window() if window is None else float64(checks.tensor("window", window, "(s,)"))
    if float(window.min()) < 0 or abs(float(window.sum()) - 1) > 1e-6:
        raise ValueError(f"window: expected weights >= 0 with sum 1, got sum {float(window.sum()):.6g}")
    return *image_pair(x, y, smallest=len(window)), window


def _constants(k1: float, k2: float, c3: float | None) -> tuple[float, float, float]:
    """c1, c2 and c3 for intensities in [0, 1]."""
    c1, c2 = checks.real("k1", k1, positive=True) ** 2, checks.real("k2", k2, positive=True) ** 2
    return c1, c2, c2 / 2 if c3 is None else checks.real("c3", c3, positive=True)


def _local(x: Tensor, y: Tensor, window: Tensor) -> _Local:
    x, y = (float64(x) + 1) / 2, (float64(y) + 1) / 2  # [-1, 1] -> [0, 1]: black is 0
    weights = window.tolist()

    def smoothed(image: Tensor) -> Tensor:
        """(n, C, H, W) -> (n, C, h, w): the window's rows, then its columns, which gives the product of both."""
        h, w = (size - len(weights) + 1 for size in image.shape[2:])
        image = sum(weight * image[:, :, i : i + h] for i, weight in enumerate(weights))
        return sum(weight * image[:, :, :, i : i + w] for i, weight in enumerate(weights))

    mean_x, mean_y = smoothed(x), smoothed(y)
    var_x = (smoothed(x * x) - mean_x**2).clamp(min=0)  # rounding may leave -1e-17 where an image is flat
    var_y = (smoothed(y * y) - mean_y**2).clamp(min=0)
    return _Local(mean_x, mean_y, var_x, var_y, smoothed(x * y) - mean_x * mean_y)


def _luminance(local: _Local, c1: float) -> Tensor:
    return (2 * local.mean_x * local.mean_y + c1) / (local.mean_x**2 + local.mean_y**2 + c1)


def _maps(local: _Local, c1: float, c2: float, c3: float) -> SSIMMaps:
    product = _root(local.var_x) * _root(local.var_y)  # σ_x σ_y
    contrast = (2 * product + c2) / (local.var_x + local.var_y + c2)
    return SSIMMaps(_luminance(local, c1), contrast, (local.covariance + c3) / (product + c3))


def _root(variance: Tensor) -> Tensor:
    """Square root with gradient 0 at 0, where an image is flat: that of sqrt is infinite, and infinity x 0 is NaN."""
    positive = variance > 0
    return torch.where(positive, variance, 1).sqrt() * positive
