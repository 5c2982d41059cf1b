"""The photographs are scikit-image's, and resizing is antialiased."""

import numpy as np
import pytest
import torch

from course_lib import data


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_photographs(name):
    x = data.photo(name)
    assert x.shape == (1, 3, 256, 256)
    assert x.dtype == torch.float32
    assert x.min() >= -1
    assert x.max() <= 1
    assert x.std() > 0.3


@pytest.mark.parametrize(
    ("name", "left", "side"), [("astronaut", 0, 512), ("chelsea", 85, 300), ("coffee", 140, 400)]
)
def test_they_are_the_stated_squares_of_the_originals(name, left, side):
    skimage_data = pytest.importorskip("skimage.data")
    image = pytest.importorskip("PIL.Image")
    original = getattr(skimage_data, name)()[:side, left : left + side]
    expected = np.asarray(image.fromarray(original).resize((256, 256), image.Resampling.LANCZOS))
    difference = np.abs(data.to_uint8(data.photo(name))[0].astype(int) - expected)
    assert difference.max() <= 1  # another Pillow may round differently


@pytest.mark.parametrize("size", [1, 64, 100, 256, 300])
def test_resizing(size):
    x = data.photo("coffee", size=size)
    assert x.shape == (1, 3, size, size)
    assert x.abs().max() <= 1
    assert (x.mean((2, 3)) - data.photo("coffee").mean((2, 3))).abs().max() < 0.02  # colours stay


def test_resizing_is_antialiased():
    """Every fourth pixel, which is what resizing without antialiasing takes, is rougher than the mean."""
    full, small = data.photo("chelsea"), data.photo("chelsea", size=64)
    block_means = torch.nn.functional.avg_pool2d(full, 4)
    assert (small - block_means).pow(2).mean() < 0.2 * (full[:, :, 2::4, 2::4] - block_means).pow(2).mean()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("lena",), ValueError),
        (("",), ValueError),
        ((None,), TypeError),
        (("coffee", 0), ValueError),
        (("coffee", -5), ValueError),
        (("coffee", 64.0), TypeError),
        (("coffee", (64, 64)), TypeError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error, match="received"):
        data.photo(*arguments)
