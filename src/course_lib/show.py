"""Figures in one style that reads on a light and on a dark page: image grids, spectra, latent maps, sliders.

Figures are transparent; text and curve colours keep a contrast of at least 3 : 1 against both colours in `PAGES`.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_lib import checks

if TYPE_CHECKING:
    import ipywidgets

PAGES = {"light": "#ffffff", "dark": "#121212"}
TEXT = "#757575"
COLOURS = ("#2479c9", "#c2600a", "#2c8a4b", "#c2428f", "#7a62d1")
COLOURS += ("#8a7a12", "#118a8a", "#d1443c", "#6b7f2a", "#7d7d7d")
INCH = 0.62  # of one image in a grid, before the figure is scaled to the page


def style() -> None:
    """Use the course's matplotlib style from here on; call it once per notebook."""
    faces = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
    texts = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
    plt.rcParams.update(
        {
            **dict.fromkeys(faces, "none"),
            **dict.fromkeys(texts, TEXT),
            "legend.frameon": False,
            "figure.dpi": 100,
            "figure.figsize": (6.4, 3.6),
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 11,
            "lines.linewidth": 1.8,
            "grid.alpha": 0.35,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )
    try:  # twice the pixels on a notebook's page, so that a screen with small pixels shows sharp text
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("retina")
    except (ImportError, AttributeError):  # no notebook: nothing to sharpen
        pass


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
    ax.tick_params(length=0, labelsize=9)
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


def band(ax: Axes, x: Sequence[float], runs: Any, label: str, **line: Any) -> None:
    """Draw the mean over seeds of `runs` (seeds, len(x)) against x, with error bars of one standard deviation."""
    values = np.asarray(runs, dtype=float)
    if values.ndim != 2 or values.shape[1] != len(x) or len(values) < 2:
        raise ValueError(f"runs: expected shape (at least 2 seeds, {len(x)}), got {values.shape}")
    look = {"label": label, "capsize": 3, "marker": "o", "markersize": 4}
    ax.errorbar(x, values.mean(0), values.std(0, ddof=1), **look, **line)


def slider(
    label: str,
    values: Sequence[Any],
    draw: Callable[[Any], Figure],
    describe: Callable[[Any], str],
    *,
    start: Any = None,
) -> ipywidgets.Widget:
    """A slider named `label` over `values`; each position shows the figure ``draw(value)``, drawn beforehand.

    It works in the browser alone, so on a built page too. `describe` gives each picture's text for readers who do not
    see it. It begins at `start` (by default the first value).
    """
    import ipywidgets

    if len(values) < 2:
        raise ValueError(f"values: expected at least two positions to slide between, got {len(values)}")
    if start is not None and start not in values:
        raise ValueError(f"start: expected one of {list(values)}, got {start!r}")
    first = 0 if start is None else list(values).index(start)
    control = picker(label, [str(value) for value in values], first)
    pictures = [_picture(draw(value), describe(value)) for value in values]
    return ipywidgets.VBox([control, pages(control, pictures)])


def picker(label: str, names: Sequence[str], first: int = 0) -> ipywidgets.Widget:
    """A slider named `label` over `names`, at number `first` of them."""
    import ipywidgets

    return ipywidgets.SelectionSlider(
        options=[(name, i) for i, name in enumerate(names)],
        value=first,
        description=label,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="100%", max_width="460px"),
    )


def pages(control: ipywidgets.Widget, texts: Sequence[str]) -> ipywidgets.Widget:
    """The one of the HTML `texts` that `control` is at; the browser turns them, so it works without Python."""
    import ipywidgets

    if hasattr(ipywidgets, "Stack"):
        screen = ipywidgets.Stack([ipywidgets.HTML(text) for text in texts], selected_index=control.index)
        ipywidgets.jslink((control, "index"), (screen, "selected_index"))
    else:  # ipywidgets 7, as on Colab: a running kernel turns the pages
        screen = ipywidgets.HTML(texts[control.index])
        control.observe(lambda change: setattr(screen, "value", texts[change["new"]]), "index")
    return screen


def _picture(figure: Figure, description: str) -> str:
    """The figure as an HTML image with a text alternative; the figure is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, bbox_inches="tight")
    # The PNG's header holds its width; halved, the picture is as wide as the other figures.
    width = int.from_bytes(buffer.getvalue()[16:20]) // 2
    plt.close(figure)
    source = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(description, quote=True)
    return f'<img src="data:image/png;base64,{source}" alt="{text}" width="{width}">'


def _rgba(picture: Tensor, signed: bool) -> np.ndarray:
    """One image (C, H, W) as (H, W, 4) in [0, 1]."""
    if signed:
        scale = float(picture.abs().max()) or 1.0
        return plt.get_cmap("RdBu_r")((picture[0] / scale).numpy() / 2 + 0.5)
    grey_or_rgb = (picture.clamp(-1, 1) / 2 + 0.5).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return np.concatenate([grey_or_rgb, np.ones((*grey_or_rgb.shape[:2], 1))], axis=2)
