"""The course's data, a handful of each: for runs that ask whether something works on a device, not how well."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from typing import Any

import torch

from course_lib import data
from course_lib.recipes import RECIPES, Recipe
from course_lib.training import duelling, fitting

FEW = 320  # pictures; a test set that features of 128 numbers make a regular covariance of
SHORT = {"epochs": 1, "images": FEW, "faces": FEW}
MNIST, CIFAR, AVATARS = data.mnist, data.cifar10_sample, data.avatars
STACKED, CHARACTER = data.stacked_mnist, data.character


def mnist(split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(part[:FEW] for part in MNIST(split))


def cifar10(split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(part[:FEW] for part in CIFAR())


def avatars(n: int, size: int = 64, seed: int = 0, style: str = "open-peeps", **settings: Any) -> Any:
    x, attributes = AVATARS(min(n, FEW), size, seed, style, **settings)
    return x, attributes


def stacked_mnist(n: int, seed: int = 0, **settings: Any) -> Any:
    return STACKED(min(n, FEW), seed, **settings)


def character(name: str, n: int, size: int = 64, seed: int = 0, **settings: Any) -> Any:
    return CHARACTER(name, min(n, FEW), size, seed, **settings)


def install(monkeypatch: Any) -> None:
    """Put the small sets in the place of the full ones, for whoever asks `course_lib.data` for them."""
    monkeypatch.setattr(data, "mnist", mnist)
    monkeypatch.setattr(data, "cifar10", cifar10)
    monkeypatch.setattr(data, "avatars", avatars)
    monkeypatch.setattr(data, "stacked_mnist", stacked_mnist)
    monkeypatch.setattr(data, "character", character)
    for name in ("discs", "moving_discs"):
        full = getattr(data, name)
        monkeypatch.setattr(
            data,
            name,
            lambda n=None, full=full, **settings: full(n if n is None else min(n, FEW), **settings),
        )


def shortened(recipe: Recipe) -> Recipe:
    """The same recipe, one pass over a few pictures."""
    known = inspect.signature(recipe.train).parameters
    settings = {**recipe.settings, **{key: value for key, value in SHORT.items() if key in known}}
    return dataclasses.replace(recipe, settings=settings)


def two_minibatches(monkeypatch: Any) -> None:
    """At most two of them in every loop of a recipe."""
    fit, duel = fitting.fit, duelling.duel

    def two_of(loop: Any) -> Any:
        def run(rt: Any, model: Any, batches: Any, *args: Any, **settings: Any) -> Any:
            settings["images"] = 2 * settings["batch"] * settings.get("critics", 1)
            if loop is fit:
                settings["warm"] = 0.75  # of two steps, more than one
            return loop(rt, model, batches, *args, **settings)

        return run

    for module in {Recipe.__module__, *(recipe.train.__module__ for recipe in RECIPES.values())}:
        for name, loop in (("fit", fit), ("duel", duel)):
            if hasattr(sys.modules[module], name):
                monkeypatch.setattr(sys.modules[module], name, two_of(loop))
