"""The shipped checkpoints: load one, list them, train one anew, verify the scores that it claims.

A checkpoint is two files in ``data/checkpoints``: NAME.safetensors (half-precision weights, never a pickle) and
NAME.json (architecture, recipe, seed, images seen, data, hardware, minutes, scores with their sample count and
confidence interval). The recipes are in `course_lib.recipes`.

An experiment too long for a page is recorded in the same way, as ``data/records/NAME.json``.

On the command line: ``python -m course_lib.zoo list``, ``train NAME [--resume]``, ``verify [NAME]``, ``record NAME``.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from course_lib import data
from course_lib.cards import full_name, tolerance
from course_lib.checkpoint import Checkpoints, differences
from course_lib.data.files import checksums
from course_lib.metrics.result import digits
from course_lib.precision import course_defaults
from course_lib.training import Runtime, TrainingDiverged

FOLDER = "checkpoints"
COMMAND = "python -m course_lib.zoo"


@course_defaults()
def load(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """The checkpoint `name` as a module in eval mode, without gradients, in float32 on `device`.

    Its weights are frozen; to train it further, call ``requires_grad_(True)`` and ``train()``.

    Raises:
        ValueError: no such checkpoint, a config that its architecture does not know, or weights that do not fit it.
        DataFileError: its file is missing or altered.
    """
    anew = f"restore data/{FOLDER}, or train it anew: python -m course_lib.zoo train {name}"
    config = info(name)["config"]
    try:
        model = _recipe(name).build(config)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"the key {error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{data.data_folder() / FOLDER / name}.json: its config is not one of this architecture: {reason}; {anew}"
        ) from error
    weights = safetensors.torch.load(data.read_verified(f"{FOLDER}/{name}.safetensors"))
    weights = {key: w.float() if w.is_floating_point() else w for key, w in weights.items()}
    if unequal := differences(_shapes(model.state_dict()), _shapes(weights)):
        raise ValueError(
            f"checkpoint {name!r}: its weights do not fit the architecture in {name}.json: {unequal}; {anew}"
        )
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False).to(device)


def info(name: str) -> dict[str, Any]:
    """What NAME.json says: config, seed, images seen, data, hardware, minutes and scores.

    Raises:
        ValueError: no checkpoint of this name.
        DataFileError: its file is missing or altered.
    """
    _recipe(name)
    return json.loads(data.read_verified(f"{FOLDER}/{name}.json"))


def names() -> list[str]:
    """The names of all checkpoints that the course has a recipe for."""
    from course_lib.recipes import RECIPES

    return sorted(RECIPES)


def train(
    name: str, *, device: str | None = None, quiet: bool = False, resume: bool = False
) -> dict[str, Any]:
    """Run the recipe of `name` in full, write both of its files and their checksums; returns what the JSON holds.

    Until then the run's training checkpoint lies in the cache folder, below ``training/NAME``.

    Args:
        name: of the recipe.
        device: a torch device name; by default the best there is.
        quiet: no progress bar.
        resume: go on from the training checkpoint of a run that was interrupted, instead of starting anew.

    Raises:
        ValueError: no recipe of this name; nothing to resume, or what there is comes from another run.
        PermissionError: the data folder cannot be written; said before the training, not after it.
        DataFileError: the training checkpoint is truncated or altered.
        TrainingDiverged: the loss became NaN or infinite; the last good training checkpoint stays.
    """
    recipe = _recipe(name)
    settings = recipe.settings or {}
    data.require_writable(data.data_folder() / FOLDER, "the trained weights")
    run = {"checkpoint": name, "recipe": recipe.name, **settings}
    kept = Checkpoints(training_folder(name), run, resume=resume)
    rt = Runtime("gpu", device, seed=0, checkpoints=kept)
    model, facts = recipe.train(rt, quiet, **settings)
    minutes = rt.seconds / 60
    # Scores are those of the weights as shipped, in half precision, and on the CPU, where `verify` repeats them.
    weights = {k: w.half() if w.is_floating_point() else w for k, w in model.cpu().state_dict().items()}
    model.load_state_dict({k: w.float() if w.is_floating_point() else w for k, w in weights.items()})
    card = {
        "name": name,
        "recipe": recipe.name,
        "settings": settings,
        "architecture": full_name(type(model)),
        "config": dataclasses.asdict(model.cfg),
        "seed": rt.seed,
        **facts,
        "hardware": _hardware(rt),
        "minutes": round(minutes, 1),
        "scores": recipe.score(model),
    }
    content = safetensors.torch.save({k: w.contiguous() for k, w in weights.items()})
    _write(f"{FOLDER}/{name}.safetensors", content, recipe.name)
    _write(f"{FOLDER}/{name}.json", _text(card), recipe.name)
    kept.remove()  # only now: scoring and writing may be interrupted too
    return card


def training_folder(name: str) -> Path:
    """Where the training checkpoints of the run of `name` lie until it is through, in the cache folder."""
    return data.cache_folder() / "training" / name


def record(name: str, *, device: str | None = None, quiet: bool = False) -> dict[str, Any]:
    """Run the experiment `name` in full and write ``data/records/NAME.json``; returns what it holds.

    Raises:
        ValueError: no experiment of this name. PermissionError: as `train`.
    """
    run = _experiment(name)
    data.require_writable(data.data_folder() / "records", "the record")
    rt = Runtime("gpu", device, seed=0)
    start = time.perf_counter()
    facts = run(rt, quiet)
    minutes = round((time.perf_counter() - start) / 60, 1)
    card = {
        "name": name,
        "recipe": full_name(run),
        "hardware": _hardware(rt),
        "minutes": minutes,
    }
    card.update(facts)
    _write(f"records/{name}.json", _text(card), card["recipe"])
    return card


def recorded(name: str) -> dict[str, Any]:
    """What the experiment `name` gave when it was last recorded.

    Raises:
        ValueError: no experiment of this name.
        DataFileError: its file is missing or altered.
    """
    _experiment(name)
    return json.loads(data.read_verified(f"records/{name}.json"))


def verify(name: str) -> dict[str, Any]:
    """Recompute the scores of `name` and compare them with those recorded; returns the recomputed ones.

    They may differ by what another processor's rounding makes of a score of this kind: `recipes.recipe.tolerance`.

    Raises:
        ValueError: a score differs by more, or is missing; the message names both values.
    """
    recorded, found = info(name)["scores"], _recipe(name).score(load(name))
    for key, score in recorded.items():
        value = found.get(key, {}).get("value", math.nan)
        # Negated, for NaN is not within any tolerance
        if not abs(value - score["value"]) <= tolerance(score):
            raise ValueError(
                f"checkpoint {name!r}: {key} is recorded as {score['value']:#.5g}, but these weights give "
                f"{value:#.5g}; restore data/{FOLDER}, or train it anew"
            )
    return found


def _shown(score: Mapping[str, float]) -> str:
    return f"{digits(score['value'], score['ci95'])} (n = {score['n']:,})"


def _shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {f"the shape of {key}": tuple(w.shape) for key, w in weights.items()}


def _recipe(name: str) -> Any:
    from course_lib.recipes import RECIPES

    if name not in RECIPES:
        raise ValueError(f"checkpoint: expected one of {', '.join(sorted(RECIPES))}, got {name!r}")
    return RECIPES[name]


def _write(path: str, content: bytes, recipe: str) -> None:
    """Put a file into ``data`` whole or not at all, and its checksum into ``data/README.md``."""
    data.write_atomically(data.data_folder() / path, content)
    data.record_checksum(path, origin=f"made by `{recipe}`", licence="MIT")


def _text(card: dict[str, Any]) -> bytes:
    return (json.dumps(card, indent=2) + "\n").encode()


def _experiment(name: str) -> Any:
    from course_lib.recipes import RECORDS

    if name not in RECORDS:
        raise ValueError(f"experiment: expected one of {', '.join(sorted(RECORDS))}, got {name!r}")
    return RECORDS[name]


def _hardware(rt: Runtime) -> str:
    if rt.device.type == "cuda":
        return torch.cuda.get_device_name(rt.device)
    return f"{rt.device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def main(arguments: list[str] | None = None) -> int:
    """The command line: list, train NAME [--resume], verify [NAME], record NAME.

    Returns 0, 1 after an error that one line explains, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="names, sizes and scores")
    for command, text in (
        ("train", "train one from scratch"),
        ("verify", "recompute the recorded scores"),
        ("record", "run an experiment that is too long for a page"),
    ):
        one = commands.add_parser(command, help=text)
        one.add_argument("name", nargs="?" if command == "verify" else None)
        if command == "train":
            one.add_argument("--resume", action="store_true", help="go on where the last run was interrupted")
    options = parser.parse_args(arguments)
    return spoken(lambda: _run(options))


