"""Image metrics against closed forms, scikit-image, torchmetrics and lpips, and against the usual wrong versions."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_lib import data, metrics
from course_lib.metrics import images
from course_lib.metrics.images import (
    IdenticalImagesWarning,
    RangeWarning,
    gaussian_window,
    mse,
    perceptual_distance,
    psnr,
    psnr_of_mse,
    ssim,
    ssim_maps,
    uniform_window,
)
from tests.unit.proof import generator


def noisy(x, sigma, seed=0):
    return (x + sigma * torch.randn(x.shape, generator=generator(seed), dtype=x.dtype)).clamp(-1, 1)


def random_images(*shape, seed=0):
    return 2 * torch.rand(*shape, generator=generator(seed), dtype=torch.float64) - 1


@pytest.fixture(scope="module")
def photos():
    """x (6, 3, 96, 96), and y: two photographs each with a little noise, blurred, and of low contrast."""
    x = torch.cat([data.photo("chelsea", 96), data.photo("coffee", 96)])
    blurred = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    return x.repeat(3, 1, 1, 1), torch.cat([noisy(x, 0.1), blurred, 0.3 * x + 0.1])


def intensities(x):
    """[-1, 1] -> [0, 255] and channels last, in double precision, as scikit-image takes it."""
    return ((x.double() + 1) * 127.5).movedim(1, -1).numpy()


def scikit_ssim(x, y, data_range=255.0, **options):
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, **options}
    pairs = zip(x, y)
    return np.array(
        [structural_similarity(a, b, data_range=data_range, channel_axis=-1, **options) for a, b in pairs]
    )


# MSE and PSNR


def test_mse_and_psnr_of_what_can_be_done_in_the_head():
    black, grey, white = (torch.full((1, 3, 4, 5), v) for v in (-1.0, 0.0, 1.0))
    x, y = torch.cat([black, black, grey]), torch.cat([white, grey, grey - 0.02])
    assert mse(x, y).tolist() == pytest.approx([4, 1, 0.0004], rel=1e-6)
    assert psnr(x, y).tolist() == pytest.approx([0, 20 * math.log10(2), 40], abs=1e-5)
    assert mse(x, y).dtype == psnr(x, y).dtype == torch.float64


def test_mse_and_psnr_are_scikit_images(photos):
    skimage = pytest.importorskip("skimage.metrics")
    x, y = photos
    pairs = list(zip(intensities(x), intensities(y)))
    theirs = [skimage.mean_squared_error(a, b) / 127.5**2 for a, b in pairs]
    assert mse(x, y).numpy() == pytest.approx(theirs, rel=1e-12)
    theirs = [skimage.peak_signal_noise_ratio(a, b, data_range=255) for a, b in pairs]
    assert psnr(x, y).numpy() == pytest.approx(theirs, rel=1e-12)


def test_psnr_is_torchmetrics_when_asked_for_single_images(photos):
    """Its default pools all pixels of all images first: that is the PSNR of the mean."""
    peak_signal_noise_ratio = pytest.importorskip("torchmetrics.functional.image").peak_signal_noise_ratio
    x, y = (image.double() for image in photos)
    theirs = peak_signal_noise_ratio(y, x, data_range=2.0, dim=(1, 2, 3), reduction="none")
    assert torch.allclose(psnr(x, y), theirs, rtol=1e-6)  # its logarithms of range and base are float32's
    pooled = peak_signal_noise_ratio(y, x, data_range=2.0)
    assert psnr_of_mse(mse(x, y).mean()) == pytest.approx(float(pooled), rel=1e-6)
    assert float(psnr(x, y).mean() - pooled) > 1


def test_mean_of_psnrs_is_not_psnr_of_mean():
    """Errors of 0.02 and 0.2: 40 and 20 dB, 30 on average; pooled it is 23."""
    x = torch.zeros(2, 1, 8, 8)
    y = torch.tensor([0.02, -0.2]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    result = metrics.mean("PSNR", psnr(x, y))
    assert result.value == pytest.approx(30, abs=1e-5)
    assert result.n == 2
    wrong = float(psnr_of_mse(mse(x, y).mean()))
    assert wrong == pytest.approx(10 * math.log10(4 / 0.0202), abs=1e-5)
    assert wrong < 23


def test_the_mean_of_psnrs_is_never_below_the_psnr_of_the_mean():
    errors = torch.rand(100, 5, generator=generator(), dtype=torch.float64) + 1e-3
    assert (psnr_of_mse(errors).mean(1) >= psnr_of_mse(errors.mean(1))).all()


def test_the_data_range_is_not_taken_from_the_images(photos):
    """Wrong version: peak = max - min of the image at hand, which rewards bright specks and punishes flat images."""

    def wrong(x, y):
        return 10 * torch.log10((x.amax((1, 2, 3)) - x.amin((1, 2, 3))) ** 2 / mse(x, y))

    x = 0.25 * photos[0]
    shifted = x + 0.1
    assert psnr(x, shifted).tolist() == pytest.approx([20 * math.log10(20)] * 6, abs=1e-4)
    assert float((psnr(x, shifted) - wrong(x, shifted)).min()) > 10


def test_identical_images_have_infinite_psnr_and_say_so(photos):
    x, y = photos
    y = torch.cat([x[:2], y[2:]])
    with pytest.warns(
        IdenticalImagesWarning, match="2 of 6 pairs are identical images: their PSNR is infinite"
    ):
        values = psnr(x, y)
    assert values[:2].tolist() == [math.inf, math.inf]
    assert torch.isfinite(values[2:]).all()
    with pytest.raises(ValueError, match="got 2 NaN or infinite of 6"):
        metrics.mean("PSNR", values)
    assert mse(x, y)[:2].tolist() == [0, 0]
    assert ssim(x, y)[:2].tolist() == pytest.approx([1, 1], abs=1e-12)


# SSIM


def test_ssim_is_scikit_images(photos):
    x, y = photos
    ours = ssim(x, y).numpy()
    assert np.abs(ours - scikit_ssim(intensities(x), intensities(y))).max() < 1e-12
    assert np.ptp(ours) > 0.2  # not all alike


def test_ssim_of_grey_oblong_images_and_another_window_is_scikit_images():
    x = random_images(2, 1, 23, 40)
    y = noisy(x, 0.3)
    a, b = intensities(x), intensities(y)
    assert ssim(x, y).numpy() == pytest.approx(scikit_ssim(a, b), abs=1e-12)
    theirs = scikit_ssim(a, b, gaussian_weights=False, win_size=7)
    assert ssim(x, y, window=uniform_window(7)).numpy() == pytest.approx(theirs, abs=1e-12)
    theirs = scikit_ssim(a, b, sigma=0.8, truncate=3.5)  # reaches int(3.5 * 0.8 + 0.5) = 3 pixels
    assert ssim(x, y, window=gaussian_window(7, 0.8)).numpy() == pytest.approx(theirs, abs=1e-12)
    theirs = scikit_ssim(a, b, K1=0.05, K2=0.1)
    assert ssim(x, y, k1=0.05, k2=0.1).numpy() == pytest.approx(theirs, abs=1e-12)


def test_the_test_sees_wrong_conventions_of_ssim(photos):
    x, y = photos
    right = ssim(x, y).numpy()
    a, b = intensities(x), intensities(y)
    wrong = {
        # Range 2 is right for PSNR. Luminance compares means by their ratio, which has to start at black = 0.
        "[-1, 1] with range 2": scikit_ssim(a / 127.5 - 1, b / 127.5 - 1, 2.0),
        "[0, 255] with range 1": scikit_ssim(a, b, 1.0),
        "[0, 1] with range 2": scikit_ssim(a / 255, b / 255, 2.0),
        "sample covariance": scikit_ssim(a, b, use_sample_covariance=True),
        "uniform window": scikit_ssim(a, b, gaussian_weights=False, win_size=11),
        "sigma 1": scikit_ssim(a, b, sigma=1.0),
        "luma only": scikit_ssim(a.mean(-1, keepdims=True), b.mean(-1, keepdims=True)),
    }
    for name, value in wrong.items():
        assert np.abs(value - right).max() > 1e-4, name


def test_ssim_is_torchmetrics_away_from_the_edges(photos):
    """Its mean also counts windows that hang over the edge, filled up by reflection; scikit-image and Wang do not."""
    torchmetrics = pytest.importorskip("torchmetrics.functional.image")
    x, y = ((image.double() + 1) / 2 for image in photos)
    score, full = torchmetrics.structural_similarity_index_measure(
        y, x, data_range=1.0, reduction="none", return_full_image=True
    )
    ours = ssim(*photos)
    assert torch.allclose(ours, full[:, :, 5:-5, 5:-5].mean((1, 2, 3)), atol=1e-9)
    assert 1e-4 < float((ours - score).abs().max()) < 0.05


def one_window(x, y):
    """Means, variances and covariance of square one-channel images, and the window that covers all of them."""
    a, b = (x.flatten(1) + 1) / 2, (y.flatten(1) + 1) / 2
    covariance = ((a - a.mean(1, keepdim=True)) * (b - b.mean(1, keepdim=True))).mean(1)
    return (a.mean(1), b.mean(1), a.var(1, correction=0), b.var(1, correction=0), covariance), uniform_window(
        x.shape[2]
    )


def test_the_three_maps_are_their_definitions():
    x = random_images(5, 1, 9, 9)
    mixture = torch.tensor([-0.5, -0.2, 0, 0.2, 0.5]).view(5, 1, 1, 1)  # from negatives to likenesses
    y = 0.4 * random_images(5, 1, 9, 9, seed=1) + mixture * x
    (mx, my, vx, vy, cov), window = one_window(x, y)
    c1, c2, c3 = 0.02**2, 0.05**2, 0.001
    maps = ssim_maps(x, y, k1=0.02, k2=0.05, c3=c3, window=window)
    assert all(m.shape == (5, 1, 1, 1) for m in maps)
    luminance, contrast, structure = (m.flatten() for m in maps)
    assert torch.allclose(luminance, (2 * mx * my + c1) / (mx**2 + my**2 + c1), atol=1e-12)
    assert torch.allclose(contrast, (2 * (vx * vy).sqrt() + c2) / (vx + vy + c2), atol=1e-12)
    assert torch.allclose(structure, (cov + c3) / ((vx * vy).sqrt() + c3), atol=1e-12)
    assert float(structure.min()) < 0 < float(structure.max())


def test_each_map_sees_its_own_change_only():
    x = 0.3 * random_images(1, 1, 16, 16)
    window = uniform_window(16)
    centred = x - x.mean()
    brighter = ssim_maps(x, x + 0.4, window=window)
    stronger = ssim_maps(x, x.mean() + 2 * centred, window=window)
    negative = ssim_maps(x, x.mean() - centred, window=window)
    m, v, c1, c2 = float(x.mean() + 1) / 2, float(x.var(correction=0)) / 4, 1e-4, 9e-4
    assert [float(b) for b in brighter] == pytest.approx(
        [(2 * m * (m + 0.2) + c1) / (m**2 + (m + 0.2) ** 2 + c1), 1, 1], abs=1e-12
    )
    assert [float(s) for s in stronger] == pytest.approx(
        [1, (4 * v + c2) / (5 * v + c2), (2 * v + c2 / 2) / (2 * v + c2 / 2)], abs=1e-12
    )
    assert [float(n) for n in negative] == pytest.approx([1, 1, (-v + c2 / 2) / (v + c2 / 2)], abs=1e-12)


def test_constant_images_differ_by_luminance_alone():
    x, y = (torch.full((1, 1, 11, 11), v, dtype=torch.float64) for v in (-0.2, 0.6))
    assert float(ssim(x, y)) == pytest.approx((2 * 0.4 * 0.8 + 1e-4) / (0.4**2 + 0.8**2 + 1e-4), abs=1e-9)


def test_two_factors_are_three_only_for_unit_exponents_and_half_c2(photos):
    """The lecture's two formulas side by side (erratum L14)."""
    x, y = photos

    def product(**options):  # the three-factor form, whatever `ssim` does by default
        luminance, contrast, structure = ssim_maps(x, y, **options)
        return (luminance * contrast * structure).flatten(1).mean(1)

    two_factors = ssim(x, y)
    assert torch.allclose(two_factors, product(), atol=1e-12)
    assert torch.allclose(two_factors, product(c3=0.03**2 / 2), atol=1e-12)
    # c3 = c2 looks as natural, and is another number.
    assert float((two_factors - product(c3=0.03**2)).abs().max()) > 1e-3
    assert torch.allclose(ssim(x, y, c3=0.03**2), product(c3=0.03**2), atol=1e-12)
    for exponents in ({"alpha": 2}, {"beta": 2.5}, {"gamma": 2}, {"gamma": 0}):
        assert float((ssim(x, y, **exponents) - two_factors).abs().max()) > 1e-3


