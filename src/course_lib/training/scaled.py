"""One step of an optimizer in the runtime's precision, from a minibatch in one or several parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.training.distributed import others_needed
from course_lib.training.runtime import Runtime


class Scaled:
    """Backward passes whose gradients neither vanish in half precision nor depend on the number of parts.

    Attributes:
        parts: what a resumed loop has to restore: the scaler's scale, if there is one (Micikevicius et al. 2018).
    """

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._scaler = torch.amp.GradScaler(rt.device.type, enabled=rt.precision == torch.float16)
        self.parts: dict[str, Any] = {"scaler": self._scaler} if self._scaler.is_enabled() else {}

    def backward(
        self, loss: Callable[..., Tensor], drawn: tuple[Any, ...], inputs: list[nn.Parameter] | None = None
    ) -> Tensor:
        """Add the gradients of the mean ``loss(*drawn)`` to the weights, or to `inputs` alone; returns the loss."""
        value = torch.zeros((), device=self._rt.device)
        for part in zip(*(x.chunk(self._rt.accumulate) for x in drawn), strict=True):
            with self._rt.autocast():
                share = loss(*part) * (len(part[0]) / len(drawn[0]))
            with others_needed():
                self._scaler.scale(share).backward(inputs=inputs)
            value += share.detach()
        return value

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        weights: list[nn.Parameter] | None = None,
        clip: float | None = None,
    ) -> dict[str, Tensor]:
        """A step of the optimizer; if `weights` are given, with gradients no longer than `clip` together.

        Returns:
            The gradient's norm, to be watched, if `weights` were given; none with a scaler, which tries how large its
            scale may be and leaves out the steps for which it was too large.
        """
        watched = {}
        if weights is not None:
            self._scaler.unscale_(optimizer)
            norm = nn.utils.clip_grad_norm_(weights, math.inf if clip is None else clip)
            watched = {} if self.parts else {"gradient norm": norm}
        self._scaler.step(optimizer)
        self._scaler.update()
        return watched
