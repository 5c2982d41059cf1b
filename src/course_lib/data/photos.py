"""Three photographs without copyright restrictions, for style transfer and for looking at filters and metrics.

Where they come from, who gave them away and how they were cropped is told in `data/README.md`.
"""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.checks import choice, whole
from course_lib.data.files import read_verified
from course_lib.data.images import from_uint8
from course_lib.precision import course_defaults

_NAMES = ("astronaut", "chelsea", "coffee")


@course_defaults()
def photo(name: str, size: int | None = None) -> torch.Tensor:
    """One colour photograph.

    Args:
        name: "astronaut" (Eileen Collins; NASA), "chelsea" (a cat) or "coffee" (an espresso on a wooden table).
        size: width and height wanted, in pixels; None leaves the 256 x 256 of the file. Resizing is bicubic
            and antialiased, as a photograph that is made smaller without it shows patterns that are not there.

    Returns:
        float32 (1, 3, H, W) in [-1, 1], red first.

    Raises:
        TypeError, ValueError: an unknown name, or a size that is not a whole number >= 1.
        DataFileError: the file is missing, truncated or altered; says how to restore it.
    """
    from PIL import Image

    name = choice("name", name, _NAMES)
    if size is not None:
        size = whole("size", size)
    with Image.open(io.BytesIO(read_verified(f"images/{name}.png"))) as image:
        x = from_uint8(np.asarray(image.convert("RGB"))[None])  # (1, 3, 256, 256)
    if size is None or x.shape[-2:] == (size, size):
        return x
    resized = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp_(-1.0, 1.0)  # bicubic overshoots at edges
