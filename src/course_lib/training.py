"""Runtime, not framework: where and how big a notebook runs. The training loops stay in the chapters.

`Runtime` chooses the device and the budget and seeds everything; `accuracy` and `batched` evaluate without
running out of memory; `require_finite` stops a loop that has diverged. Random numbers are drawn from generators on
the CPU, so a seed gives the same numbers on every device.
"""

from __future__ import annotations

import math
import os
import random
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.checkpoint import Checkpoint as Checkpoint  # training.Checkpoint is its public name
from course_lib.checkpoint import Checkpoints

BUDGETS = ("smoke", "cpu", "gpu")
LARGEST_SEED = 2**32 - 1  # NumPy's; times 1,000,003, it still fits torch's 64 bits
T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


class Runtime:
    """The device, the budget and the seed of one notebook.

    Args:
        budget: ``"smoke"`` (tests: every cell runs, quality is not judged), ``"cpu"`` (the book's build: short
            training, converged results from checkpoints) or ``"gpu"`` (full training). By default the environment
            variable ``COURSE_BUDGET``, else ``"gpu"`` where CUDA is, else ``"cpu"``.
        device: a torch device name; by default CUDA, else MPS, else CPU.
        seed: seeds Python, NumPy and torch, so that weights start the same in every run. By default the environment
            variable ``COURSE_SEED``, else 0.
        checkpoints: where the loops of `course_lib.recipes.fit` keep what they need to be resumed; None keeps nothing.

    Raises:
        TypeError, ValueError: an unknown budget, a device that this machine lacks, or a seed that is no whole number
            from 0 to `LARGEST_SEED`.
    """

    def __init__(
        self,
        budget: str | None = None,
        device: str | None = None,
        seed: int | None = None,
        *,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.device = _device(device)
        if budget is None:
            budget = os.environ.get("COURSE_BUDGET") or ("gpu" if self.device.type == "cuda" else "cpu")
        self.level = checks.choice("budget (or COURSE_BUDGET)", budget, BUDGETS)
        self.seed = _seed(seed)
        self.checkpoints = checkpoints
        self.start = time.perf_counter()  # moved back by a resumed run, whose earlier time counts too
        self._generators: list[tuple[int, weakref.ref[_Generator]]] = []
        random.seed(self.seed)
        np.random.seed(self.seed % 2**32)
        torch.manual_seed(self.seed)

    def budget(self, *, smoke: T, cpu: T, gpu: T) -> T:
        """The one of three values that belongs to this run's budget."""
        return {"smoke": smoke, "cpu": cpu, "gpu": gpu}[self.level]

    @property
    def judged(self) -> bool:
        """Whether results of this run are held to the chapter's quality bounds (all but ``smoke``)."""
        return self.level != "smoke"

    def generator(self, stream: int = 0) -> torch.Generator:
        """A fresh CPU generator; different `stream` numbers give independent streams of the same seed."""
        generator = _Generator()
        generator.manual_seed(self.seed * 1_000_003 + stream)
        # Weak references: who asks for a generator in every step does not fill the memory.
        self._generators = [(k, ref) for k, ref in self._generators if ref() is not None]
        self._generators.append((stream, weakref.ref(generator)))
        return generator

    def generators_in_use(self) -> list[tuple[int, torch.Generator]]:
        """The generators handed out so far that are still in use, each with its stream number, in that order."""
        return [(stream, found) for stream, ref in self._generators if (found := ref()) is not None]

    @overload
    def place(self, what: Tensor) -> Tensor: ...
    @overload
    def place(self, what: M) -> M: ...
    def place(self, what):
        """Move a module or tensor to the device; image-shaped weights and batches become channels_last.

        Channels_last changes the order in memory, never the values; it makes small conv nets 1.3-1.7 times
        faster on a CPU and lets tensor cores be used on a GPU.
        """
        if isinstance(what, nn.Module):
            return what.to(self.device, memory_format=torch.channels_last)
        layout = torch.channels_last if what.dim() == 4 else torch.preserve_format
        return what.to(self.device, memory_format=layout)

    @property
    def seconds(self) -> float:
        """Time since this runtime was made, and that of the interrupted runs which it goes on from."""
        return time.perf_counter() - self.start

    def elapsed(self) -> str:
        """Time since this runtime was made, with where it ran: what a chapter prints in its last cell."""
        minutes, seconds = divmod(round(self.seconds), 60)
        return f"{minutes} min {seconds} s on {self._where()}, budget {self.level!r}"

    def _where(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        if self.device.type == "mps":
            return "Apple GPU (MPS)"
        threads = torch.get_num_threads()
        return f"CPU ({threads} thread{'s' if threads > 1 else ''})"

    def __repr__(self) -> str:
        return f"{self._where()} · budget {self.level!r} · seed {self.seed}"


class _Generator(torch.Generator):
    """A generator that a weak reference may point to; before version 2.12 or so, torch's own may not."""


class TrainingDiverged(RuntimeError):
    """The loss, or another number that has to stay finite, became NaN or infinite.

    Args:
        what: which number, "loss" for instance.
        value: what it became.
        images_seen: when.
        checkpoint: the file with the last good weights, if there is one.
        kept_at: images seen when it was written.

    The arguments are attributes too.
    """

    def __init__(
        self,
        what: str,
        value: float,
        images_seen: int,
        checkpoint: Path | None = None,
        kept_at: int = 0,
    ) -> None:
        self.what, self.value, self.images_seen = what, value, images_seen
        self.checkpoint, self.kept_at = checkpoint, kept_at
        message = f"training diverged: {what} = {value} at {images_seen:,} images; "
        if checkpoint is not None:
            message += (
                f"the last good checkpoint, at {kept_at:,} images, is {checkpoint} (copy it away if you need it; "
                "training.Checkpoint(path).load() reads it); to resume it would only repeat this, so "
            )
        super().__init__(message + "start anew with a smaller learning rate")


def require_finite(value: Tensor | float, images_seen: int, *, what: str = "loss") -> float:
    """`value`, a loss for instance, as a float; for training loops that are written out.

    Reading a number from a GPU waits for the GPU, so look at every fiftieth loss or so, where it is shown anyway:

    >>> bar.set_postfix(loss=f"{require_finite(loss, bar.n):.3f}")

    Args:
        value: a number or a tensor that holds one.
        images_seen: at this loss, for the message.
        what: its name in the message.

    Raises:
        TrainingDiverged: `value` is NaN or infinite.
    """
    number = float(value.detach() if isinstance(value, Tensor) else value)
    if not math.isfinite(number):
        raise TrainingDiverged(what, number, images_seen)
    return number


def batched(f: Callable[[Tensor], Tensor], x: Tensor, *, batch: int = 200) -> Tensor:
    """``f(x)`` computed without gradients in batches along the first axis: (N, …) -> (N, …).

    On a CPU small batches are faster (200 images were three times as fast as 1,000 through `DigitCNN`): larger
    activations fall out of the cache.

    Raises:
        TypeError, ValueError: `x` is no non-empty tensor, or `batch` is below 1.
    """
    checks.whole("batch", batch)
    if not isinstance(x, Tensor):
        raise TypeError(
            f"x: expected a torch tensor, got {type(x).__name__}; convert it with torch.as_tensor"
        )
    if len(x) == 0:
        raise ValueError("x: expected at least one sample, got none")
    with torch.no_grad():
        return torch.cat([f(part) for part in x.split(batch)])


def accuracy(model: nn.Module, x: Tensor, y: Tensor, *, batch: int = 200) -> float:
    """Share of images x (N, C, H, W) whose largest logit is at the label y (N,); the model is put in eval mode.

    Raises:
        TypeError, ValueError: wrong types, or not one label per image.
    """
    checks.labels("y", y, len(x), classes=int(1e9))
    was_training = model.training
    model.eval()
    logits = batched(model, x, batch=batch)
    model.train(was_training)
    return float((logits.argmax(1) == y.to(logits.device)).double().mean())


def _seed(given: int | None) -> int:
    if given is not None:
        return checks.whole("seed", given, at_least=0, at_most=LARGEST_SEED)
    named = os.environ.get("COURSE_SEED") or "0"
    if not named.isdecimal() or int(named) > LARGEST_SEED:
        raise ValueError(
            f"COURSE_SEED: expected a whole number from 0 to {LARGEST_SEED}, got {named!r}; unset it"
        )
    return int(named)


def _device(name: str | None) -> torch.device:
    if name is None:
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device: expected one that this machine has, got {name!r} ({str(error).splitlines()[0]}); "
            "leave it out to have one chosen"
        ) from error
    return device
