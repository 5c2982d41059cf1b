"""What PyTorch's Python side asks about a GPU, answered for the pretended one."""

from __future__ import annotations

import time
import types
from typing import Any

import torch

NAME = {"cuda": "Pretended GPU (CUDA)", "mps": "Pretended Apple GPU"}
MEMORY = {"cuda": 15 << 30, "mps": 8 << 30}  # a T4's, and what a small Apple laptop recommends


def torch_says_there_is(kind: str, native: Any) -> None:
    """From here on torch says that there is one GPU of this kind."""
    (_cuda if kind == "cuda" else _mps)(native)
    _storages(kind)


class _Event:
    """Stands in for torch.cuda.Event and torch.mps.Event."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.time = 0.0

    def record(self, stream: Any = None) -> None:
        self.time = time.perf_counter()

    def elapsed_time(self, other: _Event) -> float:
        return 1000 * (other.time - self.time)

    def synchronize(self) -> None: ...

    def wait(self, stream: Any = None) -> None: ...

    def query(self) -> bool:
        return True


def _cuda(native: Any) -> None:
    c = torch.cuda
    properties = types.SimpleNamespace(
        name=NAME["cuda"],
        major=7,
        minor=5,
        total_memory=MEMORY["cuda"],
        multi_processor_count=40,
        warp_size=32,
        max_threads_per_multi_processor=1024,
        regs_per_multiprocessor=65536,
        is_integrated=0,
        is_multi_gpu_board=0,
    )
    c._initialized = True
    c.default_generators = (native.default_generator(),)
    _answer(torch._C, _cuda_init=None, _cuda_setDevice=None, _cuda_synchronize=None, _cuda_emptyCache=None)
    _answer(torch._C, _cuda_getDeviceCount=1, _cuda_getDevice=0)
    _answer(c, _lazy_init=None, set_device=None, synchronize=None, empty_cache=None)
    _answer(c, is_available=True, is_initialized=True, device_count=1, current_device=0)
    _answer(c, _exchange_device=0, _maybe_exchange_device=0, get_device_name=NAME["cuda"])
    _answer(c, get_device_capability=(7, 5), get_device_properties=properties)
    _answer(c, current_stream=types.SimpleNamespace(synchronize=lambda: None, cuda_stream=0))
    c.is_bf16_supported = lambda including_emulation=True: including_emulation
    c.memory_allocated = lambda device=None: native.memory()[0]
    c.max_memory_allocated = c.memory_reserved = c.max_memory_reserved = lambda device=None: native.memory()[
        1
    ]
    c.reset_peak_memory_stats = lambda device=None: native.reset_peak()
    c.mem_get_info = lambda device=None: (MEMORY["cuda"] - native.memory()[0], MEMORY["cuda"])
    c.Event = _Event


def _mps(native: Any) -> None:
    generator = native.default_generator()
    torch._C._has_mps = torch.has_mps = True
    _answer(torch._C, _mps_is_available=True, _mps_is_in_bad_fork=False, _mps_get_default_generator=generator)
    _answer(torch._C, _mps_deviceSynchronize=None, _mps_emptyCache=None, _mps_setMemoryFraction=None)
    _answer(torch._C, _mps_recommendedMaxMemory=MEMORY["mps"], _mps_is_on_macos_or_newer=True)
    _answer(torch._C, _mps_get_name=NAME["mps"], _mps_get_core_count=8)
    torch._C._mps_currentAllocatedMemory = lambda: native.memory()[0]
    torch._C._mps_driverAllocatedMemory = lambda: native.memory()[1]
    for asks_again in (
        "is_available",
        "is_macos_or_newer",
        "is_macos13_or_newer",
        "get_name",
        "get_core_count",
    ):
        getattr(getattr(torch.backends.mps, asks_again, None), "cache_clear", lambda: None)()
    torch.mps._default_mps_generator = generator
    torch.mps.event.Event = _Event


def _answer(where: Any, **answers: Any) -> None:
    """Each of these functions of `where` returns this, whatever it is called with."""
    for name, value in answers.items():
        setattr(where, name, lambda *args, value=value, **kwargs: value)


def _storages(kind: str) -> None:
    """Storages of a number of bytes on the device: torch would ask the real allocator for them."""
    original = torch.UntypedStorage.__new__

    def new(cls: type, *args: Any, **kwargs: Any) -> Any:
        where = kwargs.get("device")
        if where is None or torch.device(where).type != kind:
            return original(cls, *args, **kwargs)
        size = args[0] if args else 0
        if isinstance(size, int):
            return torch.empty(size, dtype=torch.uint8, device=kind).untyped_storage()
        return torch.tensor(list(size), dtype=torch.uint8).to(kind).untyped_storage()

    torch.UntypedStorage.__new__ = new
