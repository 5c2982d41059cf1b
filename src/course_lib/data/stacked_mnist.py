"""Stacked MNIST: three random digits as the colour channels of one picture, so that there are 1,000 modes to count.

Metz et al. 2017 (Unrolled GANs), section 3.3; Lin et al. 2018 (PacGAN), whose setting the course follows.
"""

import torch

from course_lib.checks import choice, memory, seed_number, whole
from course_lib.data.mnist import PREFIX, mnist
from course_lib.precision import course_defaults


@course_defaults()
def stacked_mnist(n: int, seed: int = 0, *, split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """`n` pictures of three independent digits each, drawn with replacement from one split of MNIST.

    Returns x, float32 (n, 3, 28, 28) in [-1, 1], and y, int64 (n,), from 0 to 999: the digits in red, green and blue,
    read as one number. TypeError or ValueError for a wrong argument, MemoryError before it fills the memory,
    DataFileError as `mnist`.
    """
    n, seed = whole("n", n), seed_number("seed", seed)
    digits, labels = mnist(choice("split", split, PREFIX))
    memory(f"{n:,} stacked digits", 4 * n * 3 * 28 * 28, "take fewer")
    which = torch.randint(len(digits), (n, 3), generator=torch.Generator().manual_seed(seed))
    x = digits[which.flatten(), 0].view(n, 3, 28, 28)
    return x, labels[which] @ torch.tensor([100, 10, 1])
