"""What makes a long loop dependable: it resumes bit for bit where it was interrupted, and stops when it diverges."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.training.distributed import averaged
from course_lib.training.divergence import TrainingDiverged
from course_lib.training.resume import differences
from course_lib.training.runtime import Runtime

SAVES = 20  # snapshots per run, and one whenever the last is older than
SECONDS = 180.0
CHECK_EVERY = 50  # steps: reading a loss waits for the GPU, so that they are read together


class Guard:
    """Keeps a training loop's snapshots, resumes from them, and stops the loop when it diverges.

    Make it last, just before the loop, and run that within ``with guard:``. If ``rt.snapshots`` resumes a run, `parts`
    (all that changes in the loop) and all generators are set to where it stood, `images_seen` of `images`; `plan`, the
    loop's numbers by name, must be the same. Ctrl-C ends the loop after its step, so that it can be kept; a second one
    at once. Without snapshots it only watches. Raises TypeError for a part without ``state_dict``, ValueError for a
    snapshot of another run, DataFileError for a damaged one.
    """

    def __init__(self, rt: Runtime, plan: Mapping[str, Any], images: int, parts: Mapping[str, Any]) -> None:
        self.images_seen = 0
        self._rt, self._parts, self._every = rt, parts, images / SAVES
        self._recent: list[tuple[int, Mapping[str, Tensor]]] = []  # images seen, and what to watch
        self._kept_at, self._kept_when = 0, time.monotonic()
        self._before: Any = None  # what Ctrl-C did before
        self._stop = False
        self._snapshots = rt.snapshots.next() if rt.snapshots else None
        if self._snapshots is None:
            return
        for name, part in parts.items():
            if not hasattr(part, "state_dict"):
                raise TypeError(
                    f"{name}: expected an object with state_dict and load_state_dict, such as data.Stream, so that "
                    f"training can be resumed; got {type(part).__name__}"
                )
        self._generators = _generators(rt, parts)
        self._plan = {**rt.snapshots.run, "seed": rt.seed, "device": rt.device.type, **plan}
        self._plan |= {"precision": str(rt.precision), "device_noise": rt.device_noise, "processes": rt.world}
        self._plan |= _architecture(parts)
        self._plan["generators"] = [name for name, _ in self._generators]
        if rt.snapshots.resume and self._snapshots.exist():
            self._restore(self._snapshots.load())
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._asked_to_stop)

    def step(self, images: int, watched: Mapping[str, Tensor]) -> None:
        """To be called after each step, with the number of its images and the scalars that must stay finite.

        Raises TrainingDiverged if one was not in the last `CHECK_EVERY` steps, or a weight is not when it is kept;
        OSError, with how to go on, if the snapshot cannot be written; OthersEnded if another process has.
        """
        self.images_seen += images
        self._recent.append((self.images_seen, {name: value.detach() for name, value in watched.items()}))
        stop, old = self._wishes()
        if self._snapshots and (stop or old or self.images_seen - self._kept_at >= self._every):
            self._save()
            if stop:
                self._release()
                raise KeyboardInterrupt
        elif len(self._recent) >= CHECK_EVERY:
            self._check()

    def _wishes(self) -> tuple[bool, bool]:
        """Whether to stop, and whether the last snapshot is old; several processes decide it together, now and then."""
        wishes = self._stop, time.monotonic() - self._kept_when >= SECONDS
        if self._rt.world == 1:
            return wishes
        if len(self._recent) < CHECK_EVERY:
            return False, False
        stop, old = averaged(torch.tensor(wishes, dtype=torch.float32, device=self._rt.device)).tolist()
        return stop > 0, old > 0

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def finish(self) -> None:
        """To be called after the loop: looks at its last steps, raising as `step`, and keeps its result."""
        self._check()
        if self._snapshots and self.images_seen > self._kept_at:
            self._save()
        self._release()

    def _asked_to_stop(self, *_: Any) -> None:
        if self._stop:
            self._release()
            raise KeyboardInterrupt
        self._stop = True

    def _release(self) -> None:
        """Let Ctrl-C do what it did before the loop."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _check(self) -> None:
        recent, self._recent = self._recent, []
        if not recent or not recent[0][1]:
            return
        rows = [torch.stack(list(watched.values())) for _, watched in recent]
        values = averaged(torch.stack(rows)).cpu()  # (steps, watched): one wait for the GPU
        bad = (~values.isfinite()).nonzero()
        if len(bad):
            step, column = bad[0].tolist()
            images_seen, watched = recent[step]
            self._diverged(list(watched)[column], values[step, column].item(), images_seen)

    def _save(self) -> None:
        self._check()
        states = {name: part.state_dict() for name, part in self._parts.items()}
        # Finite losses do not mean finite weights: they were computed before the step that spoilt these.
        for name, tensor in _tensors(states):
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                self._diverged(name, tensor[~tensor.isfinite()][0].item(), self.images_seen)
        before, self._kept_at, self._kept_when = self._kept_at, self.images_seen, time.monotonic()
        if self._rt.rank:  # of several processes the first one writes
            return
        state = {
            "plan": self._plan,
            "images_seen": self.images_seen,
            "seconds": self._rt.seconds,
            "parts": states,
            "generators": [generator.get_state() for _, generator in self._generators],
        }
        try:
            self._snapshots.save(state)
        except OSError as error:
            self._release()
            go_on = f"the snapshot at {before:,} images is intact: resume from it (--resume)"
            advice = go_on if before else "no snapshot had been kept yet: start anew"
            raise OSError(error.errno, f"{error.strerror}; then {advice}", error.filename) from error

    def _restore(self, state: Mapping[str, Any]) -> None:
        where = f"the training snapshot {self._snapshots.path}"
        advice = "train with what it was begun with, or start anew without resuming"
        if unequal := differences(self._plan, state.get("plan", {})):
            raise ValueError(f"{where} is of another run: {unequal}; {advice}")
        try:
            for name, part in self._parts.items():
                part.load_state_dict(state["parts"][name])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{where} does not fit: {name}: {reason}; {advice}") from error
        for (_, generator), was in zip(self._generators, state["generators"], strict=True):
            generator.set_state(was)
        self.images_seen = self._kept_at = state["images_seen"]
        self._rt.start = time.perf_counter() - state["seconds"]

    def _diverged(self, what: str, value: float, images_seen: int) -> None:
        self._release()
        kept = self._snapshots.path if self._snapshots and self._kept_at else None
        raise TrainingDiverged(what, value, images_seen, kept, self._kept_at)


