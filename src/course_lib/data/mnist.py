"""MNIST, complete and offline: 60,000 + 10,000 handwritten digits, 28 x 28, ten classes.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86 (11), 1998. The four files in `data/mnist` are the original IDX files, recompressed.

IDX, written out because it is the simplest binary format there is: two zero bytes, one byte for the type
(0x08: unsigned byte), one for the number of dimensions, each dimension as a big-endian 32-bit integer, and
then the values, last dimension fastest.
"""

from __future__ import annotations

import gzip
import struct
import zlib

import numpy as np
import torch

from course_lib.checks import choice
from course_lib.data.files import DataFileError, read_verified
from course_lib.data.images import from_uint8
from course_lib.precision import course_defaults

_PREFIX = {"train": "train", "test": "t10k"}
_SIZE = {"train": 60_000, "test": 10_000}


@course_defaults()
def mnist(split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """The images and labels of one split, in the order of the original files.

    Args:
        split: "train" (60,000 images) or "test" (10,000).

    Returns:
        x: float32 (N, 1, 28, 28) in [-1, 1]; the paper is -1, the ink +1.
        y: int64 (N,), the digit 0..9.

    Raises:
        TypeError, ValueError: another split.
        DataFileError: a data file is missing, truncated or altered; says which and how to restore it.
    """
    split = choice("split", split, _PREFIX)
    prefix, size = _PREFIX[split], _SIZE[split]
    images = _read(f"mnist/{prefix}-images-idx3-ubyte.gz", (size, 28, 28))
    labels = _read(f"mnist/{prefix}-labels-idx1-ubyte.gz", (size,))
    return from_uint8(images), torch.from_numpy(labels.astype(np.int64))


def parse_idx(raw: bytes) -> np.ndarray:
    """The array in the bytes of an IDX file of unsigned bytes.

    Returns:
        uint8 array with the dimensions that the header states; a read-only view of `raw`.

    Raises:
        TypeError: not bytes.
        ValueError: not an IDX header, another value type, or a length that differs from the header's.
    """
    if not isinstance(raw, bytes):
        raise TypeError(f"raw must be bytes; received {type(raw).__name__}")
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or raw[3] == 0:
        raise ValueError(
            f"an IDX file of bytes starts with 00 00 08 and a number of dimensions >= 1; "
            f"received {raw[:4].hex(' ') or 'nothing'}"
        )
    n_dims = raw[3]
    header = 4 + 4 * n_dims
    if len(raw) < header:
        raise ValueError(f"an IDX header of {n_dims} dimensions has {header} bytes; received {len(raw)}")
    shape = struct.unpack(f">{n_dims}I", raw[4:header])
    expected = header
    values = 1
    for length in shape:  # Python's integers: a forged header cannot overflow
        values *= length
    expected += values
    if len(raw) != expected:
        raise ValueError(f"an IDX file of shape {shape} has {expected} bytes; received {len(raw)}")
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def _read(relative_path: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array in a verified, gzipped IDX file that must have `shape`."""
    compressed = read_verified(relative_path)
    # The checksum vouches for the bytes; this guards against a wrong file listed with its right checksum.
    try:
        array = parse_idx(gzip.decompress(compressed))
    except (EOFError, OSError, zlib.error, ValueError) as error:
        raise DataFileError(f"data/{relative_path} is not a gzipped IDX file: {error}") from error
    if array.shape != shape:
        raise DataFileError(f"data/{relative_path}: expected shape {shape}, found {array.shape}")
    return array
