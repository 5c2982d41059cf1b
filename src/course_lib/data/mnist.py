"""MNIST (LeCun et al. 1998), complete and offline: 60,000 + 10,000 handwritten digits, in the original files."""

import gzip
import math
import struct
import zlib

import numpy as np
import torch

from course_lib.checks import choice
from course_lib.data.files import DataFileError, read_verified
from course_lib.data.images import from_uint8
from course_lib.precision import course_defaults

PREFIX = {"train": "train", "test": "t10k"}  # of the files' names
_SIZE = {"train": 60_000, "test": 10_000}


@course_defaults()
def mnist(split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """The images and labels of one split, "train" (60,000) or "test" (10,000), in the order of the original files.

    Returns x, float32 (N, 1, 28, 28), ink +1 on paper -1, and y, int64 (N,), the digit 0..9. Raises TypeError or
    ValueError for another split, DataFileError if a file is missing, truncated or altered.
    """
    prefix = PREFIX[choice("split", split, PREFIX)]
    arrays = []
    for name, shape in (("images-idx3", (_SIZE[split], 28, 28)), ("labels-idx1", (_SIZE[split],))):
        path = f"mnist/{prefix}-{name}-ubyte.gz"
        array = unzip_idx(read_verified(path), f"data/{path}")
        if array.shape != shape:  # a wrong file, listed with its right checksum
            raise DataFileError(f"data/{path}: expected shape {shape}, found {array.shape}")
        arrays.append(array)
    images, labels = arrays
    return from_uint8(images), torch.from_numpy(labels.astype(np.int64))


def parse_idx(raw: bytes) -> np.ndarray:
    """The uint8 array in the bytes of an IDX file of unsigned bytes, with the header's shape: a read-only view.

    IDX: 00 00 08, the number of dimensions, each as a big-endian 32-bit integer, then the values, last dimension
    fastest. Raises TypeError for anything but bytes, ValueError for another header, value type or length.
    """
    if not isinstance(raw, bytes):
        raise TypeError(f"raw must be bytes; received {type(raw).__name__}")
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or raw[3] == 0:
        received = raw[:4].hex(" ") or "nothing"
        raise ValueError(
            f"an IDX file starts with 00 00 08 and a number of dimensions >= 1; received {received}"
        )
    n_dims = raw[3]
    header = 4 + 4 * n_dims
    if len(raw) < header:
        raise ValueError(f"an IDX header of {n_dims} dimensions has {header} bytes; received {len(raw)}")
    shape = struct.unpack(f">{n_dims}I", raw[4:header])
    expected = header + math.prod(shape)  # Python's integers: a forged header cannot overflow
    if len(raw) != expected:
        raise ValueError(f"an IDX file of shape {shape} has {expected} bytes; received {len(raw)}")
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def unzip_idx(compressed: bytes, name: str, advice: str = "") -> np.ndarray:
    """The uint8 array in a gzipped IDX file. Raises DataFileError with its `name` and `advice` if it is none."""
    try:
        return parse_idx(gzip.decompress(compressed))
    except (EOFError, OSError, zlib.error, ValueError) as error:
        raise DataFileError(f"{name} is not a gzipped IDX file: {error}{advice}") from error
