"""One training by several processes, one for each GPU or core: ``torchrun --nproc-per-node 2 -m course_lib.zoo ...``.

Every process draws the same random numbers and works on its own rows of them (`course_lib.draws`), so that they do what
one process would do with the whole minibatch; but for batch normalisation, which elsewhere than on CUDA is each one's.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = timedelta(minutes=10)  # then a process that waits for another one gives up


class OthersEnded(RuntimeError):
    """Another process of this training has ended or hangs, so that this one cannot go on."""


def world() -> tuple[int, int]:
    """(rank, processes) as `torchrun` says in the environment; (0, 1) if it did not start this process."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def join(device: torch.device) -> None:
    """Meet the other processes, if there are any; NCCL connects GPUs, gloo everything else."""
    if world()[1] > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)


def own_device(device: str | None) -> str | None:
    """`device`; of several processes that may use any GPU (None or "cuda"), each has one of its own."""
    if world()[1] > 1 and torch.cuda.is_available() and device in (None, "cuda"):
        return f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    return device


class _Step(nn.Module):
    """A function of a minibatch as the ``forward`` that `DistributedDataParallel` wants; `model` has the weights."""

    def __init__(self, model: nn.Module, step: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.step = model, step

    def forward(self, *inputs: Any) -> Any:
        return self.step(*inputs)


def parallel(model: nn.Module, step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` with gradients with respect to `model` averaged over all processes; with one process `step` itself."""
    if world()[1] == 1:
        return step
    device = next(model.parameters()).device
    if device.type == "cuda":
        for name, part in list(model.named_children()):
            setattr(model, name, nn.SyncBatchNorm.convert_sync_batchnorm(part))
    return nn.parallel.DistributedDataParallel(
        _Step(model, step),
        device_ids=[device] if device.type == "cuda" else None,
        # layers beyond the resolution that a growing model works at have no gradient
        find_unused_parameters=getattr(model, "grows", False),
        broadcast_buffers=False,  # every process keeps its own running statistics; the first one's are shipped
    )


def own_rows(x: Tensor) -> Tensor:
    """This process's share of the rows of x (N, …): (N / processes, …); ValueError if N is no multiple of them."""
    rank, processes = world()
    if len(x) % processes:
        wanted = f"a multiple of {processes}, the number of processes"
        raise ValueError(f"batch: expected {wanted}, got {len(x)}; start another number of them")
    n = len(x) // processes
    return x[rank * n : (rank + 1) * n]


@contextlib.contextmanager
def others_needed() -> Iterator[None]:
    """Within it, a failure because another process has ended or hangs becomes OthersEnded."""
    try:
        yield
    except RuntimeError as error:
        if world()[1] == 1 or not re.search("gloo|nccl|connection|peer|collective", str(error), re.I):
            raise
        told = f"another process of this training has ended, see its message ({str(error).splitlines()[0]})"
        raise OthersEnded(f"{told}; go on with --resume") from error


def averaged(values: Tensor) -> Tensor:
    """The mean of `values` over all processes, which all must ask for, NaN if one has NaN; raises OthersEnded."""
    if world()[1] == 1:
        return values
    with others_needed():
        values = values.clone()
        dist.all_reduce(values)
    return values / world()[1]
