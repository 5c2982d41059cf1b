"""Runtime, not framework: where and how big a notebook runs. The training loops stay in the chapters.

`Runtime` chooses the device and the budget and seeds everything; `accuracy` and `batched` evaluate without
running out of memory. Random numbers are drawn from generators on the CPU, so a seed gives the same numbers
on every device.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import TypeVar, overload

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import checks

BUDGETS = ("smoke", "cpu", "gpu")
T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


class Runtime:
    """The device, the budget and the seed of one notebook.

    Args:
        budget: ``"smoke"`` (tests: every cell runs, quality is not judged), ``"cpu"`` (the book's build: short
            training, converged results from checkpoints) or ``"gpu"`` (full training). By default the environment
            variable ``COURSE_BUDGET``, else ``"gpu"`` where CUDA is, else ``"cpu"``.
        device: a torch device name; by default CUDA, else MPS, else CPU.
        seed: seeds Python, NumPy and torch, so that weights start the same in every run.

    Raises:
        ValueError: an unknown budget, or a device that this machine lacks.
    """

    def __init__(self, budget: str | None = None, device: str | None = None, seed: int = 0) -> None:
        self.device = _device(device)
        if budget is None:
            budget = os.environ.get("COURSE_BUDGET") or ("gpu" if self.device.type == "cuda" else "cpu")
        self.level = checks.choice("budget (or COURSE_BUDGET)", budget, BUDGETS)
        self.seed = seed
        self._start = time.perf_counter()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)

    def budget(self, *, smoke: T, cpu: T, gpu: T) -> T:
        """The one of three values that belongs to this run's budget."""
        return {"smoke": smoke, "cpu": cpu, "gpu": gpu}[self.level]

    @property
    def judged(self) -> bool:
        """Whether results of this run are held to the chapter's quality bounds (all but ``smoke``)."""
        return self.level != "smoke"

    def generator(self, stream: int = 0) -> torch.Generator:
        """A fresh CPU generator; different `stream` numbers give independent streams of the same seed."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + stream)

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

    def elapsed(self) -> str:
        """Time since this runtime was made, with where it ran: what a chapter prints in its last cell."""
        minutes, seconds = divmod(time.perf_counter() - self._start, 60)
        return f"{int(minutes)} min {seconds:.0f} s on {self._where()}, budget {self.level!r}"

    def _where(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        if self.device.type == "mps":
            return "Apple GPU (MPS)"
        threads = torch.get_num_threads()
        return f"CPU ({threads} thread{'s' if threads > 1 else ''})"

    def __repr__(self) -> str:
        return f"{self._where()} · budget {self.level!r} · seed {self.seed}"


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
