"""Where double precision is computed, on the CPU and nowhere else, and what precision things have by default.

Apple's GPUs have no float64, and other consumer GPUs are slow at it. So whoever needs the digits, as scores and sums
over a whole test set do, calls `float64`, and nothing in the course names the type on any other device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


def float64(x: Tensor) -> Tensor:
    """`x` in double precision on the CPU, with gradients back to `x` if it has any.

    In two steps: ``x.to("cpu", torch.float64)`` would cast first, on the device, which raises on an Apple GPU or, in
    some versions of PyTorch, leaves the numbers unwritten without a word.
    """
    return x.cpu().double()


def float32(x: Tensor) -> Tensor:
    """`x`, computed in half precision perhaps, in single precision at least; with gradients back to `x`."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@contextlib.contextmanager
def course_defaults() -> Iterator[None]:
    """Within it, or in a function decorated with it, new tensors are float32 on the CPU unless said otherwise.

    So the course's data, weights and scores are what their docstrings promise even after the reader's
    ``torch.set_default_dtype`` or ``torch.set_default_device``, which change what ``torch.zeros(3)`` gives everywhere.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)
