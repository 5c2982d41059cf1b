"""The first 500 test images of CIFAR-10 (Krizhevsky 2009), unselected and offline: a mosaic of 20 rows of 25 images."""

import json

import torch

from course_lib.data.files import DataFileError, read_verified
from course_lib.data.images import decoded, from_uint8
from course_lib.precision import course_defaults

_FILE = "images/cifar10_test_500"
_ROWS, _COLUMNS, _SIDE = 20, 25, 32


@course_defaults()
def cifar10_sample() -> tuple[torch.Tensor, torch.Tensor]:
    """The first 500 test images of CIFAR-10 and their labels; DataFileError if a file is missing, truncated or altered.

    Returns x, float32 (500, 3, 32, 32) in [-1, 1], red first, and y, int64 (500,), 0 .. 9, as `data.cifar10`.
    """
    mosaic = decoded(read_verified(f"{_FILE}.png"))  # (640, 800, 3)
    labels = json.loads(read_verified(f"{_FILE}.json"))["labels"]
    # A wrong file, listed with its right checksum
    if mosaic.shape != (_ROWS * _SIDE, _COLUMNS * _SIDE, 3) or len(labels) != _ROWS * _COLUMNS:
        raise DataFileError(
            f"data/{_FILE}: expected a mosaic of {_ROWS} x {_COLUMNS} images and a label for each, "
            f"found pixels of shape {mosaic.shape} and {len(labels)} labels"
        )
    tiles = mosaic.reshape(_ROWS, _SIDE, _COLUMNS, _SIDE, 3).swapaxes(1, 2)  # (20, 25, 32, 32, 3)
    return from_uint8(tiles.reshape(-1, _SIDE, _SIDE, 3)), torch.tensor(labels, dtype=torch.int64)