def test_exponents_are_those_of_the_maps(photos):
    x, y = photos
    luminance, contrast, structure = ssim_maps(x, y)
    for alpha, beta, gamma in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 1.5, 2), (0, 0, 0)]:
        expected = (luminance**alpha * contrast**beta * structure**gamma).flatten(1).mean(1)
        assert torch.allclose(ssim(x, y, alpha=alpha, beta=beta, gamma=gamma), expected, atol=1e-12)


def test_a_negative_structure_has_no_broken_power():
    x = random_images(2, 1, 16, 16)
    with pytest.raises(ValueError, match=r"gamma = 0.5: the structure is negative in places .*whole gamma"):
        ssim(x, -x, gamma=0.5)
    assert torch.isfinite(ssim(x, -x, gamma=3)).all()
    assert torch.isfinite(ssim(x, x, gamma=0.5)).all()
    assert float(ssim(x, -x).max()) < -0.5


def test_windows_sum_to_one_and_the_gaussian_reaches_five_pixels():
    window = gaussian_window()
    assert window.shape == (11,)
    assert float(window.sum()) == pytest.approx(1, abs=1e-15)
    assert float(window[5] / window[8]) == pytest.approx(math.exp(0.5 * (3 / 1.5) ** 2), rel=1e-12)
    assert uniform_window(4).tolist() == [0.25] * 4


