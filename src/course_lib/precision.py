"""Double precision, computed on the CPU alone, for some GPUs have none, and what precision is the default."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


def float64(x: Tensor) -> Tensor:
    """`x` in double precision on the CPU, with gradients back to `x`; cast there, for an Apple GPU cannot."""
    return x.cpu().double()


def float32(x: Tensor) -> Tensor:
    """`x`, computed in half precision perhaps, in single precision at least; with gradients back to `x`."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@contextlib.contextmanager
def course_defaults() -> Iterator[None]:
    """Within it, or a function decorated with it, new tensors are float32 on the CPU whatever the reader's defaults."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)