def spoken(work: Callable[[], int]) -> int:
    """What `work` returns; a mistake becomes one line on stderr and 1; a reader who leaves (``| head``) is no mistake.

    A terminal that lacks the course's letters gets question marks for them.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        done = work()
        sys.stdout.flush()
        return done
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else Python complains once more at its end
        return 0
    except (ImportError, MemoryError, OSError, TrainingDiverged, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "record":
        print(json.dumps(record(options.name), indent=2))
        return 0
    if options.command == "train":
        try:
            print(json.dumps(train(options.name, resume=options.resume), indent=2))
        except KeyboardInterrupt:
            again = f"{COMMAND} train {options.name}"
            kept = Checkpoints(training_folder(options.name), {}).kept()
            advice = (
                f"go on with: {again} --resume" if kept else f"nothing was kept yet; start anew with: {again}"
            )
            print(advice, file=sys.stderr)
            return 130  # what a shell returns for Ctrl-C
        return 0
    for name in [options.name] if getattr(options, "name", None) else names():
        if options.command == "list" and f"{FOLDER}/{name}.json" not in checksums():
            print(f"{name}: not trained yet; train it with: {COMMAND} train {name}")
            continue
        scores = verify(name) if options.command == "verify" else info(name)["scores"]
        print(f"{name}: {', '.join(f'{key} {_shown(score)}' for key, score in scores.items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
