"""Networks whose slope is differentiated again, as gradient penalties do, at the price of another gradient.

PyTorch's own second derivatives are right, but slow on a CPU: it differentiates a convolution's slope with respect to
the weights by a convolution with a kernel as large as the feature maps, and gives zeros as a leaky ReLU's curvature,
with which it then goes all the way back through the network. Here the slope of a convolution is a transposed
convolution, whose own gradients are fast (an idea from StyleGAN2's code, Karras et al. 2020), and that of a leaky ReLU
is a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

How = tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]  # stride, padding, dilation, groups


class TwiceDifferentiable(TorchFunctionMode):
    """Within it `nn.Conv2d` and `nn.LeakyReLU` have slopes that are differentiated faster; not under autocast.

    Values and derivatives of any order are those of PyTorch's own functions, up to rounding.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What PyTorch calls instead of each of its functions."""
        return FASTER.get(function, function)(*args, **(kwargs or {}))


class _OfInput(torch.autograd.Function):
    """A convolution with a gradient with respect to its input only ..."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, how: How) -> Tensor:
        ctx.save_for_backward(w)
        ctx.size, ctx.how = x.shape[2:], how
        return F.conv2d(x, w, b, *how)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        (w,), (s, p, d, groups) = ctx.saved_tensors, ctx.how
        # rows and columns at the end that the kernel's steps left out
        rest = [(n + 2 * p[i] - d[i] * (w.shape[2 + i] - 1) - 1) % s[i] for i, n in enumerate(ctx.size)]
        return F.conv_transpose2d(slope, w, None, s, p, rest, groups, d), None, None, None


class _OfWeights(torch.autograd.Function):
    """... and zeros with the gradients that it lacks.

    Apart from it, and with x where autograd does not look for inputs: of a `Function` it works out all gradients even
    if only some are asked for, and a penalty asks the first time for the images' alone.
    """

    @staticmethod
    def forward(
        ctx: Any, w: Tensor, b: Tensor | None, x: list[Tensor], shape: torch.Size, how: How
    ) -> Tensor:
        ctx.save_for_backward(*x)
        ctx.shape, ctx.how = w.shape, how
        return w.new_zeros(()).expand(shape)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        of_w = torch.nn.grad.conv2d_weight(*ctx.saved_tensors, ctx.shape, slope, *ctx.how)
        return of_w, slope.sum((0, 2, 3)) if ctx.needs_input_grad[1] else None, None, None, None


class _LeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, negative_slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.negative_slope = negative_slope
        return F.leaky_relu(x, negative_slope)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        x = ctx.saved_tensors[0].detach()  # no curvature
        return torch.ops.aten.leaky_relu_backward(slope, x, ctx.negative_slope, False), None


def _conv2d(
    input: Tensor,  # noqa: A002 (PyTorch's own names)
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    how = (stride, padding, dilation, groups)
    pairs = all(isinstance(value, tuple) for value in how[:3])  # as nn.Conv2d has them
    if input.dim() != 4 or not pairs:
        return F.conv2d(input, weight, bias, *how)
    y = _OfInput.apply(input, weight, bias, how)
    return y.add_(_OfWeights.apply(weight, bias, [input], y.shape, how))


def _leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:  # noqa: A002
    return F.leaky_relu(input, negative_slope, True) if inplace else _LeakyReLU.apply(input, negative_slope)


FASTER = {F.conv2d: _conv2d, F.leaky_relu: _leaky_relu}
