"""Numbers with their uncertainty, drawn: means over seeds along an axis, and results beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.show.look import COLOURS, TEXT


def band(ax: Axes, x: Sequence[float], runs: Any, label: str, **line: Any) -> None:
    """Draw the mean over seeds of `runs` (seeds, len(x)) against x, with error bars of one standard deviation."""
    values = np.asarray(runs, dtype=float)
    if values.ndim != 2 or values.shape[1] != len(x) or len(values) < 2:
        raise ValueError(f"runs: expected shape (at least 2 seeds, {len(x)}), got {values.shape}")
    look = {"label": label, "capsize": 3, "marker": "o", "markersize": 4}
    ax.errorbar(x, values.mean(0), values.std(0, ddof=1), **look, **line)


def intervals(
    results: Mapping[str, tuple[float, float]],
    xlabel: str,
    *,
    colours: Mapping[str, str] | None = None,
    reference: float | None = None,
    form: str = ".3g",
    ax: Axes | None = None,
) -> Figure:
    """A row per name in `results`: its value as a dot, its interval value ± error as a bar, and the value in figures.

    The rows stand from top to bottom, in the colours named (others in the first of `COLOURS`). A dashed line marks
    `reference`, the value of a baseline. Values are written in the format `form`.
    """
    if not results:
        raise ValueError("results: expected at least one name with its value and its error, got none")
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 0.7 + 0.36 * len(results)))
    for row, (name, (value, error)) in enumerate(results.items()):
        colour = (colours or {}).get(name, COLOURS[0])
        ax.errorbar(value, row, xerr=error, fmt="o", capsize=4, markersize=6, color=colour)
        ax.annotate(
            f"{value:{form}}", (value, row), (0, 6), textcoords="offset points", ha="center", fontsize=10
        )
    if reference is not None:
        ax.axvline(reference, ls="--", lw=1.2, color=TEXT, zorder=0)
    ax.set_yticks(range(len(results)), list(results))
    ax.set(xlabel=xlabel, ylim=(len(results) - 0.5, -0.7))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.12)
    return ax.get_figure()
