"""The layers that StyleGAN and StyleGAN2 share (Karras et al. 2018, 2019, 2020), each switched on by itself.

Shapes: N images, C channels, R rows and columns, k numbers in a code or a style.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.2  # slope of the leaky ReLUs for negative numbers
GAIN = math.sqrt(2.0)  # after a leaky ReLU, so that the mean square stays about what it was (He et al. 2015)
FILTER = (1.0, 3.0, 3.0, 1.0)  # of all halving, in rows and in columns
TINY = 1e-8


def activated(x: Tensor) -> Tensor:
    """Leaky ReLU, scaled so that N(0, 1) stays at mean square 1, but for the slope: (N, …)."""
    return F.leaky_relu(x, LEAK) * GAIN


def on_sphere(z: Tensor) -> Tensor:
    """Each code of z (N, k) with mean square 1 (Karras et al. 2018, Eq. (2), there for each pixel's channels)."""
    return z * (z.square().mean(1, keepdim=True) + TINY).rsqrt()


def upsampled(x: Tensor) -> Tensor:
    """(N, C, R, R) -> (N, C, 2R, 2R), bilinear: zeros between the pixels, and the filter 1 3 3 1 over 4 each way."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def downsampled(x: Tensor) -> Tensor:
    """(N, C, 2R, 2R) -> (N, C, R, R): the filter 1 3 3 1 over 8 each way, then every second pixel; zeros outside."""
    line = torch.tensor(FILTER, dtype=x.dtype, device=x.device) / 8
    c = x.shape[1]
    # in pairs, because `gans.slopes` knows them
    return F.conv2d(x, torch.outer(line, line).expand(c, 1, 4, 4), None, (2, 2), (1, 1), (1, 1), c)


class Linear(nn.Module):
    """A dense layer with an equalised learning rate: weights are N(0, 1) and are scaled when they are used.

    Adam moves every weight by about the same amount, whatever its scale. With the scale outside, layers of any width
    learn equally fast (Karras et al. 2018, Section 4.1).

    Args:
        inputs, outputs: numbers.
        bias: its start.
        rate: how fast the layer learns, against the others; its output does not depend on it at the start.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.gain, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        return F.linear(x, self.weight * self.gain, self.bias * self.rate)


class Conv(nn.Module):
    """A convolution with an equalised learning rate, kernel x kernel, that keeps the resolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.gain, self.padding = 1 / math.sqrt(inputs * kernel**2), (kernel // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, R, R) -> (N, outputs, R, R)."""
        # pairs, because `gans.slopes` knows them
        return F.conv2d(x, self.weight * self.gain, self.bias, (1, 1), self.padding, (1, 1))


class ModulatedConv(Conv):
    """A convolution whose weights are scaled for each image by its style (Karras et al. 2020, Section 2.2)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, *, demodulate: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, bias=False)
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, inputs, R, R), one number per input channel (N, inputs) -> (N, outputs, R, R).

        Weight (o, i, a, b) becomes w' = s_i w (Eq. (1)); demodulated, it is divided by the norm of all w' of output o
        (Eq. (3)), so that outputs have variance 1 if the inputs have. Faster than with weights for each image, and
        equal: the inputs are scaled instead, then the outputs.
        """
        y = super().forward(x * style.to(x.dtype)[:, :, None, None])
        if not self.demodulate:
            return y
        squares = (self.weight * self.gain).square().sum((2, 3))  # (outputs, inputs)
        norm = (F.linear(style.square(), squares) + TINY).rsqrt()  # (N, outputs)
        return y * norm.to(y.dtype)[:, :, None, None]


def adain(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Each channel of each image with a given deviation and mean (Huang & Belongie 2017, Eq. (8)): (N, C, R, R).

    Args:
        x: feature maps (N, C, R, R); their own means and deviations are lost.
        scale, shift: (N, C) each, the wanted deviations and means.
    """
    variance, mean = torch.var_mean(x, (2, 3), correction=0)  # (N, C)
    factor = scale * (variance + TINY).rsqrt()
    rest = shift - mean * factor
    return x * factor[:, :, None, None] + rest[:, :, None, None]


class MinibatchDeviation(nn.Module):
    """One more channel: how much the images of a group differ, by which a discriminator notices mode collapse.

    Karras et al. 2018, Section 3: the standard deviation over the group, of each feature at each place, averaged. A
    group is `group` consecutive rows, or fewer if N is no multiple. So reals and generated images that go through a
    discriminator one after the other in one minibatch never share a group, which would say nothing of either.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, R, R) -> (N, C + 1, R, R)."""
        n, _, *rows = x.shape
        g = next(size for size in range(min(self.group, n), 0, -1) if n % size == 0)
        groups = x.unflatten(0, (n // g, g))  # (N/g, g, C, R, R)
        spread = (groups.var(1, unbiased=False) + TINY).sqrt().mean((1, 2, 3))  # (N/g,)
        return torch.cat([x, spread.repeat_interleave(g)[:, None, None, None].expand(n, 1, *rows)], 1)
