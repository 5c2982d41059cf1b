"""Two drawn people: the same moments of both, whose expressions vary and whose identity does not."""

import numpy as np
import pytest
import torch

from course_lib import data


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        found = {name: data.character(name, 60, 32, 5, progress=False) for name in data.CHARACTERS}
        again = data.character("ann", 20, 32, 5, progress=False)  # from the cache
        assert torch.equal(again[0], found["ann"][0][:20])
        yield found


def test_shapes_ranges_and_columns(both):
    for x, attributes in both.values():
        assert x.shape == (60, 3, 32, 32)
        assert float(x.min()) >= -1 and float(x.max()) <= 1
        assert tuple(attributes) == data.EXPRESSION
        assert all(len(np.unique(column)) == 5 for column in attributes.values())


def test_both_are_seen_in_the_same_moments(both):
    """Same expressions; and the same pose, so that the backgrounds, white, mostly agree."""
    ann, bob = both["ann"], both["bob"]
    assert all((ann[1][key] == bob[1][key]).all() for key in data.EXPRESSION)
    assert not torch.equal(ann[0], bob[0])
    white = [(x.amin(1) > 0.99) for x, _ in (ann, bob)]
    agree = [float((white[0] == white[1].roll(shift, 0)).float().mean()) for shift in (0, 1)]
    assert agree[0] > agree[1]


def test_identity_does_not_vary(both):
    """The colour that is most frequent in the middle of the face is one for each, skin."""
    for x, _ in both.values():
        middle = x[:, :, 12:26, 10:22].flatten(2)  # (60, 3, M)
        colours = middle.median(2).values  # (60, 3)
        assert float((colours - colours.median(0).values).abs().max()) < 0.25


def test_another_seed_shows_other_moments(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    first, second = (data.character("bob", 8, 16, seed, progress=False)[0] for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("arguments", "said"), [(("eve", 3), "name"), (("ann", 0), "n must"), (("ann", 3, 4), "size")]
)
def test_bad_input_is_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        data.character(*arguments)