# All of them


@pytest.mark.parametrize("metric", [mse, psnr, ssim])
def test_scores_are_symmetric_and_depend_neither_on_batch_nor_order(photos, metric):
    x, y = photos
    together = metric(x, y)
    assert together.shape == (6,)
    assert torch.allclose(metric(y, x), together, atol=1e-12)
    order = torch.tensor([4, 0, 5, 3, 1, 2])
    assert torch.allclose(metric(x[order], y[order]), together[order], rtol=1e-12)
    assert torch.allclose(torch.cat([metric(a[None], b[None]) for a, b in zip(x, y)]), together, rtol=1e-12)


@pytest.mark.parametrize("metric", [mse, psnr, ssim])
def test_precision_and_memory_layout_of_the_input_do_not_matter(photos, metric):
    x, y = photos
    expected = metric(x, y)
    assert torch.allclose(metric(x.double(), y.double()), expected, rtol=1e-12)
    nhwc = x.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(metric(nhwc, y), expected, rtol=1e-12)
    half = x.half()  # rounds the image, not the arithmetic
    assert torch.allclose(metric(half, y), metric(half.double(), y), rtol=1e-12)


@pytest.mark.parametrize(
    "metric",
    [mse, psnr, ssim, lambda x, y: ssim(x, y, alpha=2, beta=0.5, gamma=3), lambda x, y: ssim(x, y, c3=0.01)],
)
def test_gradients_are_those_of_finite_differences(metric):
    x, y = (0.9 * random_images(1, 2, 12, 12, seed=k) for k in (0, 1))
    assert torch.autograd.gradcheck(metric, (x.requires_grad_(), y.requires_grad_()), fast_mode=True)


