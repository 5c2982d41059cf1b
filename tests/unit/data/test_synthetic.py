"""Discs and point sets have the geometry and statistics that their docstrings promise."""

import math

import pytest
import torch

from course_lib import data

BAD_COUNTS = [(0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError), ("5", TypeError)]
BAD_SIZES = [*BAD_COUNTS, (float("nan"), TypeError), (None, TypeError)]
BAD_REALS = [
    (-0.1, ValueError),
    (float("nan"), ValueError),
    (float("inf"), ValueError),
    ("1", TypeError),
    (None, TypeError),
]
BAD_SEEDS = [(-1, ValueError), (2**63, ValueError), (1.0, TypeError), (None, TypeError)]


def test_each_disc_once():
    x, index = data.discs()
    assert x.shape == (32, 1, 64, 64)
    assert x.dtype == torch.float32
    assert x.unique().tolist() == [-1, 1]
    assert index.tolist() == list(range(32))


@pytest.mark.parametrize(("size", "n_radii"), [(64, 32), (63, 31), (28, 14), (32, 8), (2, 1), (3, 1)])
def test_disc_areas_grow_like_pi_r_squared_and_discs_are_nested(size, n_radii):
    white = data.discs(size=size, n_radii=n_radii)[0] > 0
    radii = data.disc_radii(size, n_radii)
    area = white.sum((1, 2, 3)).double()
    # A circle of radius r cuts at most 8r pixels (2r columns and 2r rows, each crossed at both ends).
    assert ((area - math.pi * radii**2).abs() <= 4 * radii + 1).all()
    assert (area.diff() > 0).all()  # all different
    assert (white[:-1] <= white[1:]).all()  # each within the next


def test_disc_areas_are_close_for_the_default():
    white = data.discs()[0] > 0
    ideal = math.pi * data.disc_radii() ** 2
    error = (white.sum((1, 2, 3)).double() - ideal).abs() / ideal
    assert error[4:].max() < 0.04
    assert error[15:].max() < 0.01


def test_discs_are_centred_and_symmetric():
    for size in (64, 33):
        x, _ = data.discs(size=size, n_radii=8)
        assert torch.equal(x, x.flip(2))
        assert torch.equal(x, x.flip(3))
        assert torch.equal(x, x.transpose(2, 3))


def test_disc_diameters_are_the_even_numbers():
    middle_row = data.discs()[0][:, 0, 32] > 0
    assert middle_row.sum(1).tolist() == list(range(2, 65, 2))


def test_drawn_discs_are_uniform_and_identical_within_a_class():
    x, index = data.discs(6400, size=16, n_radii=8, seed=1)
    counts = index.bincount(minlength=8).double()
    assert ((counts - 800) ** 2 / 800).sum() < 24.3  # chi-square, 7 degrees of freedom, p = 0.001
    assert torch.equal(x, data.discs(size=16, n_radii=8)[0][index])


def test_ring_statistics():
    n, std = 40_000, 0.1
    points, mode = data.ring(n, modes=8, radius=2.0, std=std, seed=3)
    centres = data.ring_centres(modes=8, radius=2.0)
    assert points.shape == (n, 2)
    assert points.dtype == torch.float32
    assert mode.dtype == torch.int64
    assert torch.allclose(centres.norm(dim=1), torch.tensor(2.0))
    assert torch.allclose(centres[0], torch.tensor([2.0, 0.0]))
    assert torch.allclose(centres[2], torch.tensor([0.0, 2.0]), atol=1e-6)
    rest = points - centres[mode]
    assert rest.std().item() == pytest.approx(std, rel=0.02)
    assert rest.mean(0).abs().max() < 5 * std / math.sqrt(n)
    assert torch.corrcoef(rest.T)[0, 1].abs() < 5 / math.sqrt(n)
    assert mode.bincount().min() > 4700
    assert torch.equal(torch.cdist(points, centres).argmin(1), mode)


