"""Cache files that carry their own checksum, so that a damaged one is made again and never believed.

A sealed file is the sha256 of what follows (32 bytes), then an .npz archive; no pickle is ever written or loaded.
"""

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from course_lib.data.files import write_atomically


def save_sealed(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays, compressed, in one step. Raises as `write_atomically`; TypeError for arrays of objects."""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{name} must be an array of numbers, booleans or strings; received {kind}")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    payload = buffer.getvalue()
    write_atomically(path, hashlib.sha256(payload).digest() + payload)


def load_sealed(path: str | os.PathLike[str]) -> dict[str, np.ndarray] | None:
    """The arrays of a sealed file, or None if it is absent, unreadable, truncated or altered."""
    try:
        content = Path(path).read_bytes()
        payload = content[32:]
        if hashlib.sha256(payload).digest() != content[:32]:
            return None
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
