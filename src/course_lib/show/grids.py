"""Grids of images, and maps of a two-dimensional latent space."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_lib import checks
from course_lib.show.look import COLOURS

INCH = 0.62  # of one image in a grid, before the figure is scaled to the page


def images(
    x: Tensor,
    *,
    columns: int | None = None,
    rows: Sequence[str] = (),
    titles: Sequence[str] = (),
    signed: bool = False,
    clip: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """A grid of images x (N, 1 or 3, H, W) in [-1, 1], row by row, in `ax` or in a new figure.

    There are `columns` images per row (by default up to 10), with one of the labels `rows` left of each row and one of
    the `titles` above each column. `signed` shows (N, 1, H, W) of any range, blue below zero and red above, each image
    on its own scale. `clip` clamps to [-1, 1] what lies outside, as reconstructions may, instead of refusing it.
    """
    checks.tensor("x", x, "(N, C, H, W)")
    n, channels, height, width = x.shape
    if channels not in ((1,) if signed else (1, 3)):
        raise ValueError(f"x: expected {'1 channel' if signed else '1 or 3 channels'}, got {channels}")
    if not signed:
        checks.images("x", x.clamp(-1, 1) if clip else x, shown=True)
    columns = checks.whole("columns", min(n, 10) if columns is None else columns)
    n_rows = -(-n // columns)
    for name, given, wanted in (("rows", rows, n_rows), ("titles", titles, columns)):
        if given and len(given) != wanted:
            raise ValueError(f"{name}: expected {wanted} labels, got {len(given)}")
    gap = max(1, width // 14)
    # gaps stay transparent
    canvas = np.zeros((n_rows * (height + gap) - gap, columns * (width + gap) - gap, 4))
    for i, picture in enumerate(x.detach().cpu().float()):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = _rgba(picture, signed)
    if ax is None:
        inches_high = n_rows * INCH * height / width + (0.35 if titles else 0)
        _, ax = plt.subplots(figsize=(columns * INCH + (0.9 if rows else 0), inches_high))
    ax.imshow(canvas)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if rows:
        ax.set_yticks([height / 2 + r * (height + gap) for r in range(n_rows)], rows)
    if titles:
        ax.set_xticks([width / 2 + c * (width + gap) for c in range(columns)], titles)
        ax.xaxis.tick_top()
    ax.tick_params(length=0, labelsize=11)
    return ax.get_figure()


def latent_map(z: Tensor, y: Tensor, *, ax: Axes | None = None, size: float = 4.0) -> Figure:
    """A scatter plot of codes z (N, 2) coloured by label y (N,) in 0 … 9, each class named at its median."""
    checks.tensor("z", z, "(N, 2)")
    checks.labels("y", y, len(z), classes=len(COLOURS))
    if ax is None:
        _, ax = plt.subplots(figsize=(5.2, 4.6))
    points, colours = z.detach().cpu().numpy(), np.array(COLOURS)[y.cpu().numpy()]
    ax.scatter(points[:, 0], points[:, 1], s=size, c=colours, alpha=0.55, linewidths=0, rasterized=True)
    for k in torch.unique(y).tolist():
        centre = np.median(points[y.cpu().numpy() == k], axis=0)
        box = {"boxstyle": "round,pad=0.25", "facecolor": COLOURS[k], "edgecolor": "white"}
        ax.annotate(str(k), centre, color="white", weight="bold", ha="center", va="center", bbox=box)
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    return ax.get_figure()


def _rgba(picture: Tensor, signed: bool) -> np.ndarray:
    """One image (C, H, W) as (H, W, 4) in [0, 1]."""
    if signed:
        scale = float(picture.abs().max()) or 1.0
        return plt.get_cmap("RdBu_r")((picture[0] / scale).numpy() / 2 + 0.5)
    grey_or_rgb = (picture.clamp(-1, 1) / 2 + 0.5).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return np.concatenate([grey_or_rgb, np.ones((*grey_or_rgb.shape[:2], 1))], axis=2)
