"""The shipped checkpoints: load one, list them, train one anew, verify the scores that it claims.

A checkpoint is two files in ``data/checkpoints``: NAME.safetensors (half-precision weights, never a pickle) and
NAME.json (architecture, recipe, seed, images seen, data, hardware, minutes, scores with their sample count and
confidence interval). The recipes are in `course_lib.recipes`.

An experiment too long for a page is recorded in the same way, as ``data/records/NAME.json``.

On the command line: ``python -m course_lib.zoo list``, ``train NAME``, ``verify [NAME]``, ``record NAME``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import time
from typing import Any

import safetensors.torch
import torch
from torch import nn

from course_lib import data
from course_lib.training import Runtime

FOLDER = "checkpoints"


def load(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """The checkpoint `name` as a module in eval mode, without gradients, in float32 on `device`.

    Raises:
        ValueError: no such checkpoint, or its weights do not fit its architecture.
        DataFileError: its file is missing or altered.
    """
    card = info(name)
    model = _recipe(name).build(card["config"])
    weights = safetensors.torch.load(data.read_verified(f"{FOLDER}/{name}.safetensors"))
    weights = {key: w.float() if w.is_floating_point() else w for key, w in weights.items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint {name!r}: its weights do not fit the architecture in {name}.json "
            f"({str(error).splitlines()[-1].strip()}); train it anew: python -m course_lib.zoo train {name}"
        ) from error
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


def train(name: str, *, device: str | None = None, quiet: bool = False) -> dict[str, Any]:
    """Run the recipe of `name` in full, write both of its files and their checksums; returns what the JSON holds.

    Raises:
        ValueError: no recipe of this name.
    """
    recipe, rt = _recipe(name), Runtime("gpu", device, seed=0)
    start = time.perf_counter()
    model, facts = recipe.train(rt, quiet)
    minutes = (time.perf_counter() - start) / 60
    # Scores are those of the weights as shipped, that is rounded to half precision.
    weights = {k: w.half() if w.is_floating_point() else w for k, w in model.state_dict().items()}
    model.load_state_dict({k: w.float() if w.is_floating_point() else w for k, w in weights.items()})
    card = {
        "name": name,
        "recipe": f"course_lib.recipes.{recipe.train.__name__}",
        "config": dataclasses.asdict(model.cfg),
        "seed": rt.seed,
        **facts,
        "hardware": _hardware(rt),
        "minutes": round(minutes, 1),
        "scores": recipe.score(model.eval()),
    }
    content = safetensors.torch.save({k: w.cpu().contiguous() for k, w in weights.items()})
    _write(f"{FOLDER}/{name}.safetensors", content, card["recipe"])
    _write(f"{FOLDER}/{name}.json", _text(card), card["recipe"])
    return card


def record(name: str, *, device: str | None = None, quiet: bool = False) -> dict[str, Any]:
    """Run the experiment `name` in full and write ``data/records/NAME.json``; returns what it holds.

    Raises:
        ValueError: no experiment of this name.
    """
    run, rt = _experiment(name), Runtime("gpu", device, seed=0)
    start = time.perf_counter()
    facts = run(rt, quiet)
    minutes = round((time.perf_counter() - start) / 60, 1)
    card = {
        "name": name,
        "recipe": f"course_lib.recipes.{run.__name__}",
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


def verify(name: str, tolerance: float = 5e-4) -> dict[str, Any]:
    """Recompute the scores of `name` and compare them with those recorded; returns the recomputed ones.

    `tolerance` leaves room for another processor's rounding.

    Raises:
        ValueError: a score differs by more than `tolerance`; the message names both values.
    """
    recorded, found = info(name)["scores"], _recipe(name).score(load(name))
    for key, value in recorded.items():
        if abs(found[key]["value"] - value["value"]) > tolerance:
            raise ValueError(
                f"checkpoint {name!r}: {key} is recorded as {value['value']:.4f}, but these weights give "
                f"{found[key]['value']:.4f}; restore data/checkpoints, or train it anew"
            )
    return found


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
    """The command line: list, train NAME, verify [NAME], record NAME."""
    parser = argparse.ArgumentParser(prog="python -m course_lib.zoo", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="names, sizes and scores")
    for command, text in (
        ("train", "train one from scratch"),
        ("verify", "recompute the recorded scores"),
        ("record", "run an experiment that is too long for a page"),
    ):
        one = commands.add_parser(command, help=text)
        one.add_argument("name", nargs="?" if command == "verify" else None)
    options = parser.parse_args(arguments)
    if options.command in ("train", "record"):
        run = train if options.command == "train" else record
        print(json.dumps(run(options.name), indent=2))
        return 0
    for name in [options.name] if getattr(options, "name", None) else names():
        scores = verify(name) if options.command == "verify" else info(name)["scores"]
        text = ", ".join(
            f"{k} {s['value']:.4f} ± {s['ci95']:.4f} (n = {s['n']:,})" for k, s in scores.items()
        )
        print(f"{name}: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
