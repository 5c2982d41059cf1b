"""The exponential moving average of weights, for sampling from GANs (Yazıcı et al. 2019; Karras et al. 2018)."""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from course_lib import checks

RISE = 0.05  # the half-life is at most this share of the images seen so far (Karras et al. 2020)


class EMA:
    """The average of a model's weights, in which a weight counts half as much after every `half_life` > 0 images.

    `average` is a copy of the model with them, in eval mode, without gradients; buffers are copied as they are.
    """

    def __init__(self, model: nn.Module, half_life: float) -> None:
        self.half_life = checks.real("half_life", half_life, positive=True)
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self._model, self._seen = model, 0

    @torch.no_grad()
    def update(self, images: int) -> None:
        """To be called after each step of the model, with the number of images since the last call."""
        self._seen += images
        keep = 0.5 ** (images / min(self.half_life, RISE * self._seen))
        for mine, theirs in zip(self.average.parameters(), self._model.parameters(), strict=True):
            mine.lerp_(theirs, 1 - keep)
        for mine, theirs in zip(self.average.buffers(), self._model.buffers(), strict=True):
            mine.copy_(theirs)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the model has the averaged weights, to be looked at; afterwards it has its own again."""
        own = {key: value.clone() for key, value in self._model.state_dict().items()}
        self.copy()
        try:
            yield
        finally:
            self._model.load_state_dict(own)

    def copy(self) -> None:
        """Give the model the averaged weights for good."""
        self._model.load_state_dict(self.average.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """All that it needs to go on in another process."""
        return {"average": self.average.state_dict(), "seen": self._seen, "half_life": self.half_life}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; ValueError if that average had another half-life."""
        if state["half_life"] != self.half_life:
            raise ValueError(f"half_life: expected {self.half_life:g}, found {state['half_life']:g}")
        self.average.load_state_dict(state["average"])
        self._seen = state["seen"]


class Averaging(EMA):
    """An `EMA` that is told the images seen so far after each step: a ``watch`` of `fit`, kept and resumed with it."""

    def __call__(self, images_seen: int) -> None:
        """After a step of the model, `images_seen` so far."""
        self.update(images_seen - self._seen)
