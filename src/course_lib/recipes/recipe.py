"""What a recipe is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from course_lib.cards import Facts, Score, full_name


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
