"""Where double precision is computed: on the CPU, and nowhere else.

Apple's GPUs have no float64, and other consumer GPUs are slow at it. So whoever needs the digits, as scores and sums
over a whole test set do, calls `float64`, and nothing in the course names the type on any other device.
"""

from __future__ import annotations

from torch import Tensor


def float64(x: Tensor) -> Tensor:
    """`x` in double precision on the CPU, with gradients back to `x` if it has any.

    In two steps: ``x.to("cpu", torch.float64)`` would cast first, on the device, which raises on an Apple GPU or, in
    some versions of PyTorch, leaves the numbers unwritten without a word.
    """
    return x.cpu().double()
