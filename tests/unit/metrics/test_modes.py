"""Modes and high-quality samples on samples whose counts are known."""

import math

import pytest
import torch

from course_lib.data import grid, grid_centres, ring, ring_centres
from course_lib.metrics import count_modes
from tests.unit.proof import generator, rejects

CENTRES = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


def test_counts_of_points_that_lie_where_we_know():
    x = torch.tensor([[0.0, 0.0], [0.29, 0.0], [0.31, 0.0], [2.0, -0.29], [1.0, 1.0], [0.0, 0.1]])
    found = count_modes(x, CENTRES, std=0.1)
    assert found.counts.tolist() == [3, 1, 0]
    assert found.captured == 2
    assert float(found.quality) == pytest.approx(4 / 6) and found.quality.n == 6
    assert count_modes(x, CENTRES, std=0.1, least=2).captured == 1
    assert count_modes(x, CENTRES, std=0.1, within=4).counts.tolist() == [4, 1, 0]


@pytest.mark.parametrize(("draw", "centres"), [(grid, grid_centres()), (ring, ring_centres())])
def test_samples_of_the_mixture_itself(draw, centres):
    x, mode = draw(40_000, std=0.05, seed=3)
    found = count_modes(x, centres, std=0.05)
    assert found.captured == len(centres)
    share = 1 - math.exp(-4.5)  # of a normal distribution in the plane, within three standard deviations
    assert abs(float(found.quality) - share) < 3 * found.quality.ci95
    assert bool((found.counts <= torch.bincount(mode)).all())


def test_neither_the_order_nor_the_place_matters():
    x = torch.randn(500, 2, generator=generator())
    found = count_modes(x, CENTRES, std=0.1)
    shift, order = torch.tensor([3.0, -7.0]), torch.randperm(500, generator=generator(1))
    moved = count_modes((x + shift)[order], CENTRES + shift, std=0.1)
    assert moved.counts.tolist() == found.counts.tolist()


def test_a_square_root_forgotten_is_noticed():
    x, _ = grid(2_000, std=0.05)

    def right(count):
        assert abs(count - 2_000 * (1 - math.exp(-4.5))) < 15

    right(int(count_modes(x, grid_centres(), std=0.05).counts.sum()))
    squared = torch.cdist(x, grid_centres()).square().min(1).values
    assert rejects(right, int((squared <= 3 * 0.05).sum()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"std": 0.0}, "std"),
        ({"within": -1.0}, "within"),
        ({"least": 0}, "least"),
        ({"std": 0.5}, "further apart"),
        ({"generated": torch.zeros(4, 3)}, "generated"),
        ({"generated": torch.full((4, 2), math.nan)}, "generated"),
        ({"centres": torch.zeros(3)}, "centres"),
    ],
)
def test_bad_input_is_named(changes, said):
    arguments = {"generated": torch.zeros(4, 2), "centres": CENTRES, "std": 0.1, **changes}
    generated, centres = arguments.pop("generated"), arguments.pop("centres")
    with pytest.raises((TypeError, ValueError), match=said):
        count_modes(generated, centres, **arguments)
