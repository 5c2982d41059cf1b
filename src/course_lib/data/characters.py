"""Two drawn people, each in many expressions and poses: what a face swap is trained on, and by what it can be judged.

Both are of the style "toon-head" (CC BY 4.0, Johan Melin), so that they move the same mouth, eyes and eyebrows.
"""

from typing import Any

import numpy as np
import torch

from course_lib.checks import choice, seed_number, whole
from course_lib.data.avatars import faces
from course_lib.precision import course_defaults

EXPRESSION = ("mouth", "eyes", "eyebrows")  # what varies, five of each
# Close to the face and nearly upright: whoever swaps faces cuts them out and turns them upright first.
_POSE: dict[str, Any] = {"scale": [2.0], "rotate": [-6, 6], "translateX": [-3, 3], "translateY": [-4, 2]}
_CHARACTERS: dict[str, dict[str, Any]] = {
    "ann": {
        "hairVariant": ["bun"],
        "hairColor": ["d6b370"],
        "rearHairVariant": ["longStraight"],
        "rearHairProbability": 100,
        "skinColor": ["f1c3a5"],
        "clothesVariant": ["dress"],
        "clothesColor": ["731ac3"],
        "beardProbability": 0,
    },
    "bob": {
        "hairVariant": ["spiky"],
        "hairColor": ["2c1b18"],
        "rearHairProbability": 0,
        "skinColor": ["a36b4f"],
        "clothesVariant": ["turtleNeck"],
        "clothesColor": ["147f3c"],
        "beardProbability": 0,
    },
}
CHARACTERS = tuple(_CHARACTERS)


@course_defaults()
def character(
    name: str, n: int, size: int = 64, seed: int = 0, *, progress: bool = True
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """`n` pictures of one of `CHARACTERS`, "ann" or "bob": expression and pose i depend on (seed, i) alone.

    So picture i of both, of one seed, is the same moment: what a perfect swap would make of the other. Otherwise as
    `data.avatars`: x, float32 (n, 3, size, size) in [-1, 1], and `EXPRESSION`'s columns -> arrays of n variants' names.
    """
    fixed = {**_CHARACTERS[choice("name", name, CHARACTERS)], **_POSE}
    n, seed = whole("n", n), seed_number("seed", seed)
    size = whole("size", size, at_least=8, at_most=1024)
    x, attributes = faces(n, "toon-head", size, seed, fixed, progress)
    return x, {key: attributes[key] for key in EXPRESSION}
