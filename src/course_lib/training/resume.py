"""A training's state on disk: written whole or not at all, read only if unaltered, never a pickle.

A `Snapshot` is one safetensors file: the state's tensors, and all else as JSON in its metadata, with a sha256.
`Snapshots` is the folder of one run, with two files for each loop (`LastTwo`), lest a drive cuts a renaming in two.
"""

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from course_lib.data.files import DataFileError, write_atomically

_FORMAT = "course_lib training snapshot 2"
_SCALARS = (bool, int, float, str, type(None))


class Snapshot:
    """A file that holds nested dicts, lists and tuples of tensors, numbers, strings, True, False and None.

    >>> snapshot = Snapshot("run/1.safetensors")
    >>> snapshot.save({"model": model.state_dict(), "images_seen": 6000})
    >>> model.load_state_dict(snapshot.load()["model"])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def save(self, state: Mapping[str, Any]) -> None:
        """Put `state` in place of what the file holds, whole or not at all; TypeError or OSError says why it is not."""
        if not isinstance(state, Mapping):
            raise TypeError(f"state: expected a dict, got {type(state).__name__}")
        tensors: dict[str, Tensor] = {}
        tree = json.dumps(_encode(state, "", tensors))
        metadata = {"format": _FORMAT, "sha256": _digest(tree, tensors), "state": tree}
        write_atomically(self.path, safetensors.torch.save(tensors, metadata))

    def load(self) -> dict[str, Any]:
        """What was saved, tensors on the CPU; DataFileError if missing, truncated, altered, or no training snapshot."""
        path, advice = self.path, "delete it and train anew"
        try:
            with safetensors.safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                # Cloned, for otherwise they would be views of a file that is soon replaced
                tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 (no mapping)
        except FileNotFoundError as error:
            raise DataFileError(f"{path}: expected a training snapshot, found no file; train anew") from error
        except (safetensors.SafetensorError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataFileError(f"{path} is truncated or no safetensors file ({reason}); {advice}") from error
        if (kind := metadata.get("format", "none")) != _FORMAT:
            formats = f"expected the format {_FORMAT!r}, found {kind!r}"
            raise DataFileError(f"{path} is no training snapshot: {formats}; {advice}")
        expected, found = metadata.get("sha256"), _digest(metadata.get("state", ""), tensors)
        if expected != found:
            raise DataFileError(f"{path} is altered: expected sha256 {expected}, found {found}; {advice}")
        return _decode(json.loads(metadata["state"]), tensors)


class SnapshotDamaged(UserWarning):
    """The last snapshot is truncated or altered, so the one before it is gone on from."""


class LastTwo:
    """The last two snapshots of one loop, NAME-a and NAME-b; ``state["number"]`` says which is the later."""

    def __init__(self, path: Path) -> None:
        self._files = [Snapshot(path.with_name(f"{path.name}-{end}.safetensors")) for end in "ab"]
        self._number = 0  # of the next one

    @property
    def path(self) -> Path:
        """The file that was written last."""
        last = self._files[(self._number - 1) % 2].path
        return last if last.exists() or not self.exist() else self._files[self._number % 2].path

    def exist(self) -> bool:
        """Whether there is anything to load."""
        return any(file.path.exists() for file in self._files)

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep `state`; raises as `Snapshot.save`, and then the one before is intact."""
        self._files[self._number % 2].save({**state, "number": self._number})
        self._number += 1

    def load(self) -> dict[str, Any]:
        """The later of the two that is whole; warns of `SnapshotDamaged` if one is not, DataFileError if neither is."""
        found, damage = [], []
        for file in self._files:
            if file.path.exists():
                try:
                    found.append(file.load())
                except DataFileError as error:
                    damage.append(error)
        if not found and not damage:
            return self._files[0].load()  # raises: there is no file
        if not found:
            raise DataFileError(f"{damage[0]}; no other snapshot is whole: start anew, without resuming")
        if damage:
            warnings.warn(f"{damage[0]}; the other snapshot is gone on from", SnapshotDamaged, stacklevel=2)
        last = max(found, key=lambda state: state["number"])
        self._number = last["number"] + 1
        return last


