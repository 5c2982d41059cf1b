"""The leaderboard's page, its tables, and whether they are up to date (chapter 15)."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from course_lib import checks, data, zoo
from course_lib.leaderboard.boards import BOARDS
from course_lib.leaderboard.record import REAL
from course_lib.leaderboard.record import defects as record_defects
from course_lib.metrics.result import with_interval

COMMAND = "python -m course_lib.leaderboard"
Row = Mapping[str, Any]


class Column(NamedTuple):
    """A score in a table: its key in the record, its heading, what is better, and a factor to show it by."""

    key: str
    heading: str
    better: str  # "low", "high", or "real": nearest to that of real pictures
    times: float = 1.0


class Table(NamedTuple):
    """At most three scores side by side, so that it fits a telephone."""

    heading: str
    text: str
    columns: tuple[Column, ...]


_DISTANCES = (
    Column("frechet", "Fréchet ↓", "low"),
    Column("kernel", "kernel, × 1000 ↓", "low", 1000.0),
    Column("sliced", "sliced W₂ ↓", "low"),
)
_MATCHING = Column("matching", "matching ↓", "low")
_CLASSIFIER = Column("classifier", "classifier test ↓", "low")
_QUALITY = (Column("precision", "precision ↑", "high"), Column("density", "density ↑", "high"))
_COVERAGE = (Column("recall", "recall ↑", "high"), Column("coverage", "coverage ↑", "high"))
_CONFIDENCE = Column("confidence", "confidence", "real")
_INCEPTION = Column("inception", "Inception ↑", "high")
_ENTROPY = Column("entropy", "class entropy ↑", "high")

TABLES: dict[str, tuple[Table, ...]] = {
    "digits": (
        Table("Distances in feature space", "Of the features of real and of generated pictures.", _DISTANCES),
        Table(
            "A test, a matching, a likelihood",
            "The classifier test is the accuracy of telling generated from real (k nearest neighbours); the matching "
            "score and the Parzen log-likelihood (in nats) compare pixels.",
            (_CLASSIFIER, _MATCHING, Column("parzen", "Parzen ↑", "high")),
        ),
        Table(
            "Quality",
            "Precision is the share of generated pictures within reach of a real one. Density counts within reach of "
            "how many, in units of what is usual for real pictures, so it may exceed 1. Confidence says how sure the "
            "classifier is of the digit.",
            (*_QUALITY, _CONFIDENCE),
        ),
        Table(
            "Coverage",
            "Recall is the share of real pictures within reach of a generated one. Coverage is the share of real ones "
            "that have a generated one within their own reach. The entropy is that of the classes' shares, at most "
            "log 10 = 2.303. Scattered samples reach far, so read recall beside precision.",
            (*_COVERAGE, _ENTROPY),
        ),
        Table(
            "Class scores",
            "The mode score is that of Xu et al.; the usual one equals the Inception score (chapter 13).",
            (_INCEPTION, Column("mode", "mode ↑", "high"), Column("m-is", "m-IS", "real")),
        ),
    ),
    "discs": (
        Table(
            "How many are right",
            "All 32 possible pictures are known here. How far is a sample from the nearest of them? Which share of the "
            "samples is one of them? How many of the 32 occur?",
            (
                Column("nearest", "distance ↓", "low"),
                Column("is disc", "share of discs ↑", "high"),
                Column("radii", "radii of 32 ↑", "high"),
            ),
        ),
        Table("Matching", "In pixels.", (_MATCHING,)),
    ),
    "moving discs": (
        Table("Distances", "Of pixels, averaged to 16 × 16.", _DISTANCES),
        Table("Quality", "In the same pixels.", _QUALITY),
        Table("Coverage", "In the same pixels.", _COVERAGE),
        Table(
            "A test and a matching",
            "The classifier test sees the small pictures, the matching all pixels.",
            (_CLASSIFIER, _MATCHING),
        ),
    ),
    "avatars": (
        Table("Distances, in features of drawn faces", "Of the classifier of faces.", _DISTANCES),
        Table(
            "Distances, in ImageNet features",
            "Of EfficientNet-Lite0, which has 1,280 features. Even real pictures score far from 0 here, because n is "
            "small for so many features.",
            (
                Column("frechet natural", "Fréchet ↓", "low"),
                Column("kernel natural", "kernel, × 1000 ↓", "low", 1000.0),
            ),
        ),
        Table("Quality", "The confidence is that in the 48 heads.", (*_QUALITY, _CONFIDENCE)),
        Table("Coverage", "The entropy is that of the heads' shares.", (*_COVERAGE, _ENTROPY)),
        Table(
            "A test, a matching, a class score",
            "The matching compares pixels; the Inception score is that of the 48 heads.",
            (_CLASSIFIER, _MATCHING, _INCEPTION),
        ),
    ),
}

_OPENING = """(leaderboard)=
# Leaderboard

