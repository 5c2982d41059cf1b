"""The record behind the leaderboard: the same data and n for all, and only what is out of date is scored again."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from course_lib import data, metrics, zoo
from course_lib.cards import Facts
from course_lib.data.files import checksums
from course_lib.leaderboard.boards import BOARDS, Board, Sets
from course_lib.leaderboard.entries import (
    ENTRIES,
    NO_GENERATOR,
    SEED,
    Entry,
    sampler,
    seconds_per_sample,
    seeded,
)
from course_lib.progress import progress
from course_lib.training import Runtime

_SHARES = ("precision", "recall", "density", "coverage", "classifier", "is disc")
REAL = "TEST"  # the row of real pictures, scored against other real ones
PROBED = 200  # pictures of each set


def record_leaderboard(rt: Runtime, quiet: bool = False) -> Facts:
    """Score every shipped generator; rows whose weights are still those of the last record are taken from it."""
    before = _last()
    present = {name: entry for name, entry in ENTRIES.items() if shipped(*entry.weights)}
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    with progress(len(present) + len(BOARDS), "leaderboard", unit=" rows", quiet=quiet) as bar:
        for title, board in BOARDS.items():
            of_board = {name: entry for name, entry in present.items() if entry.board == title}
            if not of_board:
                continue
            pictures: list[Tensor] = []  # real ones, others, features; only if something is to be scored
            rows[title] = {}
            if differs(before.get(title, {}), board):
                before[title] = {}
            for name, entry in {**of_board, REAL: None}.items():
                weights = _weights(board, entry)
                row = before.get(title, {}).get("rows", {}).get(name, {})
                if row.get("weights") != weights:
                    if not pictures:
                        real, others = board.real(board.n)
                        pictures = [real, others, board.features(real)]
                    row = _row(board, entry, weights, *pictures)
                rows[title][name] = {**row, "label": entry.label if entry else "real, held out"}
                if entry:
                    rows[title][name]["seconds"] = seconds_per_sample(sampler(entry))
                bar.update(1)
    return {
        "no_generator": NO_GENERATOR,
        "boards": {title: {**terms(BOARDS[title]), "rows": of_board} for title, of_board in rows.items()},
    }


def shipped(*names: str) -> bool:
    """Whether all of these checkpoints are in the data folder."""
    return all(f"{zoo.FOLDER}/{name}.safetensors" in checksums() for name in names)


def defects(card: Facts) -> list[str]:
    """What a record lacks: a checkpoint nobody has classified, one that is not on the board, a row of other weights."""
    known = set(ENTRIES) | {name for entry in ENTRIES.values() for name in entry.weights} | set(NO_GENERATOR)
    nowhere = "neither among ENTRIES nor among NO_GENERATOR of course_lib/leaderboard/entries.py"
    found = [f"{name} is {nowhere}" for name in zoo.names() if name not in known]
    for name, entry in ENTRIES.items():
        if not shipped(*entry.weights):
            continue
        board = BOARDS[entry.board]
        row = card["boards"].get(entry.board, {"rows": {}})["rows"].get(name)
        if row is None:
            found.append(f"{name} is shipped, but not on the board of {entry.board}")
        elif row["weights"] != _weights(board, entry):
            found.append(f"the row of {name} is that of other weights")
    for title, of_board in card["boards"].items():
        if reason := differs(of_board, BOARDS[title]):
            found.append(f"the board of {title} {reason}")
    return found


def terms(board: Board) -> dict[str, Any]:
    """What all rows of a board have in common: the numbers of samples, the seed, and the `probe` of its scores."""
    return {"n": board.n, "n_matching": board.n_matching, "seed": SEED, "probe": probe(board)}


def probe(board: Board) -> dict[str, float]:
    """The board's scores of `PROBED` real pictures against as many others: they change when a metric does."""
    real, others = board.real(PROBED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few samples
        scores = board.scores(Sets(board, real, others, board.features(real), board.features(others)))
    return {key: score.value for key, score in scores.items()}


def differs(of_board: Mapping[str, Any], board: Board) -> str:
    """Why the rows of a recorded board would come out otherwise today; empty if they would not."""
    today = terms(board)
    for key in ("n", "n_matching", "seed"):
        if of_board.get(key) != today[key]:
            return f"was scored with {key} = {of_board.get(key)}, now it is {today[key]}"
    was = of_board.get("probe", {})
    for key, value in today["probe"].items():
        # Shares move in steps of one sample, and the rest by rounding.
        allowed = max(5e-3 * abs(value), 2.5 / PROBED if key in _SHARES else 1e-6)
        if key not in was or not abs(was[key] - value) <= allowed:
            return f"was scored by another {key}: {PROBED} real pictures scored {was.get(key)}, now {value}"
    return ""


def _row(
    board: Board, entry: Entry | None, weights: dict[str, str], real: Tensor, others: Tensor, r: Tensor
) -> dict[str, Any]:
    if entry is None:
        x, parameters = others, 0
    else:
        with torch.no_grad():
            x = sampler(entry)(board.n, seeded(0))
        parameters = sum(w.numel() for name in entry.weights for w in zoo.load(name).parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.IdenticalSets)  # discs are all alike
        scores = board.scores(Sets(board, real, x, r, board.features(x)))
    return {
        "weights": weights,
        "n": board.n,
        "parameters": parameters,
        "scores": {key: _recorded(score) for key, score in scores.items()},
    }


def _recorded(score: metrics.Result) -> dict[str, Any]:
    ci95 = score.ci95 if math.isfinite(score.ci95) else None
    return {"value": score.value, "ci95": ci95, "n": score.n, "extractor": score.extractor}


def _weights(board: Board, entry: Entry | None) -> dict[str, str]:
    """sha256 of all checkpoints that a row depends on, its judges' too."""
    names = (*(entry.weights if entry else ()), *board.judges)
    table = checksums()
    return {name: table[f"{zoo.FOLDER}/{name}.safetensors"] for name in names}


def _last() -> dict[str, Any]:
    try:
        return dict(zoo.recorded("leaderboard")["boards"])
    except data.DataFileError:
        return {}
