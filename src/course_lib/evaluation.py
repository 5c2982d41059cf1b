"""Looking at a model without changing it: in eval mode, without gradients, in batches, wherever it is."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import checks


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Eval mode and no gradients within the ``with`` block; afterwards each part is in the mode that it was in."""
    modes = [(part, part.training) for part in model.modules()] if isinstance(model, nn.Module) else []
    for part, _ in modes:
        part.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for part, was in modes:
            part.training = was


def device_of(model: Any) -> torch.device:
    """Where the weights of `model` are; the CPU if it has none."""
    if not isinstance(model, nn.Module):
        return torch.device("cpu")
    weights = itertools.chain(model.parameters(), model.buffers())
    return next((weight.device for weight in weights), torch.device("cpu"))


def batched(f: Callable[[Tensor], Tensor], x: Tensor, *, batch: int = 200) -> Tensor:
    """``f(x)`` in batches along the first axis, (N, …) -> (N, …), where x is, without gradients.

    If `f` is a module or a method of one, as ``model.encode``, the batches go to its device, and it is in eval mode.
    TypeError or ValueError: `x` is no non-empty tensor, or `batch` is below 1.
    """
    checks.whole("batch", batch)
    if not isinstance(x, Tensor):
        kind = type(x).__name__
        raise TypeError(f"x: expected a torch tensor, got {kind}; convert it with torch.as_tensor")
    if len(x) == 0:
        raise ValueError("x: expected at least one sample, got none")
    owner = getattr(f, "__self__", f)
    device = device_of(owner) if isinstance(owner, nn.Module) else x.device
    with evaluating(owner):
        return torch.cat([f(part.to(device)) for part in x.split(batch)]).to(x.device)


def accuracy(model: nn.Module, x: Tensor, y: Tensor, *, batch: int = 200) -> float:
    """Share of images x (N, C, H, W) whose largest logit is at the label y (N,); ImageRangeWarning as if in [0, 1]."""
    checks.labels("y", y, len(x), classes=int(1e9))
    if isinstance(x, Tensor) and x.dim() == 4:
        checks.suspect_range("x", x)
    right = batched(model, x, batch=batch).argmax(1) == y.to(x.device)
    return int(right.sum()) / len(y)