Every model of this course that can generate, side by side: first its pictures, then its scores. All models of a board
meet the same real pictures, with the same number of samples and the same seed.

**How to read it.**

- The row *{real}* holds real pictures that play a generator. No score means anything without it. A model that beats
  this row has not won: it has found what the score overlooks.
- An arrow says which way is better. Without an arrow, near the real value is good.
- In the tables the best model is **bold**. So is every model that differs from it by less than the two 95 % intervals
  together, added in quadrature.
- The intervals hold for this number of samples. At any such number a score has a bias too, and the bias differs from
  model to model (chapter 14).
- Rows are in the order of the first score.

**There is no single winner.** Scores measure different things. A model that repeats its training pictures would lead
most tables, and none of these numbers would notice it (chapters 13 and 14). Chapter 15 compares the models by games.

This page is written by

```text
{command}
```

from a record of the scores. The book is not built while a model that ships is missing from it.
"""
CHARTED = ("digits", "discs", "avatars")  # boards with more than their first scores drawn
_NAMES = {
    "digits": "*DCGAN, by class* is told which digit to draw (chapter 9). *AE, Gaussian codes* decodes draws from a "
    "normal distribution that was fitted to an autoencoder's codes (chapter 4). *flow of codes* decodes codes that "
    "flow matching makes out of noise (chapter 17).",
}


def record() -> dict[str, Any]:
    """The last record, `zoo.recorded("leaderboard")`; DataFileError if there is none, or it is altered."""
    return zoo.recorded("leaderboard")


def rows(board: str) -> dict[str, dict[str, Any]]:
    """The rows of a board by checkpoint, `REAL` last; each has a label, n, seconds, parameters and scores."""
    checks.choice("board", board, BOARDS)
    return record()["boards"].get(board, {"rows": {}})["rows"]


def defects() -> list[str]:
    """Why the leaderboard is out of date, one line each; nothing if it is not."""
    try:
        card = record()
    except data.DataFileError as error:
        return [str(error)]
    found = record_defects(card)
    if not page_path().is_file() or page_path().read_text(encoding="utf-8") != page(card):
        found.append(f"{page_path().name} is not what the record says")
    return found


def page_path() -> Path:
    """Where the page lies: ``book/leaderboard.md``."""
    return data.repository_folder() / "book" / "leaderboard.md"


def page(card: Mapping[str, Any]) -> str:
    """The page of a record, in MyST."""
    real = next(board["rows"][REAL]["label"] for board in card["boards"].values())
    parts = [_OPENING.format(command=COMMAND, real=real)]
    for title, tables in TABLES.items():
        if title not in card["boards"]:
            continue
        board = card["boards"][title]
        order = in_order(board["rows"], tables[0].columns[0])
        first = next(iter(board["rows"].values()))["scores"]
        extractor = next((s["extractor"] for s in first.values() if s["extractor"]), None)
        about = f"{board['n']:,} samples of each model, and as many real pictures. "
        about += f"Scores that compare pixels take {board['n_matching']:,}."
        about += f" Features are those of {extractor}." if extractor else ""
        parts.append(f"## {title[0].upper()}{title[1:]}\n\n{about}\n")
        parts.append(_figure(title, "samples", len(board["rows"])))
        if title in _NAMES:
            parts.append(f"{_NAMES[title]}\n")
        if title in CHARTED:
            parts.append(_figure(title, "scores", len(board["rows"])))
        written = [f"**{t.heading}.** {t.text}\n\n{_table(board['rows'], order, t.columns)}" for t in tables]
        written.append(f"**Cost.** {_cost(board['rows'], order, card['hardware'])}")
        parts.append(f":::{{dropdown}} All numbers: {title}\n{chr(10).join(written)}:::\n")
    absent = [["checkpoint", "why it is not on a board"]]
    absent += [[f"`{name}`", reason] for name, reason in card["no_generator"].items()]
    parts.append(f"## Checkpoints that are no generators\n\n{_markdown(absent)}")
    return "\n".join(parts)


def best(of_board: Mapping[str, Row], column: Column) -> list[str]:
    """The names of the best rows, within both intervals of the best value; none where there is only one model."""
    names = [name for name in of_board if name != REAL and column.key in of_board[name]["scores"]]
    if len(names) < 2:
        return []  # nobody to be better than
    badness = {name: _badness(of_board, name, column) for name in names}
    half = {name: of_board[name]["scores"][column.key]["ci95"] or 0.0 for name in names}
    winner = min(names, key=badness.__getitem__)
    return [n for n in names if badness[n] - badness[winner] <= math.hypot(half[n], half[winner])]


def _figure(title: str, what: str, rows: int) -> str:
    """The MyST of a picture that `leaderboard.figures` draws."""
    said = {
        "samples": (
            f"{rows} rows of sixteen pictures each, real ones in the first row, one model in each of the others.",
            "The first sixteen pictures of every model, of one seed, below real ones.",
        ),
        "scores": (
            "Four panels with a row for each model: a dot, a bar for its interval, a dashed line for real pictures.",
            "Four scores with their 95 % intervals. The dashed line marks real pictures.",
        ),
    }
    alt, caption = said[what]
    file = f"_generated/leaderboard_{title.replace(' ', '_')}_{what}.png"
    return f"```{{figure}} {file}\n:alt: {title[0].upper()}{title[1:]}. {alt}\n\n{caption}\n```\n"


def _badness(of_board: Mapping[str, Row], name: str, column: Column) -> float:
    value = of_board[name]["scores"][column.key]["value"]
    if column.better == "real":
        return abs(value - of_board[REAL]["scores"][column.key]["value"])
    return value if column.better == "low" else -value


def in_order(of_board: Mapping[str, Row], column: Column) -> list[str]:
    """Real pictures first, then the models, the best first."""
    models = [name for name in of_board if name != REAL]
    return [REAL, *sorted(models, key=lambda name: _badness(of_board, name, column))]


def _table(of_board: Mapping[str, Row], order: Sequence[str], columns: Sequence[Column]) -> str:
    lines = [["model", *(column.heading for column in columns)]]
    winners = [best(of_board, column) for column in columns]
    for name in order:
        cells = [of_board[name]["label"] if name != REAL else f"*{of_board[name]['label']}*"]
        for column, winner in zip(columns, winners, strict=True):
            score = of_board[name]["scores"][column.key]
            ci95 = math.nan if score["ci95"] is None else score["ci95"] * column.times
            text = with_interval(score["value"] * column.times, ci95).replace("-", "−")
            cells.append(f"**{text}**" if name in winner else text)
        lines.append(cells)
    return _markdown(lines)


def _cost(of_board: Mapping[str, Row], order: Sequence[str], hardware: str) -> str:
    lines = [["model", "ms per sample ↓", "parameters"]]
    for row in (of_board[name] for name in order if name != REAL):
        parameters = f"{row['parameters']:,}" if row["parameters"] else "—"
        lines.append([row["label"], f"{1000 * row['seconds']:.2g}", parameters])
    measured = f"The shortest of five calls for 250 samples each, on one otherwise idle thread; {hardware}."
    counted = "Parameters include parts that sampling does not need, such as an encoder or a discriminator."
    return f"{measured} {counted}\n\n{_markdown(lines)}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    ruler = ["---", *["---:"] * (len(head) - 1)] if len(head) != 2 else ["---", "---"]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ruler, *body))