def test_gradients_of_flat_images_are_numbers():
    """The product form needs sqrt(0) there, whose derivative is infinite: on a digit's background it gave NaN."""
    x = torch.full((1, 1, 16, 16), -1.0)
    x[:, :, 12:, 12:] = 1.0  # most windows are flat in x, all in y
    y = torch.zeros_like(x)
    for options in ({}, {"gamma": 2}, {"c3": 0.01}):
        a = x.clone().requires_grad_()
        ssim(a, y, **options).sum().backward()
        assert torch.isfinite(a.grad).all()
    # What sqrt alone does; that clamp(min=0) before it hides this is new in torch.
    for root, finite in ((torch.sqrt, False), (images._root, True)):
        a = torch.zeros(3, requires_grad=True)
        root(a.square().mean() - a.mean() ** 2).backward()
        assert bool(torch.isfinite(a.grad).all()) is finite


def test_gradients_of_a_training_image_come_without_warnings(photos):
    x, y = (image.clone() for image in photos)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in (mse, psnr, ssim):
            metric(x.requires_grad_(), y).mean().backward()
    assert x.grad.dtype == torch.float32


def test_climbing_ssim_makes_an_image_like_another(photos):
    target = photos[0][:1, :, 32:56, 32:56]
    x = torch.zeros_like(target, requires_grad=True)
    optimiser = torch.optim.Adam([x], lr=0.2)
    before = float(ssim(x.detach(), target))
    for _ in range(30):
        optimiser.zero_grad()
        (-ssim(x.clamp(-1, 1), target).mean()).backward()
        optimiser.step()
    assert before < 0.5
    assert float(ssim(x.detach().clamp(-1, 1), target)) > 0.8


