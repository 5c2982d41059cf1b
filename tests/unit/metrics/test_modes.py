"""Modes and high-quality samples on samples whose counts are known."""

import math

import pytest
import torch

from course_lib.data import grid, grid_centres, ring, ring_centres
from course_lib.metrics import count_classes, count_modes
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


# ---- classes


def test_classes_and_divergence_of_a_case_worked_out_by_hand():
    labels = torch.tensor([0, 0, 0, 2])  # q = (3/4, 0, 1/4)
    found = count_classes(labels, 3)
    assert found.captured == 2
    assert found.counts.tolist() == [3, 0, 1]
    by_hand = 0.75 * math.log(0.75 * 3) + 0.25 * math.log(0.25 * 3)
    assert float(found.divergence) == pytest.approx(by_hand, rel=1e-12)
    shares = torch.tensor([0.5, 0.3, 0.2])
    by_hand = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.2)
    assert float(count_classes(labels, 3, shares=shares).divergence) == pytest.approx(by_hand, rel=1e-6)


def test_it_is_the_samples_divergence_from_the_data_and_not_the_other_way_round():
    """One class of ten: log 10; the other way round it would be infinite."""

    def check(divergence):
        assert divergence(torch.full((50,), 7)) == pytest.approx(math.log(10))

    def reverse(labels):
        q = torch.bincount(labels, minlength=10) / len(labels)
        return float((0.1 * (0.1 / q).log()).sum())

    check(lambda labels: float(count_classes(labels, 10).divergence))
    assert rejects(check, reverse)


@pytest.mark.parametrize("skewed", [False, True])
def test_bias_and_interval_are_those_of_repeated_draws(skewed):
    """From the data itself about (classes - 1) / 2N is left; the interval is the spread of such numbers."""
    p = torch.full((40,), 1 / 40)
    q = (p * torch.linspace(0.5, 1.5, 40)) if skewed else p
    draws = torch.multinomial(q.expand(400, -1), 1_000, replacement=True, generator=generator())
    found = [count_classes(labels, 40).divergence for labels in draws]
    values = torch.tensor([float(one) for one in found])
    truth = float((q * (q / p).log()).sum())
    assert float(values.mean()) - truth == pytest.approx(39 / 2_000, rel=0.1)
    ci95 = torch.tensor([one.ci95 for one in found])
    assert float(ci95.mean()) == pytest.approx(1.96 * float(values.std()), rel=0.15)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": torch.tensor([3])}, "labels from 0 to 2"),
        ({"labels": torch.tensor([0.0])}, "labels"),
        ({"classes": 1}, "classes"),
        ({"shares": torch.tensor([0.5, 0.5, 0.0])}, "shares"),
        ({"shares": torch.tensor([0.5, 0.5])}, "shares"),
        ({"shares": torch.tensor([0.5, 0.5, 0.5])}, "sum"),
    ],
)
def test_bad_classes_are_named(changes, said):
    arguments = {"labels": torch.tensor([0, 1]), "classes": 3, **changes}
    with pytest.raises((TypeError, ValueError), match=said):
        count_classes(arguments.pop("labels"), arguments.pop("classes"), **arguments)
