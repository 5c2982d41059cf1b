"""Stopping a training that has diverged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor


class TrainingDiverged(RuntimeError):
    """The loss, or another number that has to stay finite, became NaN or infinite.

    Args:
        what: which number, "loss" for instance.
        value: what it became.
        images_seen: when.
        snapshot: the file with the last good weights, if there is one.
        kept_at: images seen when it was written.

    The arguments are attributes too.
    """

    def __init__(
        self,
        what: str,
        value: float,
        images_seen: int,
        snapshot: Path | None = None,
        kept_at: int = 0,
    ) -> None:
        self.what, self.value, self.images_seen = what, value, images_seen
        self.snapshot, self.kept_at = snapshot, kept_at
        message = f"training diverged: {what} = {value} at {images_seen:,} images; "
        if snapshot is not None:
            message += (
                f"the last good snapshot, at {kept_at:,} images, is {snapshot} (copy it away if you need it; "
                "training.Snapshot(path).load() reads it); to resume it would only repeat this, so "
            )
        super().__init__(message + "start anew with a smaller learning rate")

    def __reduce__(self) -> tuple[Any, ...]:
        """By its arguments, so that it can come back from another process; by default its message would be one."""
        return type(self), (self.what, self.value, self.images_seen, self.snapshot, self.kept_at)


def require_finite(value: Tensor | float, images_seen: int, *, what: str = "loss") -> float:
    """`value`, a loss for instance, as a float; for training loops that are written out.

    Reading a number from a GPU waits for the GPU, so look at every fiftieth loss or so, where it is shown anyway:

    >>> bar.set_postfix(loss=f"{require_finite(loss, bar.n):.3f}")

    Args:
        value: a number or a tensor that holds one.
        images_seen: at this loss, for the message.
        what: its name in the message.

    Raises:
        TrainingDiverged: `value` is NaN or infinite.
    """
    number = float(value.detach() if isinstance(value, Tensor) else value)
    if not math.isfinite(number):
        raise TrainingDiverged(what, number, images_seen)
    return number