def test_a_score_of_a_set_is_the_mean_with_an_interval(photos):
    values = ssim(*photos)
    result = metrics.mean("SSIM", values)
    assert result.value == pytest.approx(float(values.mean()), abs=1e-12)
    assert result.ci95 == pytest.approx(1.96 * float(values.std()) / math.sqrt(6), rel=1e-3)
    assert (result.n, result.extractor) == (6, None)


# The distance of features


def maps(*shapes, seed=0):
    g = generator(seed)
    return {f"layer{i}": torch.randn(s, generator=g, dtype=torch.float64) for i, s in enumerate(shapes)}


def test_features_at_a_right_angle_are_2_apart_and_opposite_ones_4():
    e = torch.eye(3, dtype=torch.float64)
    a = e[[0, 0, 0]].view(3, 3, 1, 1).expand(3, 3, 4, 5)
    b = torch.stack([5 * e[0], 7 * e[1], -2 * e[0]]).view(3, 3, 1, 1).expand(3, 3, 4, 5)
    assert perceptual_distance({"l": a}, {"l": b}).tolist() == pytest.approx([0, 2, 4], abs=1e-12)
    half = torch.where(torch.arange(5) < 2, b[1:2], a[1:2])  # 2 of 5 columns
    assert perceptual_distance({"l": a[:1]}, {"l": half}).tolist() == pytest.approx([0.8], abs=1e-12)


def test_layers_count_alike_whatever_their_size_and_scale():
    a, b = maps((2, 8, 16, 16), (2, 5, 3, 4)), maps((2, 8, 16, 16), (2, 5, 3, 4), seed=1)
    whole = perceptual_distance(a, b)
    single = [perceptual_distance({k: a[k]}, {k: b[k]}) for k in a]
    assert torch.allclose(whole, sum(single), atol=1e-12)
    cosine = [F.cosine_similarity(a[k], b[k], dim=1).mean((1, 2)) for k in a]
    assert torch.allclose(whole, sum(2 - 2 * c for c in cosine), atol=1e-12)
    assert torch.allclose(perceptual_distance({k: 9 * v for k, v in a.items()}, b), whole, atol=1e-12)


