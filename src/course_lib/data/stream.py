"""An endless stream of shuffled minibatches from data that lies on the device already, faster than a DataLoader."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from course_lib.checks import flag, whole


class Stream:
    """Shuffled minibatches without end: each pass over the data is a fresh permutation.

    >>> stream = Stream(x, y, batch=64)
    >>> for step, (x_batch, y_batch) in zip(range(1000), stream): ...

    Args:
        x: tensor (N, ...), N >= 1, finite. All that is wrong raises TypeError or ValueError.
        *others: further tensors (N, ...), indexed alike (labels, say).
        batch: images per minibatch, 1 .. N.
        generator: of the permutations, on the CPU or the data's device, perhaps shared; None makes one with seed 0.
        device: where to keep the data and yield the batches; None leaves them on x's device.
        drop_last: if N is no multiple of `batch`, leave out the rest of each permutation; else it is a shorter batch.

    Attributes `images_seen` and `epoch`: images yielded so far, and passes over the data that have begun.
    """

    def __init__(
        self,
        x: torch.Tensor,
        *others: torch.Tensor,
        batch: int,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        drop_last: bool = True,
    ) -> None:
        tensors = (x, *others)
        for number, tensor in enumerate(tensors):
            _check_tensor(f"tensor {number}", tensor, len(x) if number else None)
        self.drop_last = flag("drop_last", drop_last)
        if not isinstance(generator, torch.Generator | None):
            kind = type(generator).__name__
            raise TypeError(f"generator must be a torch.Generator or None; received {kind}")
        self.batch = whole("batch", batch, at_most=len(x))
        target = x.device if device is None else torch.device(device)
        self.tensors = tuple(tensor.to(target) for tensor in tensors)
        self.device = self.tensors[0].device  # with its index: "cuda" has become "cuda:0"
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        elif generator.device.type not in ("cpu", self.device.type):
            raise ValueError(
                f"the generator must be on the CPU or on the data's device {self.device}; received one on "
                f"{generator.device}. Make it with torch.Generator()"
            )
        self.generator = generator
        self.images_seen = self.epoch = 0
        self._order: torch.Tensor | None = None  # (N,) this pass's permutation
        self._position = 0  # of the next batch in it
        self._epoch_start = generator.get_state()

    @property
    def size(self) -> int:
        """N, the number of images."""
        return len(self.tensors[0])

    @property
    def batches_per_epoch(self) -> int:
        """Batches in one pass over the data."""
        return self.size // self.batch if self.drop_last else -(-self.size // self.batch)

    def __iter__(self) -> Iterator[Any]:
        """The stream itself: a second loop goes on where the first stopped."""
        return self

    def __next__(self) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The next minibatch: a tensor (batch, ...) if the stream has one tensor, else a tuple of them."""
        left = self.size - self._position
        if self._order is None or left < (self.batch if self.drop_last else 1):
            self._epoch_start = self.generator.get_state()
            self._order, self._position = self._permutation(), 0
            self.epoch += 1
        rows = self._order[self._position : self._position + self.batch]  # (batch,)
        self._position += len(rows)
        self.images_seen += len(rows)
        batches = tuple(tensor[rows] for tensor in self.tensors)
        return batches if len(batches) > 1 else batches[0]

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly here in another process: whole numbers and two byte tensors."""
        return {
            "size": self.size,
            "batch": self.batch,
            "drop_last": self.drop_last,
            "position": self._position,
            "epoch": self.epoch,
            "images_seen": self.images_seen,
            "epoch_start": self._epoch_start.clone(),  # from which the permutation is drawn again
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the stream that gave `state` was; TypeError or ValueError, nothing changed, if it cannot."""
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping as state_dict() gives; received {type(state).__name__}")
        keys = self.state_dict()
        if missing := [key for key in keys if key not in state]:
            raise ValueError(f"state must have the keys {', '.join(keys)}; missing {', '.join(missing)}")
        for key, own in (("size", self.size), ("batch", self.batch), ("drop_last", self.drop_last)):
            if state[key] != own:
                raise ValueError(
                    f"the state is of a stream with {key} = {state[key]!r}, this one has {own!r}; "
                    "make the stream with the same data and arguments as before"
                )
        position = whole("state['position']", state["position"], at_least=0, at_most=self.size)
        epoch = whole("state['epoch']", state["epoch"], at_least=0)
        images_seen = whole("state['images_seen']", state["images_seen"], at_least=0)
        before = self.generator.get_state()
        try:
            self.generator.set_state(state["epoch_start"].cpu())
            order = self._permutation() if epoch else None
            self.generator.set_state(state["generator"].cpu())
        except (AttributeError, RuntimeError, TypeError) as error:
            self.generator.set_state(before)
            raise ValueError(
                f"state['epoch_start'] and state['generator'] must be states of a generator on "
                f"{self.generator.device.type}; received others ({error})"
            ) from error
        self._order, self._position, self.epoch, self.images_seen = order, position, epoch, images_seen
        self._epoch_start = state["epoch_start"].cpu().clone()

    def _permutation(self) -> torch.Tensor:
        """A fresh order of the rows, drawn where the generator is and kept where the data are: int64 (N,)."""
        order = torch.randperm(self.size, generator=self.generator, device=self.generator.device)
        return order.to(self.device)


def _check_tensor(name: str, tensor: object, length: int | None) -> None:
    """A non-empty finite tensor whose first dimension is `length` (any if None)."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor (N, ...); received {type(tensor).__name__}")
    shape = tuple(tensor.shape)
    if not shape or 0 in shape:
        raise ValueError(f"{name} must be non-empty, (N, ...) with N >= 1; received shape {shape}")
    if length not in (None, shape[0]):
        raise ValueError(f"all tensors must have as many rows as the first, {length}; {name} has {shape[0]}")
    # The sum is not finite if any term is not; only if it overflowed too is the slower look needed.
    if tensor.is_floating_point() and not tensor.sum().isfinite() and not tensor.isfinite().all():
        bad = int((~tensor.isfinite()).sum())
        raise ValueError(f"{name} must be finite; received {bad} values that are NaN or infinite")
