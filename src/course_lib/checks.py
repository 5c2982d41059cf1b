"""What every public function says about a wrong argument. Each check returns its argument if it is right."""

import math
import numbers
import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

_WILDCARDS = "a size named by a letter may be anything"


def tensor(name: str, value: Any, shape: str | None = None, *, dtype: str = "float") -> Tensor:
    """`value` if it is a non-empty finite tensor of this shape and kind of dtype, ``"float"`` or ``"int"`` (int64).

    `shape` is written as in docstrings, ``"(N, 1, 28, 28)"``: letters stand for any size, the same letter for the same.
    Raises TypeError for another kind of value or dtype, ValueError for another shape, an empty or infinite tensor.
    """
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise TypeError(f"{name}: expected a torch tensor, got {kind}; convert it with torch.as_tensor")
    kind, got = value.dtype, tuple(value.shape)
    if dtype == "float" and not value.is_floating_point():
        raise TypeError(f"{name}: expected a floating-point tensor, got {kind}; convert it with .float()")
    if dtype == "int" and kind != torch.int64:
        raise TypeError(f"{name}: expected integer labels (torch.int64), got {kind}; convert with .long()")
    if shape is not None:
        of_shape(name, value, shape)
    if value.numel() == 0:
        raise ValueError(f"{name}: expected at least one element, got an empty tensor of shape {got}")
    if dtype == "float" and not bool(torch.isfinite(value).all()):
        got = f"{int((~torch.isfinite(value)).sum())} NaN or infinite of {value.numel()}"
        raise ValueError(f"{name}: expected finite numbers, got {got}; find where they arise first")
    return value


class ImageRangeWarning(UserWarning):
    """Images look like [0, 1] where [-1, 1] is expected: nothing fails, but every number computed is wrong."""


def images(name: str, value: Any, shape: str | None = "(N, C, H, W)", *, shown: bool = False) -> Tensor:
    """Like `tensor`, with values in [-1, 1], else ValueError; warns as `suspect_range` unless only `shown`."""
    x = tensor(name, value, shape)
    low, high = _range(x)
    if low < -1 - 1e-4 or high > 1 + 1e-4:
        got = f"values from {low:.3g} to {high:.3g}; map [0, 1] by 2*x - 1 and [0, 255] by x/127.5 - 1"
        raise ValueError(f"{name}: expected images in [-1, 1], got {got}")
    if not shown:
        _suspect(name, low, high)
    return x


def suspect_range(name: str, x: Tensor) -> None:
    """Warn with ImageRangeWarning if no pixel of the images x is below 0, as in [0, 1], unless all are 0 (grey)."""
    if x.numel():
        _suspect(name, *_range(x))


def _range(x: Tensor) -> tuple[float, float]:
    low, high = x.detach().aminmax()
    return float(low), float(high)


def _suspect(name: str, low: float, high: float) -> None:
    if low >= 0 and high > 0:
        scale, remedy = ("[0, 255]", "x/127.5 - 1") if high > 1.5 else ("[0, 1]", "2*x - 1")
        warnings.warn(
            f"{name}: no pixel is below 0 (values from {low:.3g} to {high:.3g}), as in images in {scale}, but the "
            f"course's are in [-1, 1], where -1 is black; map them by {remedy}, or every number will be wrong",
            ImageRangeWarning,
            stacklevel=4,
        )


def labels(name: str, value: Any, n: int, classes: int) -> Tensor:
    """Return `value` if it is n int64 labels in 0 … classes - 1. Raises TypeError or ValueError otherwise."""
    y = tensor(name, value, "(N,)", dtype="int")
    if len(y) != n:
        raise ValueError(f"{name}: expected one label per image, that is {n}, got {len(y)}")
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        raise ValueError(f"{name}: expected labels from 0 to {classes - 1}, got {low} to {high}")
    return y


