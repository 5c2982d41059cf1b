"""Random numbers for several processes that train one model: all draw the same ones, and each keeps its own rows."""

from collections.abc import Callable

import torch
from torch import Tensor


class Generator(torch.Generator):
    """A `torch.Generator` that knows whose rows it draws, process `rank` of `world`, and may be weakly referenced."""

    rank, world = 0, 1


def rows(kind: Callable[..., Tensor], n: int, *shape: int, generator: torch.Generator | None) -> Tensor:
    """``kind(n, *shape)``, as of ``torch.randn`` or ``torch.rand``, float32, where the generator is: (n, …).

    If the generator belongs to one of several processes, these are its rows of the n · world that all of them draw.
    """
    device = "cpu" if generator is None else generator.device
    rank, world = getattr(generator, "rank", 0), getattr(generator, "world", 1)
    numbers = kind(n * world, *shape, generator=generator, device=device, dtype=torch.float32)
    return numbers[rank * n : (rank + 1) * n]
