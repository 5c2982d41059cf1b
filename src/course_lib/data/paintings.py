"""Pictures in five manners of painting, drawn by code, for style transfer: free of anyone's rights, and of any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks import choice, seed_number, whole
from course_lib.data.images import from_uint8
from course_lib.precision import course_defaults

_FINER = 3  # drawn so many times larger, then averaged: antialiased
Array = np.ndarray  # (H, W) or (H, W, 3), colours from 0 to 1


@course_defaults()
def painting(manner: str, size: int = 256, seed: int = 0) -> torch.Tensor:
    """One picture, float32 (1, 3, size, size) in [-1, 1]; the same for the same arguments.

    `manner` is one of `PAINTINGS`: "swirls" (strokes along whirls of a night sky), "mosaic" (small stones along
    rings), "woodcut" (black lines on paper, thicker in the shade), "watercolour" (washes with dark rims) or "glass" (a
    window of coloured panes in lead). TypeError or ValueError for others, or for a size below 16 or above 2048.
    """
    manner = choice("manner", manner, PAINTINGS)
    size = whole("size", size, at_least=16, at_most=2048)
    rng = np.random.default_rng([seed_number("seed", seed), sorted(PAINTINGS).index(manner)])
    n = size * _FINER
    y, x = (np.mgrid[:n, :n] + 0.5) / n  # rows down, columns to the right, both from 0 to 1
    drawn = np.clip(PAINTINGS[manner](x, y, rng), 0, 1)
    averaged = drawn.reshape(size, _FINER, size, _FINER, 3).mean((1, 3))
    return from_uint8(np.round(255 * averaged).astype(np.uint8)[None])


def _colours(*names: str) -> Array:
    """ "rrggbb" … -> (len, 3), from 0 to 1."""
    return np.array([[int(name[i : i + 2], 16) for i in (0, 2, 4)] for name in names]) / 255


def _noise(shape: tuple[int, ...], rng: np.random.Generator, scale: float) -> Array:
    """Smooth noise of mean 0 and deviation 1, whose spots are about `scale` of the picture wide."""
    from scipy.ndimage import gaussian_filter  # where it is used, as loading it takes a while

    # drawn coarsely and enlarged, so that its cost does not depend on the picture's size
    cells = max(4, round(2 / scale))
    coarse = gaussian_filter(rng.standard_normal((cells, cells)), 1.0, mode="wrap")
    places = (np.linspace(0, cells - 1.001, length) for length in shape)
    rows, columns = np.meshgrid(*places, indexing="ij")
    i, j = rows.astype(int), columns.astype(int)
    u, v = _eased(rows - i), _eased(columns - j)
    mixed = (1 - u) * ((1 - v) * coarse[i, j] + v * coarse[i, j + 1]) + u * (
        (1 - v) * coarse[i + 1, j] + v * coarse[i + 1, j + 1]
    )
    return mixed / coarse.std()


def _nearest(points: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Distances (H, W, 2) from each pixel to the nearest two of `points` (N, 2), and which these are."""
    from scipy.spatial import cKDTree

    distances, which = cKDTree(points).query(np.stack([x, y], -1).reshape(-1, 2), k=2)
    return distances.reshape(*x.shape, 2), which.reshape(*x.shape, 2)


def _eased(t: Array) -> Array:
    return t * t * (3 - 2 * t)


