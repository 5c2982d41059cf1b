"""Three photographs without copyright restrictions, for style transfer and for looking at filters and metrics.

Where they come from, who gave them away and how they were cropped is told in `data/README.md`.
"""

import torch
import torch.nn.functional as F

from course_lib.checks import choice, whole
from course_lib.data.files import read_verified
from course_lib.data.images import decoded, from_uint8
from course_lib.precision import course_defaults

_NAMES = ("astronaut", "chelsea", "coffee")


@course_defaults()
def photo(name: str, size: int | None = None) -> torch.Tensor:
    """One colour photograph: float32 (1, 3, H, W) in [-1, 1], red first.

    Raises TypeError or ValueError for a wrong argument, DataFileError if the file is missing, truncated or altered.

    Args:
        name: "astronaut" (Eileen Collins; NASA), "chelsea" (a cat) or "coffee" (an espresso on a wooden table).
        size: width and height wanted, in pixels, >= 1; None leaves the 256 x 256 of the file. Resizing is bicubic
            and antialiased, as a photograph that is made smaller without it shows patterns that are not there.
    """
    name = choice("name", name, _NAMES)
    if size is not None:
        size = whole("size", size)
    x = from_uint8(decoded(read_verified(f"images/{name}.png"))[None])  # (1, 3, 256, 256)
    if size is None or x.shape[-2:] == (size, size):
        return x
    resized = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp_(-1.0, 1.0)  # bicubic overshoots at edges
