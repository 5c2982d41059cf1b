"""Moving discs are where, as large and as bright as their factors say."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch

from course_lib import data

SIZE, LEVELS = 32, 6


@pytest.fixture(scope="module")
def drawn():
    return data.moving_discs(3_000, size=SIZE, levels=LEVELS, seed=2)


def light(x):
    """(N, R, R) from 0, black, to 1."""
    return (x[:, 0].double() + 1) / 2


def truth(factors, size=SIZE, levels=LEVELS):
    """Centre in pixels, radius in pixels, brightness: what the factors stand for."""
    column, row, radius, brightness = (factors.double() / (levels - 1)).T
    first, last = size / 4, size - 1 - size / 4
    return (
        first + (last - first) * column,
        first + (last - first) * row,
        size * (0.09 + 0.13 * radius),
        0.4 + 0.6 * brightness,
    )


def test_images_are_in_range_and_factors_on_their_levels(drawn):
    x, factors = drawn
    assert x.shape == (3_000, 1, SIZE, SIZE)
    assert x.dtype == torch.float32
    assert factors.dtype == torch.int64
    assert float(x.min()) == -1
    assert float(x.max()) == 1  # the brightest are white
    assert factors.unique().tolist() == list(range(LEVELS))


def test_factors_are_uniform_and_independent(drawn):
    _, factors = drawn
    columns = factors.T.numpy()
    p = [scipy.stats.chisquare(np.bincount(v, minlength=LEVELS)).pvalue for v in columns]
    for a, b in itertools.combinations(columns, 2):
        p.append(scipy.stats.chi2_contingency(np.histogram2d(a, b, LEVELS)[0]).pvalue)
    assert len(p) == 10
    assert min(p) > 0.001


def test_the_centre_of_the_light_is_at_column_and_row(drawn):
    x, factors = drawn
    centre_x, centre_y, _, _ = truth(factors)
    shine, axis = light(x), torch.arange(SIZE, dtype=torch.float64)
    total = shine.sum((1, 2))
    assert float(((shine.sum(1) @ axis) / total - centre_x).abs().max()) < 0.03
    assert float(((shine.sum(2) @ axis) / total - centre_y).abs().max()) < 0.03


def test_area_and_brightness_are_those_of_the_disc(drawn):
    """With an edge that fades over one pixel the area is π(r² + 1/12)."""
    x, factors = drawn
    _, _, radius, brightness = truth(factors)
    shine = light(x)
    assert torch.allclose(shine.amax((1, 2)), brightness, atol=1e-6)
    area = shine.sum((1, 2)) / brightness
    assert float((area / (math.pi * (radius**2 + 1 / 12)) - 1).abs().max()) < 0.01


def test_edges_are_the_share_of_the_pixel_that_is_covered():
    """Against 20 x 20 hard-edged points per pixel."""
    x, factors = data.moving_discs(40, size=16, levels=4, seed=1)
    fine = (torch.arange(16 * 20, dtype=torch.float64) + 0.5) / 20 - 0.5
    for image, cx, cy, r, b in zip(light(x), *truth(factors, 16, 4)):
        inside = ((fine[None, :] - cx) ** 2 + (fine[:, None] - cy) ** 2 < r**2).double()
        covered = inside.view(16, 20, 16, 20).mean((1, 3))
        assert float((image / b - covered).abs().max()) < 0.12
        assert float((image / b - covered).mean().abs()) < 0.004


@pytest.mark.parametrize(("size", "levels"), [(8, 2), (9, 3), (32, 10), (64, 4)])
def test_no_disc_is_cut_by_the_border(size, levels):
    """The largest in all four corners has as much light as the same disc in the middle, and a black rim."""
    x, factors = data.moving_discs(1_500, size=size, levels=levels)
    _, _, radius, brightness = truth(factors, size, levels)
    corner = ((factors[:, :2] == 0) | (factors[:, :2] == levels - 1)).all(1) & (factors[:, 2] == levels - 1)
    assert len(factors[corner][:, :2].unique(dim=0)) == 4
    area = light(x[corner]).sum((1, 2)) / brightness[corner]
    assert float((area / (math.pi * (radius[corner] ** 2 + 1 / 12)) - 1).abs().max()) < (
        0.05 if size < 16 else 0.01
    )
    if size >= 32:
        rim = torch.ones(size, size, dtype=torch.bool)
        rim[1:-1, 1:-1] = False
        assert float(x[:, 0, rim].max()) == -1


def test_mirroring_an_image_mirrors_its_factor(drawn):
    """The range of places is symmetric, and columns are the last axis."""
    x, factors = drawn
    images = {tuple(f): image for f, image in zip(factors.tolist(), x[:, 0])}
    pairs = 0
    for (column, row, *rest), image in images.items():
        for mirrored, key in (
            (image.flip(1), (LEVELS - 1 - column, row, *rest)),
            (image.flip(0), (column, LEVELS - 1 - row, *rest)),
            (image.T, (row, column, *rest)),
        ):
            if key in images:
                assert torch.allclose(mirrored, images[key], atol=1e-5)
                pairs += 1
    assert pairs > 500


def test_equal_factors_give_equal_images_and_others_do_not(drawn):
    x, factors = drawn
    code = (factors * torch.tensor([1, 6, 36, 216])).sum(1)
    order = code.argsort()
    same = code[order].diff() == 0
    difference = (x[order[1:]] - x[order[:-1]]).abs().amax((1, 2, 3))
    assert int(same.sum()) > 500
    assert float(difference[same].max()) == 0
    assert float(difference[~same].min()) > 0.01


def test_draws_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    first, again = (data.moving_discs(50, size=8, seed=7) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first[1], data.moving_discs(50, size=8, seed=8)[1])


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("n", 0, ValueError),
        ("n", 2.0, TypeError),
        ("n", None, TypeError),
        ("size", 7, ValueError),
        ("size", 32.0, TypeError),
        ("levels", 1, ValueError),
        ("levels", True, TypeError),
        ("seed", -1, ValueError),
        ("seed", 1.0, TypeError),
    ],
)
def test_bad_arguments_are_named(name, value, error):
    with pytest.raises(error, match=f"{name} must be .*; received"):
        data.moving_discs(**{"n": 10, name: value})
