"""Path length regularisation (Karras et al. 2020): a step in w should change the image equally much everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from course_lib.draws import rows
from course_lib.gans.slopes import TwiceDifferentiable
from course_lib.gans.stylegan.generator import StyleGenerator
from course_lib.precision import float32

RISE = 0.01  # how fast the wanted length follows the measured ones


class PathLength:
    """(‖Jᵀ y‖ - a)² with J = ∂x/∂w at each style and y ~ N(0, I) over the pixels: Eq. (4), Karras et al. 2020.

    Their E ‖Jᵀ y‖² is the sum of the squares of J, and y is divided by the root of the number of pixels, so that a does
    not depend on the resolution. The wanted length a is an average over the steps so far, not learned; of several
    processes, each follows its own rows.

    Args:
        weight: of the penalty, γ_pl.
        every: generator steps from one to the next.
        part: the penalty takes a `part`-th of a minibatch.
    """

    def __init__(self, weight: float = 2.0, every: int = 4, part: int = 2) -> None:
        self.weight, self.every, self.part = weight, every, part
        self.mean = torch.zeros(())

    def lengths(self, G: StyleGenerator, drawn: Tensor, generator: torch.Generator) -> Tensor:
        """‖Jᵀ y‖ for each of the rows of `drawn` (see `StyleGAN.draws`), differentiable: (N,)."""
        k = G.cfg.latent
        with torch.enable_grad(), torch.autocast(drawn.device.type, enabled=False), TwiceDifferentiable():
            w = G.styles(drawn[:, :k])[:, None].expand(-1, G.depth, -1)  # a style for each layer
            w = w if w.requires_grad else w.requires_grad_()  # of a generator whose weights are frozen
            x = float32(G.images(w, G.noise_maps(drawn[:, k : G.drawn])))
            y = rows(torch.randn, *x.shape, generator=generator).to(x) / x[0, 0].numel() ** 0.5
            (slope,) = torch.autograd.grad((x * y).sum(), w, create_graph=True)  # (N, L, k)
        return slope.square().sum(2).mean(1).sqrt()

    def __call__(self, G: StyleGenerator, drawn: Tensor, generator: torch.Generator) -> Tensor:
        """The penalty for each row, (N,); the wanted length moves."""
        lengths = self.lengths(G, drawn, generator)
        self.mean = torch.lerp(self.mean.to(lengths), lengths.detach().mean(), RISE)
        return (lengths - self.mean).square()

    def state_dict(self) -> dict[str, Any]:
        """The wanted length."""
        return {"mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.mean = state["mean"]