@pytest.fixture(scope="module")
def original():
    """The authors' program, with their linear weights on an AlexNet of random ones."""
    lpips = pytest.importorskip("lpips")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package calls torchvision by older arguments
        torch.manual_seed(0)
        return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)


@pytest.mark.parametrize("calibrated", [True, False])
@torch.no_grad()
def test_the_distance_is_that_of_the_package_lpips(photos, original, calibrated):
    x, y = photos
    original.lpips = calibrated
    expected = original(x, y).flatten().double()
    a, b = ({str(i): m for i, m in enumerate(original.net(original.scaling_layer(v)))} for v in (x, y))
    weights = {str(i): lin.model[1].weight.flatten() for i, lin in enumerate(original.lins)}
    ours = perceptual_distance(a, b, weights if calibrated else None)
    assert ours.dtype == torch.float64
    assert torch.allclose(ours, expected, rtol=1e-5)
    if calibrated:  # Eq. (1) of the paper, read with these weights, squares them
        wrong = perceptual_distance(a, b, {k: w.square() for k, w in weights.items()})
        assert float((wrong / expected - 1).abs().min()) > 0.1


def test_the_distance_has_gradients_even_where_features_are_zero():
    """A ReLU leaves vectors of zeros. Divided by sqrt(sum of squares) + eps, as in the package, they get NaN."""

    def wrong(f):
        return f / (f.square().sum(1, keepdim=True).sqrt() + 1e-10)

    a, b = maps((1, 3, 2, 2)), maps((1, 3, 2, 2), seed=1)
    f, g = a["layer0"].clone(), b["layer0"]
    assert torch.autograd.gradcheck(lambda f: perceptual_distance({"l": f}, {"l": g}), f.requires_grad_())
    f = f.detach().clone()
    f[:, :, 0, 0] = 0
    for unit, finite in ((wrong, False), (None, True)):
        leaf = f.clone().requires_grad_()
        loss = (
            (unit(leaf) - unit(g)).square().sum()
            if unit
            else perceptual_distance({"l": leaf}, {"l": g}).sum()
        )
        loss.backward()
        assert bool(torch.isfinite(leaf.grad).all()) is finite


# Bad input

X = torch.zeros(2, 3, 16, 16)
LAYER = {"l": torch.ones(2, 3, 4, 4)}


