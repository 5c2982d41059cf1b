"""What the leaderboard's page shows besides numbers: samples of every model, and its main scores with their intervals.

The book's build draws them (`draw`) from the weights that ship and from the record, next to the page.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from course_lib import data, show
from course_lib.leaderboard.boards import BOARDS
from course_lib.leaderboard.entries import ENTRIES, sampler, seeded
from course_lib.leaderboard.page import CHARTED, TABLES, in_order, record
from course_lib.leaderboard.record import REAL

FOLDER = "book/_generated"  # made by the build, not committed
SAMPLES = 16
CHARTS = dict.fromkeys(CHARTED, ("frechet", "precision", "recall", "matching"))  # the scores that are drawn
CHARTS["discs"] = ("nearest", "is disc", "radii", "matching")


def file_name(board: str, what: str) -> str:
    """The picture `what` ("samples", "scores") of a board."""
    return f"leaderboard_{board.replace(' ', '_')}_{what}.png"


def samples(board: str, rows: Mapping[str, Any]) -> Figure:
    """The first `SAMPLES` pictures of every model of a board, of the leaderboard's first seed, below real ones."""
    names = in_order(rows, TABLES[board][0].columns[0])
    others = BOARDS[board].real(SAMPLES)[1]
    drawn = [others if name == REAL else sampler(ENTRIES[name])(SAMPLES, seeded(0)).cpu() for name in names]
    _, axis = plt.subplots(figsize=(7.4, 0.2 + 0.36 * len(names)))
    return show.images(
        torch.cat(drawn), columns=SAMPLES, rows=[rows[n]["label"] for n in names], clip=True, ax=axis
    )


def scores(board: str, rows: Mapping[str, Any]) -> Figure:
    """The scores `CHARTS` of a board with their 95 % intervals; a dashed line marks real pictures."""
    columns = {column.key: column for table in TABLES[board] for column in table.columns}
    names = [name for name in in_order(rows, TABLES[board][0].columns[0]) if name != REAL]
    figure, axes = plt.subplots(2, 2, figsize=(7.4, 2.0 + 0.6 * len(names)), sharey=True)
    for axis, key in zip(axes.flat, CHARTS[board], strict=True):
        found = {}
        for name in names:
            score = rows[name]["scores"][key]
            found[rows[name]["label"]] = (score["value"], score["ci95"] or 0.0)
        real = rows[REAL]["scores"].get(key, {"value": math.nan})["value"]
        values = [value for value, _ in found.values()]
        if key == "frechet" and max(values) > 10 * min(
            values
        ):  # else the axis would have no power of ten to name
            axis.set_xscale("log")
        show.intervals(
            found, columns[key].heading, reference=real, colours=dict.fromkeys(found, show.GENERATED), ax=axis
        )
    return figure


def draw(folder: Path | None = None) -> None:
    """Write the pictures of all boards into `folder`, by default where the book looks for them."""
    folder = folder or data.repository_folder() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    show.style()
    for board, card in record()["boards"].items():
        pictures = {"samples": samples(board, card["rows"])}
        if board in CHARTED:
            pictures["scores"] = scores(board, card["rows"])
        for what, figure in pictures.items():
            figure.savefig(folder / file_name(board, what), dpi=170, bbox_inches="tight")
            plt.close(figure)
