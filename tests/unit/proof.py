"""What the unit tests share: seeded draws, and the proof that a check can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rejects(check: Callable[[Any], object], wrong: Any) -> bool:
    """The check fails on the wrong version."""
    with pytest.raises(AssertionError):
        check(wrong)
    return True


def newest(folder, loop=1):
    """The file of a loop's last snapshot."""
    from course_lib.training.resume import Snapshot

    return max(folder.glob(f"{loop}-?.safetensors"), key=lambda path: Snapshot(path).load()["number"])
