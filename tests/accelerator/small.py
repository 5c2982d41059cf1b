"""The course's data, a handful of each: for runs that ask whether something works on a device, not how well."""

from __future__ import annotations

from typing import Any

import torch

from course_lib import data

FEW = 320  # pictures; a test set that features of 128 numbers make a regular covariance of
MNIST, CIFAR, AVATARS = data.mnist, data.cifar10_sample, data.avatars


def mnist(split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(part[:FEW] for part in MNIST(split))


def cifar10(split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(part[:FEW] for part in CIFAR())


def avatars(n: int, size: int = 64, seed: int = 0, style: str = "open-peeps", **settings: Any) -> Any:
    x, attributes = AVATARS(min(n, FEW), size, seed, style, **settings)
    return x, attributes


def install(monkeypatch: Any) -> None:
    """Put the small sets in the place of the full ones, for whoever asks `course_lib.data` for them."""
    monkeypatch.setattr(data, "mnist", mnist)
    monkeypatch.setattr(data, "cifar10", cifar10)
    monkeypatch.setattr(data, "avatars", avatars)
    for name in ("discs", "moving_discs"):
        full = getattr(data, name)
        monkeypatch.setattr(
            data,
            name,
            lambda n=None, full=full, **settings: full(n if n is None else min(n, FEW), **settings),
        )