@pytest.mark.parametrize("metric", [mse, psnr, ssim, ssim_maps])
@pytest.mark.parametrize(
    ("x", "y", "error", "says"),
    [
        (X, X[:1], ValueError, r"in pairs, .*got \(2, 3, 16, 16\) and \(1, 3, 16, 16\)"),  # would broadcast
        (X, X[:, :1], ValueError, "in pairs"),
        (X, X[:, :, :15], ValueError, "in pairs"),
        (X[0], X[0], ValueError, r"x: expected shape \(N, C, H, W\)"),
        (X, X + 255, ValueError, r"y: expected images in \[-1, 1\], got values from 255 .*x/127.5 - 1"),
        (X * math.nan, X, ValueError, "x: expected finite numbers"),
        (X, X.to(torch.uint8), TypeError, "y: expected a floating-point tensor, got torch.uint8"),
        (X.numpy(), X, TypeError, "x: expected a torch tensor, got ndarray"),
        (X[:0], X[:0], ValueError, "x: expected at least one element"),
    ],
)
def test_bad_pairs_are_named(metric, x, y, error, says):
    with pytest.raises(error, match=says) as caught:
        metric(x, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: ssim(X[:, :, :10], X[:, :, :10]), ValueError, "at least 11 x 11 pixels.*got 10 x 16"),
        (lambda: ssim_maps(X, X, window=uniform_window(17)), ValueError, "at least 17 x 17"),
        (lambda: ssim(X, X, alpha=-1), ValueError, "alpha must be a finite number >= 0"),
        (lambda: ssim(X, X, beta=math.nan), ValueError, "beta must be"),
        (lambda: ssim(X, X, gamma="1"), TypeError, "gamma must be"),
        (lambda: ssim(X, X, k1=0), ValueError, "k1 must be a finite number > 0"),
        (lambda: ssim(X, X, k2=-0.03), ValueError, "k2 must be"),
        (lambda: ssim(X, X, c3=0), ValueError, "c3 must be"),
        (
            lambda: ssim(X, X, window=torch.ones(3)),
            ValueError,
            "window: expected weights >= 0 with sum 1, got sum 3",
        ),
        (lambda: ssim(X, X, window=torch.ones(3, 3) / 9), ValueError, r"window: expected shape \(s,\)"),
        (lambda: ssim(X, X, window=torch.tensor([2.0, -1.0])), ValueError, "window: expected weights >= 0"),
        (lambda: gaussian_window(11.0), TypeError, "size must be a whole number"),
        (lambda: gaussian_window(11, 0), ValueError, "sigma must be"),
        (lambda: uniform_window(1), ValueError, "size must be"),
        (lambda: psnr_of_mse(torch.tensor([-1.0])), ValueError, "mse: expected numbers >= 0, got -1"),
        (lambda: perceptual_distance({}, {}), ValueError, "the same layers in each, at least one"),
        (lambda: perceptual_distance(LAYER, {"m": LAYER["l"]}), ValueError, r"got \[\['l'\], \['m'\]\]"),
        (lambda: perceptual_distance(LAYER, LAYER, {}), ValueError, "the same layers in each"),
        (lambda: perceptual_distance(LAYER, {"l": LAYER["l"][:1]}), ValueError, "one shape for layer 'l'"),
        (
            lambda: perceptual_distance(LAYER, LAYER, {"l": torch.ones(4)}),
            ValueError,
            r"weights\['l'\]: .*\(3,\)",
        ),
        (lambda: perceptual_distance({"l": LAYER["l"] / 0}, LAYER), ValueError, r"a\['l'\]: expected finite"),
    ],
)
def test_bad_arguments_are_named(call, error, says):
    with pytest.raises(error, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("metric", [mse, psnr, ssim])
def test_images_in_0_1_are_noticed(photos, metric):
    """They lie in [-1, 1] too, so that only a warning can tell; the number would be another one."""
    x, y = photos
    with pytest.warns(
        RangeWarning, match=r"x and y have no pixel below 0, as images in \[0, 1\].*PSNR is 6 dB too"
    ):
        wrong = metric((x + 1) / 2, (y + 1) / 2)
    right = metric(x, y)
    if metric is psnr:
        assert torch.allclose(wrong - right, torch.full_like(right, 20 * math.log10(2)), atol=1e-4)
    else:
        assert float((wrong - right).abs().max()) > 0.01
    for pair in ((x, (y + 1) / 2), ((x + 1) / 2, y)):
        with pytest.warns(
            RangeWarning, match=r"one of x and y has no pixel below 0.*the number says nothing"
        ):
            metric(*pair)


def test_bright_and_grey_images_are_left_alone(photos):
    x = photos[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mse(x, torch.zeros_like(x))
        mse(x, torch.ones_like(x))
        mse(x, 0.3 * x + 0.5)
        mse(torch.zeros_like(x), torch.zeros_like(x))


def test_ssim_is_at_most_one_for_nearly_equal_flat_pictures():
    for k in range(20):
        x = torch.full((1, 1, 16, 16), 0.3) + 1e-8 * torch.randn(1, 1, 16, 16, generator=generator(k))
        assert float(images.ssim(x, x + 1e-9, k2=1e-9)[0]) <= 1.0