def test_grid_statistics():
    points, mode = data.grid(25_000, side=5, spacing=2.0, std=0.05)
    centres = data.grid_centres(side=5, spacing=2.0)
    assert centres.shape == (25, 2)
    assert centres[0].tolist() == [-4, -4]
    assert centres[1].tolist() == [-2, -4]
    assert centres[-1].tolist() == [4, 4]
    assert centres.mean(0).tolist() == [0, 0]
    assert torch.cdist(centres, centres).fill_diagonal_(9).min().item() == pytest.approx(2.0)
    assert (points - centres[mode]).std().item() == pytest.approx(0.05, rel=0.02)
    assert mode.bincount(minlength=25).min() > 850


def test_no_spread_gives_the_centres_themselves():
    points, mode = data.ring(50, modes=1, std=0)
    assert torch.equal(points, data.ring_centres(modes=1)[mode])
    points, mode = data.grid(50, side=1, std=0)
    assert points.abs().max() == 0


def test_two_moons_without_noise_lie_on_their_half_circles():
    points, moon = data.two_moons(2000, noise=0.0)
    upper, lower = points[moon == 0], points[moon == 1]
    assert torch.allclose(upper.norm(dim=1), torch.ones(len(upper)), atol=1e-6)
    assert upper[:, 1].min() > -1e-6
    assert torch.allclose((lower - torch.tensor([1.0, 0.5])).norm(dim=1), torch.ones(len(lower)), atol=1e-6)
    assert lower[:, 1].max() < 0.5 + 1e-6
    assert moon.double().mean().item() == pytest.approx(0.5, abs=0.05)
    # Uniform along the arc: the mean of sin over (0, pi) is 2 / pi.
    assert upper[:, 1].mean().item() == pytest.approx(2 / math.pi, abs=0.05)


def test_two_moons_noise():
    clean, _ = data.two_moons(20_000, noise=0.0, seed=4)
    noisy, _ = data.two_moons(20_000, noise=0.2, seed=4)
    assert (noisy - clean).std().item() == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("make", [data.discs, data.ring, data.grid, data.two_moons])
def test_draws_depend_on_the_seed_alone(make):
    torch.manual_seed(0)
    first = make(100, seed=7)
    state = torch.get_rng_state()
    again = make(100, seed=7)
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is left alone
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], make(100, seed=8)[1])


@pytest.mark.parametrize(
    ("make", "name", "bad"),
    [
        *[
            (make, "n", bad)
            for make in (data.discs, data.ring, data.grid, data.two_moons)
            for bad in BAD_COUNTS
        ],
        *[
            (make, "seed", bad)
            for make in (data.discs, data.ring, data.grid, data.two_moons)
            for bad in BAD_SEEDS
        ],
        *[(data.discs, name, bad) for name in ("size", "n_radii") for bad in BAD_SIZES],
        (data.discs, "n_radii", (33, ValueError)),
        (data.discs, "size", (1, ValueError)),
        *[(data.ring, "modes", bad) for bad in BAD_SIZES],
        *[(data.ring, name, bad) for name in ("radius", "std") for bad in BAD_REALS],
        (data.ring, "radius", (0, ValueError)),
        *[(data.grid, "side", bad) for bad in BAD_SIZES],
        *[(data.grid, name, bad) for name in ("spacing", "std") for bad in BAD_REALS],
        (data.grid, "spacing", (0.0, ValueError)),
        *[(data.two_moons, "noise", bad) for bad in BAD_REALS],
    ],
)
def test_bad_arguments(make, name, bad):
    value, error = bad
    with pytest.raises(error, match=f"{name} must be .*; received"):
        make(**{"n": 10, name: value})


@pytest.mark.parametrize(
    "call",
    [
        lambda: data.ring_centres(modes=0),
        lambda: data.ring_centres(radius=-1.0),
        lambda: data.grid_centres(side=-2),
        lambda: data.grid_centres(spacing=float("nan")),
        lambda: data.disc_radii(64, 40),
        lambda: data.disc_radii(0, 1),
    ],
)
def test_bad_arguments_of_the_centres(call):
    with pytest.raises(ValueError, match="received"):
        call()
