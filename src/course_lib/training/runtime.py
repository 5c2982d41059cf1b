"""Runtime, not framework: where, how fast and how long a notebook or a training computes."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.draws import Generator
from course_lib.precision import course_defaults
from course_lib.training import distributed
from course_lib.training.resume import Snapshots

PRECISIONS = ("fast", "float32", "bfloat16", "float16")
BUDGETS = ("smoke", "cpu", "gpu")
LARGEST_SEED = 2**32 - 1  # NumPy's; times 1,000,003, it still fits torch's 64 bits
T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


class Runtime:
    """The device, the budget and the seed of one notebook.

    Args:
        budget: ``"smoke"`` (tests: quality is not judged), ``"cpu"`` (the book: short training) or ``"gpu"`` (in full);
            by default ``COURSE_BUDGET``, else ``"gpu"`` where CUDA is, else ``"cpu"``.
        device: a torch device name; by default CUDA, else MPS, else CPU.
        seed: of Python, NumPy and torch, a whole number from 0 to `LARGEST_SEED`; by default ``COURSE_SEED``, else 0.
        snapshots: where training loops keep what they need to be resumed; None keeps nothing.
        precision: of the loops' convolutions and products: "float32", "bfloat16", "float16" (with a gradient scaler) or
            "fast", half precision where the machine computes in it. Weights and losses stay in float32.
        accumulate: parts in which a minibatch is worked on, to need less memory; the gradients are the same, but for
            batch normalisation, which normalises each part by itself.
        device_noise: draw the loops' noise on the device; faster on a GPU, with other numbers than the CPU's.
        compile: let `torch.compile` translate what is differentiated once only.

    Raises TypeError or ValueError: an unknown budget or precision, a device that this machine lacks, another seed.
    """

    def __init__(
        self,
        budget: str | None = None,
        device: str | None = None,
        seed: int | None = None,
        *,
        snapshots: Snapshots | None = None,
        precision: str = "float32",
        accumulate: int = 1,
        device_noise: bool = False,
        compile: bool = False,  # noqa: A002 (PyTorch's own name for it)
    ) -> None:
        self.device = _device(distributed.own_device(device))
        distributed.join(self.device)
        if budget is None:
            budget = os.environ.get("COURSE_BUDGET") or ("gpu" if self.device.type == "cuda" else "cpu")
        self.level = checks.choice("budget (or COURSE_BUDGET)", budget, BUDGETS)
        self.seed = _seed(seed)
        self.snapshots = snapshots
        self.precision = _precision(checks.choice("precision", precision, PRECISIONS), self.device)
        self.accumulate = checks.whole("accumulate", accumulate)
        self.device_noise, self.compile = device_noise, compile
        self.rank, self.world = distributed.world()
        self.start = time.perf_counter()  # moved back by a resumed run, whose earlier time counts too
        self._generators: list[tuple[int, weakref.ref[Generator]]] = []
        random.seed(self.seed)
        np.random.seed(self.seed)
        torch.manual_seed(self.seed)

    def with_seed(self, seed: int) -> Runtime:
        """This runtime with another seed for its generators, nothing else changed; torch's own is left alone."""
        twin = copy.copy(self)
        twin.seed, twin._generators = _seed(seed), []
        return twin

    @contextlib.contextmanager
    def seeded(self) -> Iterator[None]:
        """Within it torch's own generators follow this runtime's seed; afterwards they go on where they were."""
        kind = self.device.type
        apple = torch.mps.get_rng_state() if kind == "mps" else None
        devices = [self.device.index or 0] if kind == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            try:
                yield
            finally:
                if apple is not None:
                    torch.mps.set_rng_state(apple)

    def budget(self, *, smoke: T, cpu: T, gpu: T) -> T:
        """The one of three values that belongs to this run's budget."""
        return {"smoke": smoke, "cpu": cpu, "gpu": gpu}[self.level]

    def images(self, images: int, *, step: int) -> int:
        """How many of a training's `images` this budget sees, `step` at a time: all, a tenth, or 20 steps."""
        few = min(images, 20 * step)
        return self.budget(smoke=few, cpu=max(images // 10, few), gpu=images)

    @property
    def judged(self) -> bool:
        """Whether results of this run are held to the chapter's quality bounds (all but ``smoke``)."""
        return self.level != "smoke"

    @course_defaults()
    def generator(self, stream: int = 0) -> torch.Generator:
        """A fresh CPU generator; different `stream` numbers give independent streams of the same seed."""
        return self._registered(Generator(), stream)

    @course_defaults()
    def noise(self, stream: int) -> torch.Generator:
        """Like `generator`, for noise: each of several processes draws its own rows; on the device if asked."""
        generator = Generator(self.device if self.device_noise else "cpu")
        generator.rank, generator.world = self.rank, self.world
        return self._registered(generator, stream)

    def _registered(self, generator: Generator, stream: int) -> Generator:
        generator.manual_seed(self.seed * 1_000_003 + stream)
        # Weak references: who asks for a generator in every step does not fill the memory.
        self._generators = [(k, ref) for k, ref in self._generators if ref() is not None]
        self._generators.append((stream, weakref.ref(generator)))
        return generator

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Within it convolutions and products are computed in the runtime's `precision`."""
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def translate(self, model: nn.Module) -> None:
        """Let `torch.compile` translate the model's ``forward``, in place, if this runtime compiles."""
        if self.compile:
            model.compile()

    def part(self, name: str, work: Callable[[], Any]) -> Any:
        """What ``work()`` gives, as JSON has it, or gave before an interruption: for experiments of many parts."""
        if self.snapshots is None:
            return json.loads(json.dumps(work()))
        snapshots, self.snapshots = self.snapshots, None  # a part is done anew, not resumed within
        start = time.perf_counter()
        try:
            found, seconds = snapshots.part(name, lambda: (work(), time.perf_counter() - start))
        finally:
            self.snapshots = snapshots
        self.start -= max(0.0, seconds - (time.perf_counter() - start))  # as long as it took before
        return found

    def generators_in_use(self) -> list[tuple[int, torch.Generator]]:
        """The generators handed out so far that are still in use, each with its stream number, in that order."""
        return [(stream, found) for stream, ref in self._generators if (found := ref()) is not None]

    @overload
    def place(self, what: Tensor) -> Tensor: ...
    @overload
    def place(self, what: M) -> M: ...
    def place(self, what):
        """Move a module or tensor to the device; image-shaped weights and batches become channels_last, for speed."""
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


def _computes_in_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16; others would emulate it, slowly."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return bool({"avx512_bf16", "amx_bf16"} & set(file.read(20_000).split()))
    except OSError:
        return False


def _precision(name: str, device: torch.device) -> torch.dtype:
    if name == "fast":
        if device.type == "cuda":
            name = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
        else:
            name = "bfloat16" if device.type == "cpu" and _computes_in_bfloat16() else "float32"
    return getattr(torch, name)


def _seed(given: int | None) -> int:
    if given is not None:
        return checks.whole("seed", given, at_least=0, at_most=LARGEST_SEED)
    named = os.environ.get("COURSE_SEED") or "0"
    if not named.isdecimal() or int(named) > LARGEST_SEED:
        wanted = f"a whole number from 0 to {LARGEST_SEED}"
        raise ValueError(f"COURSE_SEED: expected {wanted}, got {named!r}; unset it")
    return int(named)


def _device(name: str | None) -> torch.device:
    if name is None:
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        got = f"{name!r} ({str(error).splitlines()[0]}); leave it out to have one chosen"
        raise ValueError(f"device: expected one that this machine has, got {got}") from error
    return device
