"""Three photographs without copyright restrictions (`data/README.md`), for filters, metrics and style transfer."""

import torch
import torch.nn.functional as F

from course_lib.checks import choice, whole
from course_lib.data.files import read_verified
from course_lib.data.images import decoded, from_uint8
from course_lib.precision import course_defaults

_NAMES = ("astronaut", "chelsea", "coffee")


@course_defaults()
def photo(name: str, size: int | None = None) -> torch.Tensor:
    """One colour photograph: float32 (1, 3, H, W) in [-1, 1], red first; DataFileError if its file is damaged.

    `name` is "astronaut" (Eileen Collins; NASA), "chelsea" (a cat) or "coffee" (an espresso). `size` is the width and
    height wanted (bicubic, antialiased); None leaves 256 x 256. TypeError or ValueError for others.
    """
    name = choice("name", name, _NAMES)
    if size is not None:
        size = whole("size", size)
    x = from_uint8(decoded(read_verified(f"images/{name}.png"))[None])  # (1, 3, 256, 256)
    if size is None or x.shape[-2:] == (size, size):
        return x
    resized = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp_(-1.0, 1.0)  # bicubic overshoots at edges
