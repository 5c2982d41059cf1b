"""What a recipe is, and the way in which most of them train."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from course_lib import data
from course_lib.cards import Facts, Score, full_name
from course_lib.training import Runtime, fit


@dataclass(frozen=True)
class Recipe:
    """How to train a model, as ``train(rt, quiet, **settings)``, and score it, ``score(model)``, which changes nothing.

    ``score(model, n)`` looks at the first `n` pictures or samples only, or at as many as there are.
    """

    train: Callable[..., tuple[nn.Module, Facts]]
    score: Callable[..., dict[str, Score]]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Where the recipe's function is: its module and its name."""
        return full_name(self.train)

    def all_settings(self) -> dict[str, Any]:
        """Those that differ from the function's defaults, and these."""
        known = inspect.signature(self.train).parameters.values()
        usual = {p.name: p.default for p in known if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
        return {**usual, **self.settings}


def learn(
    rt: Runtime,
    model: nn.Module,
    tensors: Sequence[Tensor],
    loss: Callable[[Any], Tensor],
    *,
    images: int,
    batch: int,
    stream: int = 1,
    **settings: Any,
) -> Facts:
    """`fit` with `settings` on shuffled minibatches of `tensors`, for as many of `images` as the budget sees."""
    placed = (rt.place(x) for x in tensors)
    batches = data.Stream(*placed, batch=batch, generator=rt.generator(stream))
    return fit(rt, model, batches, loss, images=rt.images(images, step=batch), batch=batch, **settings)
