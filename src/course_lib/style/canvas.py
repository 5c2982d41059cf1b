"""The picture as something to optimise: pixels, or the amplitudes of its waves.

Steps in pixels let single pixels run away, which a network's first layers hardly mind and an eye does: coloured noise.
Steps in amplitudes, each scaled by one over its frequency as in photographs, move broad shapes first, and light before
colour if the channels are decorrelated (Olah, Mordvintsev & Schubert 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Square root of the covariance of the colours of natural images (Olah et al. 2017): rows red, green, blue.
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


class Pixels(nn.Module):
    """A picture (1, 3, H, W) as it is."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.x = nn.Parameter(start.clone())

    def forward(self) -> Tensor:
        """(1, 3, H, W)."""
        return self.x


class Waves(nn.Module):
    """A picture (1, 3, H, W) as a sum of waves, whose amplitudes are the parameters."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        height, width = self.size = tuple(start.shape[2:])
        rows = torch.fft.fftfreq(height, device=start.device)[:, None]
        columns = torch.fft.rfftfreq(width, device=start.device)[None]
        frequency = (rows.square() + columns.square()).sqrt().clamp(min=1 / max(height, width))
        # so scaled, that a step of Adam changes the picture about as much as one in pixels
        scale = 1 / frequency
        self.register_buffer("scale", scale * (height * width) ** 0.5 / scale.square().mean().sqrt())
        mixing = torch.tensor(COLOURS, device=start.device)
        self.register_buffer("mixing", mixing / mixing.norm(dim=1).max())
        colours = torch.einsum("ij,njhw->nihw", torch.linalg.inv(self.mixing.cpu()).to(start), start)
        self.waves = nn.Parameter(torch.view_as_real(torch.fft.rfft2(colours) / self.scale))

    def forward(self) -> Tensor:
        """(1, 3, H, W)."""
        colours = torch.fft.irfft2(torch.view_as_complex(self.waves) * self.scale, s=self.size)
        return torch.einsum("ij,njhw->nihw", self.mixing, colours)
