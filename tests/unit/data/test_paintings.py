"""Paintings by code: the same for everyone, of any size, each in a manner of its own."""

import pytest
import torch
import torch.nn.functional as F

from course_lib.data import painting
from course_lib.data.paintings import PAINTINGS


@pytest.fixture(scope="module")
def shown():
    return {manner: painting(manner, 96) for manner in PAINTINGS}


def test_there_are_five_images_in_range(shown):
    assert len(shown) == 5
    for x in shown.values():
        assert x.shape == (1, 3, 96, 96) and x.dtype == torch.float32
        assert -1 <= float(x.min()) < -0.2 and 0.5 < float(x.max()) <= 1


@pytest.mark.parametrize("manner", PAINTINGS)
def test_a_seed_gives_a_picture_and_another_one_another(manner, shown):
    assert torch.equal(painting(manner, 96), shown[manner])
    assert not torch.equal(painting(manner, 96, seed=1), shown[manner])


def test_a_larger_one_shows_the_same_more_finely(shown):
    """But for the swirls' and washes' grain, which is as fine as its pixels."""
    for manner in ("mosaic", "woodcut", "glass"):
        large = F.avg_pool2d(painting(manner, 192), 16)
        small = F.avg_pool2d(shown[manner], 8)
        pair = torch.stack([large.flatten(), small.flatten()])
        assert float(torch.corrcoef(pair)[0, 1]) > 0.9, manner


def test_the_manners_differ(shown):
    """A woodcut has two colours, a window of glass has many; water leaves paper light."""

    def saturation(x):
        return float((x.amax(1) - x.amin(1)).mean())

    assert saturation(shown["woodcut"]) < 0.25 < saturation(shown["glass"])
    assert float(shown["watercolour"].mean()) > 0.2 > float(shown["swirls"].mean())
    ink = (shown["woodcut"].mean(1) < -0.4).float().mean()
    paper = (shown["woodcut"].mean(1) > 0.4).float().mean()
    assert ink > 0.2 and paper > 0.3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("oil",), ValueError),
        (("glass", 8), ValueError),
        (("glass", 4096), ValueError),
        (("glass", 64.5), TypeError),
    ],
)
def test_what_cannot_be_painted_is_named(arguments, error):
    with pytest.raises(error, match=r"manner|size"):
        painting(*arguments)