def whole(name: str, value: object, *, at_least: int = 1, at_most: int | None = None, why: str = "") -> int:
    """`value` as an int in [at_least, at_most] (`why` so far); TypeError for True or 3.0, ValueError out of range."""
    wanted = f"a whole number >= {at_least}" + ("" if at_most is None else f" and <= {at_most}")
    wanted += f" ({why})" if why else ""
    number = int(_kind(name, value, numbers.Integral, wanted))
    if number < at_least or (at_most is not None and number > at_most):
        raise ValueError(f"{name} must be {wanted}; received {number}")
    return number


def seed_number(name: str, value: object) -> int:
    """`value` as a seed that torch.Generator takes without wrapping around: 0 .. 2**63 - 1."""
    return whole(name, value, at_least=0, at_most=2**63 - 1)


def real(name: str, value: object, *, positive: bool = False) -> float:
    """`value` as a finite float >= 0, or > 0 if `positive`; TypeError if it is no number, else ValueError."""
    wanted = f"a finite number {'>' if positive else '>='} 0"
    number = float(_kind(name, value, numbers.Real, wanted))
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise ValueError(f"{name} must be {wanted}; received {number}")
    return number


def of_shape(name: str, x: Tensor, shape: str, what: str = "shape") -> Tensor:
    """`x` if it has this shape, written as in `tensor`; ValueError with both shapes otherwise."""
    sizes = [s.strip() for s in shape.strip("()").split(",") if s.strip()]
    letters: dict[str, int] = {}
    fits = len(sizes) == x.dim()
    for size, actual in zip(sizes, x.shape, strict=False):
        fits = fits and actual == (int(size) if size.isdigit() else letters.setdefault(size, actual))
    if not fits:
        raise ValueError(f"{name}: expected {what} {shape}, got {tuple(x.shape)}; {_WILDCARDS}")
    return x


def image_shape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`x` if it is a batch of images of this shape (C, H, W); ValueError with both shapes otherwise."""
    return of_shape("x", x, f"(N, {', '.join(map(str, shape))})", "images of shape")


def flag(name: str, value: object) -> bool:
    """`value` if it is True or False; TypeError otherwise."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False; received {value!r}")
    return value


def choice(name: str, value: object, options: Iterable[str]) -> str:
    """`value` if it is one of the strings `options`; TypeError or ValueError listing them otherwise."""
    listed = "one of " + ", ".join(repr(option) for option in options)
    if _kind(name, value, str, listed) not in options:
        raise ValueError(f"{name} must be {listed}; received {value!r}")
    return value


def _kind(name: str, value: Any, kind: type, wanted: str) -> Any:
    """`value` if it is of this kind, as booleans never are; TypeError otherwise."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, kind):
        raise TypeError(f"{name} must be {wanted}; received {value!r} of type {type(value).__name__}")
    return value


def generator(name: str, value: object) -> torch.Generator:
    """`value` if it is a torch.Generator; TypeError with how to make one otherwise."""
    if not isinstance(value, torch.Generator):
        got = f"{value!r} of type {type(value).__name__}"
        advice = "make one with torch.Generator().manual_seed(0)"
        raise TypeError(f"{name}: expected a torch.Generator, got {got}; {advice}")
    return value


def logits(name: str, value: Any, shape: str = "(N,)") -> Tensor:
    """Like `tensor`, for what is compared with 0: positive says yes. Warns if all are in [0, 1], like probabilities."""
    x = tensor(name, value, shape)
    low, high = _range(x)
    if 0 <= low < high <= 1:
        warnings.warn(
            f"{name}: expected logits, positive for yes and negative for no, got values from {low:.3g} to {high:.3g} "
            "only, as probabilities are; if they are, pass torch.logit(p)",
            stacklevel=3,
        )
    return x


def memory(what: str, needed: float, advice: str) -> None:
    """Raise MemoryError with `advice`, before the system kills the process, if `needed` bytes are not to be had."""
    available = available_memory()
    if available is not None and needed > available:
        need, free = f"{needed / 1e9:.3g} GB", f"{available / 1e9:.3g} GB"
        raise MemoryError(f"{what} needs about {need} of memory, and {free} are free; {advice}")


def available_memory() -> int | None:
    """Bytes that this process may still take, as the system says; None where it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # Linux: what is free or can be freed
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        pass
    try:  # elsewhere all that the machine has: better than nothing
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
