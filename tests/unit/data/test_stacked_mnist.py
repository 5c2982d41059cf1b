"""Stacked digits: each channel is a digit of MNIST, and the label is the three of them read as one number."""

import pytest
import torch

from course_lib import data


@pytest.fixture(scope="module")
def stacked():
    return data.stacked_mnist(3_000, seed=4)


def test_shapes_and_ranges(stacked):
    x, y = stacked
    assert x.shape == (3_000, 3, 28, 28) and x.dtype == torch.float32
    assert (float(x.min()), float(x.max())) == (-1, 1)
    assert y.shape == (3_000,) and y.dtype == torch.int64
    assert int(y.min()) >= 0 and int(y.max()) <= 999


def test_channels_are_digits_of_the_labels_digits(stacked):
    """Every channel is found among the digits of the split, and is of the class that the label says."""
    x, y = stacked
    digits, labels = data.mnist("train")
    digits = digits.flatten(1)
    for picture, number in zip(x[:20], y[:20]):
        for channel, place in zip(picture, (100, 10, 1)):
            (found,) = (digits == channel.flatten()).all(1).nonzero(as_tuple=True)
            assert int(number) // place % 10 in labels[found].tolist()


def test_the_three_are_independent_and_as_frequent_as_in_mnist(stacked):
    _, y = stacked
    shares = torch.bincount(data.mnist("train")[1]) / 60_000
    for place in (100, 10, 1):
        counts = torch.bincount(y // place % 10, minlength=10)
        expected = 3_000 * shares
        assert float(((counts - expected) ** 2 / expected).sum()) < 27.9  # chi-squared, 9 degrees, p = 0.001
    table = torch.bincount(y // 10, minlength=100).view(10, 10)
    expected = 3_000 * shares[:, None] * shares
    assert float(((table - expected) ** 2 / expected).sum()) < 148.2  # 99 degrees


def test_another_seed_or_split_draws_others_and_the_same_seed_the_same(stacked):
    x, y = data.stacked_mnist(50, seed=4)
    again, other = data.stacked_mnist(50, seed=4), data.stacked_mnist(50, seed=5)
    assert torch.equal(x, again[0]) and torch.equal(y, again[1])
    assert not torch.equal(y, other[1])
    assert not torch.equal(x, data.stacked_mnist(50, seed=4, split="test")[0])


@pytest.mark.parametrize(("arguments", "said"), [((0,), "n must"), ((2.0,), "n must"), ((5, -1), "seed")])
def test_bad_input_is_named(arguments, said):
    with pytest.raises((TypeError, ValueError), match=said):
        data.stacked_mnist(*arguments)
    with pytest.raises(ValueError, match="split"):
        data.stacked_mnist(3, split="valid")
    with pytest.raises(MemoryError, match="take fewer"):
        data.stacked_mnist(10**9)