class Snapshots:
    """One run's snapshots: two files for each of its loops, numbered in the order in which they begin.

    `run` says what the run in this `folder` is, by name. With `resume` it goes on from there (ValueError if there is
    nothing); else training snapshots in the folder, but no other files, are removed when the first loop begins.
    """

    def __init__(
        self, folder: str | os.PathLike[str], run: Mapping[str, Any], *, resume: bool = False
    ) -> None:
        self.folder, self.run, self.resume = Path(folder), dict(run), resume
        self._loops = self._begun = 0
        if resume and not self.kept():
            raise ValueError(f"resume: expected a training snapshot in {self.folder}, found none; start anew")

    def next(self) -> LastTwo:
        """The snapshots of the loop that begins now."""
        self._begin()
        self._loops += 1
        two = LastTwo(self.folder / str(self._loops))
        if two.exist() and not self.resume:
            found = "found another file; keep snapshots in a folder of their own"
            raise ValueError(f"{two.path}: expected none, or a training snapshot of this course, {found}")
        return two

    def part(self, name: str, work: Callable[[], Any]) -> Any:
        """What ``work()`` gives, as JSON has it, or gave in the run that is resumed."""
        self._begin()
        snapshot = Snapshot(self.folder / f"{name}.safetensors")
        kept = self._part(snapshot) if self.resume else None
        if kept is not None:
            if unequal := differences({**self.run, "part": name}, kept["run"]):
                raise ValueError(f"{snapshot.path} is of another run: {unequal}; start anew without resuming")
            return json.loads(kept["found"])
        found = json.dumps(work())
        snapshot.save({"run": {**self.run, "part": name}, "found": found})
        return json.loads(found)

    def _part(self, snapshot: Snapshot) -> dict[str, Any] | None:
        """What is kept of a part; None if there is nothing, or nothing whole."""
        if not snapshot.path.exists():
            return None
        try:
            return snapshot.load()
        except DataFileError as error:
            warnings.warn(f"{error}; this part is done again", SnapshotDamaged, stacklevel=3)
            return None

    def _begin(self) -> None:
        if not self._begun and not self.resume:  # not earlier: a mistyped argument should cost nobody a run
            self.remove()
        self._begun += 1

    def kept(self) -> list[Path]:
        """The training snapshots in the folder; safetensors of other kinds are none of them."""
        return [path for path in self.folder.glob("*.safetensors") if _is_ours(path)]

    def remove(self) -> None:
        """Delete them all, and what a killed process may have left half written; nothing that is somebody else's."""
        for path in [*self.kept(), *self.folder.glob(".*.safetensors.*.tmp")]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # absent, or someone else's files are in it
            self.folder.rmdir()


def _is_ours(path: Path) -> bool:
    """Whether a file says of itself that it is a training snapshot, or is too damaged to say anything."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("format") == _FORMAT
    except (OSError, safetensors.SafetensorError):
        return True


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """One line on where two dicts differ, at most three entries of it; empty if they are equal."""
    keys = [*expected, *(key for key in found if key not in expected)]
    unequal = [key for key in keys if key not in expected or key not in found or expected[key] != found[key]]
    lines = []
    for key in unequal[:3]:
        wanted = f"{key} = {expected[key]!r}" if key in expected else f"no {key}"
        there = repr(found[key]) if key in found else "none"
        lines.append(f"expected {wanted}, found {there}")
    rest = f"; and {len(unequal) - 3} more" if len(unequal) > 3 else ""
    return "; ".join(lines) + rest


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON that _decode takes back exactly; its tensors go into `tensors`."""
    if isinstance(value, Tensor):
        key = path.lstrip("/")
        while key in tensors:  # {"a/b": x, "a": {"b": y}}
            key += "'"
        # A clone, because safetensors refuses tensors that share memory, as tied weights do
        tensors[key] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        # The order in memory (channels_last, say) is kept too: a sum in another order is rounded differently.
        return {"tensor": key, "stride": torch.empty_like(value, device="meta").stride()}
    if isinstance(value, Mapping):
        # Pairs, because JSON's own keys are strings, and an optimizer numbers its parameters.
        for key in value:
            if not isinstance(key, (int, str)):
                raise TypeError(f"state{path}: expected keys that are strings or whole numbers, got {key!r}")
        return {"dict": [[key, _encode(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encode(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]}
    if type(value) in _SCALARS:
        return value
    wanted = "a tensor, number, string, True, False, None, or a dict, list or tuple of them"
    raise TypeError(f"state{path}: expected {wanted}, got {type(value).__name__}")


def _decode(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        x = tensors[node["tensor"]]
        return torch.empty_strided(x.shape, node["stride"], dtype=x.dtype).copy_(x)
    if "dict" in node:
        return {key: _decode(item, tensors) for key, item in node["dict"]}
    if "list" in node:
        return [_decode(item, tensors) for item in node["list"]]
    return tuple(_decode(item, tensors) for item in node["tuple"])


def _digest(tree: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(tree.encode())
    for key in sorted(tensors):
        x = tensors[key]
        digest.update(f"{key} {x.dtype} {tuple(x.shape)}".encode())
        digest.update(x.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