def _swirls(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Short strokes along a flow of whirls; near a whirl's centre they are yellow, far from all they are blue."""
    n = len(x)
    night = _colours("0b1d3f", "12305f", "1d4a8a", "2f6db0", "5f9bd1", "a9c8e4")
    stars = _colours("f6e7a1", "f2c14e", "e8963a", "fff6d5")
    centres = np.array([[0.27, 0.24], [0.74, 0.33], [0.48, 0.72], [0.9, 0.85], [0.08, 0.66]])
    centres = centres + rng.uniform(-0.04, 0.04, centres.shape)
    radii, turns = np.array([0.15, 0.12, 0.17, 0.1, 0.09]), np.array([1, -1, 1, -1, 1])

    def flow(points: Array) -> Array:
        velocity = np.tile([0.5, 0.0], (len(points), 1))
        velocity[:, 1] = 0.3 * np.sin(7 * points[:, 0] + 3 * points[:, 1])
        for centre, radius, turn in zip(centres, radii, turns, strict=True):
            away = points - centre
            strength = turn * 9 * np.exp(-((away**2).sum(1) / radius**2)) / radius * 0.3
            velocity += strength[:, None] * np.stack([-away[:, 1], away[:, 0]], 1) * 4
        return velocity / np.linalg.norm(velocity, axis=1, keepdims=True).clip(1e-6)

    picture = np.empty((n, n, 3))
    picture[:] = night[1]
    for count, width, length in ((2500, 0.009, 0.10), (3500, 0.0055, 0.07), (2500, 0.0035, 0.05)):
        points = rng.uniform(-0.02, 1.02, (count, 2))
        distance = np.sqrt(((points[:, None] - centres) ** 2).sum(2)) / radii
        nearest = distance.min(1)
        glow = np.clip(1.25 - nearest, 0, 1)
        bright = rng.random(count) < glow**0.7
        shade = np.clip((1 - nearest / 3.5) * 5 + rng.normal(0, 1.1, count), 0, 5).astype(int)
        colours = np.where(bright[:, None], stars[rng.integers(0, 4, count)], night[shade])
        colours = np.clip(colours + rng.normal(0, 0.03, (count, 3)), 0, 1)
        _strokes(picture, points, colours, flow, width, length * rng.uniform(0.6, 1.2, count))
    return picture


def _strokes(
    picture: Array,
    points: Array,
    colours: Array,
    flow: Callable[[Array], Array],
    width: float,
    length: Array,
) -> None:
    """Paint strokes along the flow, one over the other, in place: discs of the brush's size, close to each other."""
    n = len(picture)
    steps = int(np.ceil(length.max() / (width * 0.35)))
    radius = max(1.0, width * n / 2)
    reach = int(np.ceil(radius))
    a, b = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    brush = np.argwhere(a**2 + b**2 <= radius**2) - reach
    trail, here = [], points.copy()
    for _step in range(steps):
        trail.append(here.copy())
        here = here + flow(here) * width * 0.35
    path = np.stack(trail, 1)  # (strokes, steps, 2)
    for k, stroke in enumerate(path):
        part = stroke[: max(2, int(steps * length[k] / length.max()))]
        pixels = (np.round(part[:, None, ::-1] * n).astype(int) + brush).reshape(-1, 2)
        inside = ((pixels >= 0) & (pixels < n)).all(1)
        rows, columns = pixels[inside].T
        picture[rows, columns] = colours[k]


def _mosaic(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Stones along rings around a sun over waves, in grout."""
    n, centre = len(x), np.array([0.5, 0.42])
    gap = 0.026
    stones = []
    for radius in np.arange(gap / 2, 1.2, gap):
        count = max(1, round(2 * np.pi * radius / gap))
        angle = 2 * np.pi * (np.arange(count) / count + rng.random())
        ring = centre + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
        stones.append(ring + rng.normal(0, gap * 0.08, ring.shape))
    stones = np.concatenate(stones)
    stones = stones[((stones > -0.1) & (stones < 1.1)).all(1)]
    distances, which = _nearest(stones, x, y)
    rim = distances[..., 1] - distances[..., 0]
    u, v = stones.T
    r = np.hypot(u - centre[0], v - centre[1])
    ray = (np.floor((np.arctan2(v - centre[1], u - centre[0]) / np.pi + 1) * 8) % 2).astype(bool)
    gold = _colours("c8641e", "e08a2c", "f0b840", "f7d774")
    sky, sea = (
        _colours("2a6f97", "468faf", "89c2d9", "61a5c2"),
        _colours("014f46", "0b7a6b", "1b9e8a", "67c5b0"),
    )
    clay = _colours("7f1d1d", "a63a2b", "c1543c", "d98a6a")
    pick = rng.integers(0, 4, len(stones))
    wave = 0.72 + 0.035 * np.sin(u * 22)
    colours = np.where((v > wave)[:, None], sea[pick], sky[pick])
    colours = np.where(
        ((v > wave) & (np.sin((v - wave) * 70) > 0.55))[:, None], _colours("e9f5f2")[0], colours
    )
    above = (v <= wave)[:, None]
    colours = np.where(above & (r < 0.34)[:, None] & ray[:, None], clay[pick], colours)
    colours = np.where(above & (r < 0.2)[:, None], gold[pick], colours)
    colours = np.clip(colours + rng.normal(0, 0.035, colours.shape), 0, 1)
    relief = np.clip(rim / 0.014, 0, 1)[..., None]  # stones are a little darker towards their rims
    picture = colours[which[..., 0]] * (0.86 + 0.14 * relief)
    grout = _colours("e6dfd0")[0] * (0.94 + 0.03 * _noise((n, n), rng, 0.01)[..., None])
    return np.where((rim < 0.0042)[..., None], grout, picture)


def _woodcut(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Hills, a sun and their shades as lines of a knife, black on paper."""
    n = len(x)
    ridge = np.zeros((n, n), bool)
    sun = np.hypot(x - 0.68, y - 0.25)
    tone = np.where(sun < 0.42, 0.62 + 0.38 * (1 - sun / 0.42), 0.55)  # 1 is light
    phase = sun * 46  # rings around the sun
    tone = np.where(sun < 0.105, 1.0, tone)
    levels = [(0.50, 0.06, 5.0, 0.55), (0.64, 0.08, 4.0, 0.42), (0.80, 0.07, 6.0, 0.3)]
    for k, (base, height, waves, light) in enumerate(levels):
        crest = base + height * np.sin(waves * x * 1.7 + 2.1 * k) + 0.02 * np.sin(23 * x + k)
        below = y > crest
        depth = (y - crest) / 0.25
        slope = np.cos(waves * x * 1.7 + 2.1 * k)
        shade = np.clip(light + 0.35 * slope * np.exp(-depth * 2) + 0.25 * depth, 0.08, 0.95)
        tone = np.where(below, shade, tone)
        bent = (y - crest) * (30 + 6 * k) + (x * (9 if k % 2 else -9)) + 0.8 * np.sin(8 * x + k)
        phase = np.where(below, bent, phase)
        ridge |= np.abs(y - crest) < 0.004
    phase = phase + 0.06 * _noise((n, n), rng, 0.02) + 0.12 * _noise((n, n), rng, 0.08)
    line = np.abs((phase % 1.0) - 0.5) * 2  # 0 in the middle of a line, 1 between two
    ink = line < (1 - tone) * 1.15 + 0.05 * _noise((n, n), rng, 0.008)
    cross = np.abs(((phase * 0.35 + x * 34 + y * 12) % 1.0) - 0.5) * 2
    ink |= (tone < 0.33) & (cross < 0.36)
    ink |= ridge | (np.abs(sun - 0.105) < 0.004)
    ink &= sun >= 0.102
    paper = _colours("efe4cb")[0] * (1 + 0.012 * _noise((n, n), rng, 0.006)[..., None])
    black = _colours("1c1713")[0] * (1 + 0.15 * np.abs(_noise((n, n), rng, 0.01))[..., None])
    return np.where(ink[..., None], black, paper)


def _watercolour(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Transparent washes, darker at their rims, on rough paper."""
    n = len(x)
    grain = _noise((n, n), rng, 0.006)
    picture = np.ones((n, n, 3)) * _colours("fbf8f0")[0] * (1 + 0.012 * grain[..., None])
    pigments = _colours("2a7fb8", "e0607e", "f2b134", "5aa469", "7a5bb0", "e8833a", "38a3a5", "c9446b")
    for k in range(26):
        centre, radius = rng.uniform(0.02, 0.98, 2), rng.uniform(0.08, 0.24)
        edge = 0.16 * _noise((n, n), rng, 0.12) + 0.07 * _noise((n, n), rng, 0.03)
        away = np.hypot(x - centre[0], (y - centre[1]) * rng.uniform(0.8, 1.4)) / radius + edge
        inside = 1 / (1 + np.exp(np.clip((away - 1) * 60, -40, 40)))
        rim = np.exp(-(((away - 0.96) / 0.05) ** 2))
        pools = 0.75 + 0.3 * _noise((n, n), rng, 0.07) + 0.1 * grain
        density = np.clip(inside * (0.38 * np.clip(pools, 0.1, 1.6) + 0.42 * rim), 0, 1)[..., None]
        picture = picture * (1 - density * (1 - pigments[k % len(pigments)]))  # a glaze takes light away
    splashes = _nearest(rng.uniform(0, 1, (90, 2)), x, y)[0][..., 0]
    drops = 1 / (1 + np.exp((splashes - 0.006) * 2500))
    return picture * (1 - 0.55 * drops[..., None] * (1 - pigments[0]))


def _glass(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Panes of a round window, each with light of its own, in lead."""
    n = len(x)
    u, v = x - 0.5, y - 0.5
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    rings, petals = np.array([0.0, 0.085, 0.2, 0.315, 0.44]), np.array([1, 8, 12, 16])
    ring = np.clip(np.searchsorted(rings, r.ravel(), "right").reshape(n, n) - 1, 0, 4)
    lead, cell = np.full((n, n), np.inf), np.zeros((n, n), int)
    for k, count in enumerate(petals):
        turn = (angle / (2 * np.pi) + (0.5 / count) * (k % 2)) % 1.0 * count
        here = ring == k
        across = (
            np.abs(turn - np.round(turn)) * 2 * np.pi * r / count if count > 1 else np.full((n, n), np.inf)
        )
        along = np.minimum(np.abs(r - rings[k]), np.abs(r - rings[k + 1]))
        lead = np.where(here, np.minimum(across, along), lead)
        cell = np.where(here, 100 * (k + 1) + turn.astype(int) % count, cell)
    seeds = rng.uniform(0, 1, (110, 2))
    distances, which = _nearest(seeds, x, y)
    outside = ring == 4
    border = (distances[..., 1] - distances[..., 0]) / 2
    lead = np.where(outside, np.minimum(border, np.abs(r - rings[4])), lead)
    cell = np.where(outside, 1000 + which[..., 0], cell)
    warm = _colours("c1121f", "e85d04", "faa307", "ffd60a", "9d0208")
    cold = _colours("023e8a", "0077b6", "00a896", "2d6a4f", "5a189a", "48cae4")
    names, panes = np.unique(cell, return_inverse=True)
    colours = np.empty((len(names), 3))
    for i, name in enumerate(names):
        group = warm if name < 200 or 300 <= name < 400 else cold
        colours[i] = group[name % len(group) if name < 1000 else rng.integers(len(group))]
    light = 0.86 + 0.16 * _noise((n, n), rng, 0.05) + 0.05 * _noise((n, n), rng, 0.01)
    glow = np.clip(1.12 - 0.55 * r, 0, 2) * light
    picture = colours[panes.reshape(n, n)] * glow[..., None] + 0.1 * np.clip(light - 1.05, 0, 1)[..., None]
    width = np.where(outside, 0.0055, 0.0065)
    leaden = _colours("15130f")[0] * (1 + 0.5 * np.clip(_noise((n, n), rng, 0.01), 0, 2)[..., None])
    return np.where((lead < width)[..., None], leaden, picture)


PAINTINGS: dict[str, Callable[[Array, Array, np.random.Generator], Array]] = {
    "swirls": _swirls,
    "mosaic": _mosaic,
    "woodcut": _woodcut,
    "watercolour": _watercolour,
    "glass": _glass,
}
