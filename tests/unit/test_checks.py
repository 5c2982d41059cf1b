"""The argument checks themselves: shapes with letters, ranges, kinds."""

import pytest
import torch

from course_lib import checks


def test_letters_stand_for_any_size_but_for_the_same_one():
    assert checks.tensor("c", torch.zeros(2, 3, 3), "(K, D, D)").shape == (2, 3, 3)
    with pytest.raises(ValueError, match=r"c: expected shape \(K, D, D\).*\(2, 3, 4\)"):
        checks.tensor("c", torch.zeros(2, 3, 4), "(K, D, D)")
    with pytest.raises(ValueError, match=r"\(N, 1, 28, 28\)"):
        checks.images("x", torch.zeros(2, 1, 28, 27), "(N, 1, 28, 28)")


def test_image_range_has_room_for_rounding_only():
    checks.images("x", torch.full((1, 1, 2, 2), 1 + 1e-5))
    with pytest.raises(ValueError, match="255"):
        checks.images("x", torch.full((1, 1, 2, 2), 255.0))
    with pytest.raises(TypeError, match="uint8"):
        checks.images("x", torch.zeros(1, 1, 2, 2, dtype=torch.uint8))


def test_whole_numbers():
    assert checks.whole("k", 3, at_most=3) == 3
    for wrong in (True, 2.0, "2", None):
        with pytest.raises(TypeError, match="k must be a whole number"):
            checks.whole("k", wrong)
    with pytest.raises(ValueError, match="because"):
        checks.whole("k", 4, at_most=3, why="because")
