"""What every public function says about a wrong argument: one line with what was expected and what came.

Kept apart so that the modules that teach stay about what they teach. Each check returns its argument.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

_WILDCARDS = "a size named by a letter may be anything"


def tensor(name: str, value: Any, shape: str | None = None, *, dtype: str = "float") -> Tensor:
    """Return `value` if it is a non-empty finite tensor of the wanted shape and kind of dtype.

    `shape` is written as in the docstrings, e.g. ``"(N, D)"`` or ``"(N, 1, 28, 28)"``: numbers must match,
    letters stand for any size, and one letter used twice stands for the same size.
    `dtype` is ``"float"`` (any floating type) or ``"int"`` (int64 labels).

    Raises:
        TypeError: not a tensor, or of another kind of dtype.
        ValueError: another shape, empty, or not finite.
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}: expected a torch tensor, got {type(value).__name__}; convert it with torch.as_tensor"
        )
    if dtype == "float" and not value.is_floating_point():
        raise TypeError(
            f"{name}: expected a floating-point tensor, got {value.dtype}; convert it with .float()"
        )
    if dtype == "int" and value.dtype != torch.int64:
        raise TypeError(
            f"{name}: expected integer labels (torch.int64), got {value.dtype}; convert with .long()"
        )
    if shape is not None:
        _match(name, tuple(value.shape), shape)
    if value.numel() == 0:
        raise ValueError(
            f"{name}: expected at least one element, got an empty tensor of shape {tuple(value.shape)}"
        )
    if dtype == "float" and not bool(torch.isfinite(value).all()):
        bad = int((~torch.isfinite(value)).sum())
        raise ValueError(
            f"{name}: expected finite numbers, got {bad} NaN or infinite of {value.numel()}; "
            "find where they arise before using them"
        )
    return value


def images(name: str, value: Any, shape: str = "(N, C, H, W)") -> Tensor:
    """Like `tensor`, and the values must lie in [-1, 1], the course's one image convention.

    Raises:
        TypeError, ValueError: as `tensor`; ValueError also for values outside [-1, 1].
    """
    x = tensor(name, value, shape)
    low, high = (float(value) for value in x.detach().aminmax())
    if low < -1 - 1e-4 or high > 1 + 1e-4:
        raise ValueError(
            f"{name}: expected images in [-1, 1], got values from {low:.3g} to {high:.3g}; "
            "map [0, 1] by 2*x - 1 and [0, 255] by x/127.5 - 1"
        )
    return x


def labels(name: str, value: Any, n: int, classes: int) -> Tensor:
    """Return `value` if it is n int64 labels in 0 … classes - 1.

    Raises:
        TypeError: not an int64 tensor.
        ValueError: not `n` of them, or a label out of range.
    """
    y = tensor(name, value, "(N,)", dtype="int")
    if len(y) != n:
        raise ValueError(f"{name}: expected one label per image, that is {n}, got {len(y)}")
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        raise ValueError(f"{name}: expected labels from 0 to {classes - 1}, got {low} to {high}")
    return y


def whole(name: str, value: object, *, at_least: int = 1, at_most: int | None = None, why: str = "") -> int:
    """`value` as an int in [at_least, at_most]; `why` says where the upper end comes from.

    Raises TypeError for anything that is not a whole number (True and 3.0 are not), ValueError out of range.
    """
    wanted = f"a whole number >= {at_least}" + ("" if at_most is None else f" and <= {at_most}")
    wanted += f" ({why})" if why else ""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be {wanted}; received {value!r} of type {type(value).__name__}")
    number = int(value)
    if number < at_least or (at_most is not None and number > at_most):
        raise ValueError(f"{name} must be {wanted}; received {number}")
    return number


def seed_number(name: str, value: object) -> int:
    """`value` as a seed that torch.Generator takes without wrapping around: 0 .. 2**63 - 1."""
    return whole(name, value, at_least=0, at_most=2**63 - 1)


def real(name: str, value: object, *, positive: bool = False) -> float:
    """`value` as a finite float, >= 0, or > 0 if `positive`.

    Raises TypeError for anything that is not a number, ValueError for NaN, infinity or a wrong sign.
    """
    wanted = f"a finite number {'>' if positive else '>='} 0"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {wanted}; received {value!r} of type {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise ValueError(f"{name} must be {wanted}; received {number}")
    return number


def choice(name: str, value: object, options: Iterable[str]) -> str:
    """`value` if it is one of the strings `options`; TypeError or ValueError listing them otherwise."""
    listed = ", ".join(repr(option) for option in options)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {listed}; received {value!r} of type {type(value).__name__}")
    if value not in options:
        raise ValueError(f"{name} must be one of {listed}; received {value!r}")
    return value


def _match(name: str, got: tuple[int, ...], wanted: str) -> None:
    sizes = [s.strip() for s in wanted.strip("()").split(",") if s.strip()]
    letters: dict[str, int] = {}
    fits = len(sizes) == len(got)
    for size, actual in zip(sizes, got, strict=False):
        fits = fits and actual == (int(size) if size.isdigit() else letters.setdefault(size, actual))
    if not fits:
        raise ValueError(f"{name}: expected shape {wanted} ({_WILDCARDS}), got {got}")