class _AppleGenerator:
    """The one generator of Apple's GPU, from which dropout draws, with the methods of a torch.Generator."""

    get_state = staticmethod(torch.mps.get_rng_state)
    set_state = staticmethod(torch.mps.set_rng_state)


def _generators(rt: Runtime, parts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """All that a training step may draw from, by name; a stream keeps its own generator's state itself."""
    found = [("torch", torch.default_generator)]
    if rt.device.type == "cuda":
        index = torch.cuda.current_device() if rt.device.index is None else rt.device.index
        found.append(("torch.cuda", torch.cuda.default_generators[index]))
    elif rt.device.type == "mps":
        found.append(("torch.mps", _AppleGenerator()))
    found += [(f"rt.generator({stream})", generator) for stream, generator in rt.generators_in_use()]
    for name, model in parts.items():
        for path, module in model.named_modules() if isinstance(model, nn.Module) else ():
            for key, value in vars(module).items():
                if isinstance(value, torch.Generator):
                    found.append((f"{name}.{path}.{key}", value))
    return found


def _architecture(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The config of each model and the shapes of its weights, by name."""
    found: dict[str, Any] = {}
    for name, model in parts.items():
        if isinstance(model, nn.Module):
            if dataclasses.is_dataclass(cfg := getattr(model, "cfg", None)):
                found |= {f"{name}.cfg.{key}": value for key, value in dataclasses.asdict(cfg).items()}
            found |= {f"the shape of {name}.{key}": tuple(w.shape) for key, w in model.state_dict().items()}
    return found


def _tensors(states: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in nested dicts and lists, each with its path."""
    if isinstance(states, Tensor):
        yield path, states
    elif isinstance(states, (Mapping, list, tuple)):
        for key, item in states.items() if isinstance(states, Mapping) else enumerate(states):
            yield from _tensors(item, f"{path}.{key}" if path else str(key))
