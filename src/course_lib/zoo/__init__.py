"""The shipped models: load one, list them, read what their cards and the recorded experiments say.

A checkpoint is two files in ``data/checkpoints``: NAME.safetensors (half-precision weights, never a pickle) and its
card NAME.json. An experiment too long for a page is recorded as ``data/records/NAME.json``.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from course_lib import data
from course_lib.data.files import checksums
from course_lib.precision import course_defaults
from course_lib.training.resume import differences
from course_lib.zoo.architectures import build

FOLDER, RECORDS = "checkpoints", "records"
COMMAND = "python -m course_lib.zoo"


@course_defaults()
def load(
    name: str, device: str | torch.device = "cpu", *, folder: str | os.PathLike[str] | None = None
) -> nn.Module:
    """The checkpoint `name` as a module in eval mode, frozen, in float32 on `device`.

    With `folder`, the one that ``zoo train NAME --out FOLDER`` wrote. ValueError: no such checkpoint, or a config or
    weights that do not fit its architecture. DataFileError: its file is missing or altered.
    """
    if folder is not None:
        path = Path(folder) / name
        card = json.loads(path.with_name(f"{name}.json").read_text(encoding="utf-8"))
        return assemble(card, path.with_name(f"{name}.safetensors").read_bytes()).to(device)
    return assemble(info(name), data.read_verified(f"{FOLDER}/{name}.safetensors")).to(device)


def assemble(card: Mapping[str, Any], content: bytes) -> nn.Module:
    """The model of a card and of the content of its safetensors file; on the CPU, otherwise as `load`."""
    name = card["name"]
    anew = f"restore data/{FOLDER}, or train it anew: {COMMAND} train {name}"
    try:
        model = build(card["architecture"], card["config"])
    except (KeyError, TypeError, ValueError) as error:
        reason = f"the key {error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{data.data_folder() / FOLDER / name}.json: its config is not one of this architecture: {reason}; {anew}"
        ) from error
    weights = safetensors.torch.load(content)
    weights = {key: w.float() if w.is_floating_point() else w for key, w in weights.items()}
    if unequal := differences(_shapes(model.state_dict()), _shapes(weights)):
        where = f"the architecture in {name}.json"
        raise ValueError(f"checkpoint {name!r}: its weights do not fit {where}: {unequal}; {anew}")
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def info(name: str) -> dict[str, Any]:
    """The card NAME.json of a checkpoint; ValueError if there is none, DataFileError if missing or altered."""
    return _read(FOLDER, "checkpoint", name)


def recorded(name: str) -> dict[str, Any]:
    """What the experiment `name` gave when last recorded; ValueError if never, DataFileError if missing or altered."""
    return _read(RECORDS, "record", name)


def names(folder: str = FOLDER) -> list[str]:
    """The names of all checkpoints (or of all `RECORDS`) in the data folder, in alphabetical order."""
    paths = [path.split("/") for path in checksums() if path.endswith(".json")]
    return sorted(path[1].removesuffix(".json") for path in paths if path[0] == folder)


def write_card(path: str, card: Mapping[str, Any]) -> None:
    """Put a card or record into ``data``, as `write` does."""
    write(path, (json.dumps(card, indent=2) + "\n").encode(), card["recipe"])


def write(path: str, content: bytes, recipe: str) -> None:
    """Put a file into ``data`` whole or not at all, and its checksum into ``data/README.md``."""
    data.write_atomically(data.data_folder() / path, content)
    data.record_checksum(path, origin=f"made by `{recipe}`", licence="MIT")


def _read(folder: str, kind: str, name: str) -> dict[str, Any]:
    if name not in (known := names(folder)):
        raise ValueError(f"{kind}: expected one of {', '.join(known)}, got {name!r}")
    return json.loads(data.read_verified(f"{folder}/{name}.json"))


def _shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {f"the shape of {key}": tuple(w.shape) for key, w in weights.items()}
