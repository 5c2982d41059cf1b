"""Stopping a training that has diverged."""

import math
from pathlib import Path
from typing import Any

from torch import Tensor


class TrainingDiverged(RuntimeError):
    """A number that has to stay finite, `what`, became the `value` NaN or infinite after `images_seen` images.

    `snapshot` is the file with the last good weights, if there is one, `kept_at` the images seen by then.
    """

    def __init__(
        self, what: str, value: float, images_seen: int, snapshot: Path | None = None, kept_at: int = 0
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
        """By its arguments, so that it can come back from another process."""
        return type(self), (self.what, self.value, self.images_seen, self.snapshot, self.kept_at)


def require_finite(value: Tensor | float, images_seen: int, *, what: str = "loss") -> float:
    """`value`, a loss for instance, as a float; TrainingDiverged, which calls it `what`, if it is NaN or infinite.

    Reading a number from a GPU waits for the GPU, so look at every fiftieth loss or so, where it is shown anyway:

    >>> bar.set_postfix(loss=f"{require_finite(loss, bar.n):.3f}")
    """
    number = float(value.detach() if isinstance(value, Tensor) else value)
    if not math.isfinite(number):
        raise TrainingDiverged(what, number, images_seen)
    return number
