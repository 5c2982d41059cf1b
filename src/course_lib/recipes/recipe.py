"""What a recipe is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from course_lib.cards import Score, full_name

Facts = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How to make the empty model from its config, train it as ``train(rt, quiet, **settings)``, and score it.

    ``score(model)`` takes the model wherever it is and whatever mode it is in, and leaves it so. ``score(model, n)``
    looks at the first `n` pictures or samples only, or at as many as there are.
    """

    build: Callable[[dict[str, Any]], nn.Module]
    train: Callable[..., tuple[nn.Module, Facts]]
    score: Callable[..., dict[str, Score]]
    settings: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Where the recipe's function is: its module and its name."""
        return full_name(self.train)
