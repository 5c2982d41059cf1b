"""Fewer samples, as many of each class."""

import torch
from torch import Tensor

from course_lib.precision import course_defaults


@course_defaults()
def balanced_subset(y: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Indices (n,) of n random samples, equally many of each class of the labels y (N,); ValueError if impossible."""
    counts = torch.bincount(y)
    each, rest = divmod(n, len(counts))
    if rest or each < 1 or each > int(counts.min()):
        wanted = f"a multiple of the {len(counts)} classes, with at most {int(counts.min())} of each"
        raise ValueError(f"n: expected {wanted}, got {n}")
    order = torch.randperm(len(y), generator=generator)
    return torch.cat([order[y[order] == k][:each] for k in range(len(counts))])
