"""Larger data sets, which torchvision downloads into the cache folder when asked for: Fashion-MNIST, CIFAR-10, CelebA.

The archives of the first two are compared with their published md5 and parsed without unpacking, and none is a pickle.
All raise TypeError or ValueError for a wrong argument; DownloadError, which says what to do, if the download failed;
DataFileError if what was downloaded cannot be read.
"""

import contextlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib.checks import choice, whole
from course_lib.data.files import DataFileError, cache_folder
from course_lib.data.images import from_uint8
from course_lib.data.mnist import PREFIX, unzip_idx
from course_lib.data.sealed import load_sealed, save_sealed
from course_lib.precision import course_defaults
from course_lib.progress import progress

_CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # stated beside the archive on the authors' page


class DownloadError(ConnectionError):
    """A data set that is not part of the repository could not be downloaded."""


@course_defaults()
def fashion_mnist(split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """Fashion-MNIST: 60,000 ("train") + 10,000 ("test") images of clothes (Xiao et al. 2017). 30 MB to download.

    Returns x, float32 (N, 1, 28, 28) in [-1, 1], and y, int64 (N,), 0 .. 9: T-shirt, trouser, pullover, dress, coat,
    sandal, shirt, sneaker, bag, ankle boot.
    """
    prefix = PREFIX[choice("split", split, PREFIX)]
    from torchvision.datasets import FashionMNIST

    md5 = dict(FashionMNIST.resources)
    arrays = []
    for name in (f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"):
        url = FashionMNIST.mirrors[0] + name
        path = _fetch(url, cache_folder() / "fashion-mnist" / name, md5[name], "Fashion-MNIST")
        arrays.append(unzip_idx(path.read_bytes(), str(path), "; delete it and try again"))
    images, labels = arrays
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        found = f"found {images.shape} and {labels.shape}"
        raise DataFileError(f"Fashion-MNIST: expected shapes (N, 28, 28) and (N,), {found}")
    return from_uint8(images), torch.from_numpy(labels.astype(np.int64))


@course_defaults()
def cifar10(split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """CIFAR-10: 50,000 ("train") + 10,000 ("test") colour photographs (Krizhevsky 2009). 170 MB to download.

    Returns x, float32 (N, 3, 32, 32) in [-1, 1], red first, and y, int64 (N,), 0 .. 9: airplane, automobile, bird, cat,
    deer, dog, frog, horse, ship, truck.
    """
    names = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
    wanted = names[choice("split", split, names)]
    path = _fetch(_CIFAR10_URL, cache_folder() / "cifar-10-binary.tar.gz", _CIFAR10_MD5, "CIFAR-10")
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:  # read in memory: nothing is unpacked to a path that the archive chooses
                content = archive.extractfile(member)
                if content is not None and Path(member.name).name in wanted:
                    found[Path(member.name).name] = content.read()
        records = [_cifar10_records(found[name]) for name in wanted]
    except (EOFError, KeyError, OSError, ValueError, tarfile.TarError) as error:
        what = f"{path} is not CIFAR-10's binary archive"
        raise DataFileError(f"{what}: {error!r}; delete it and try again") from error
    rows = np.concatenate(records)  # (N, 3073): one byte for the class, then the red, green and blue planes
    pixels = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (N, 32, 32, 3)
    return from_uint8(pixels), torch.from_numpy(rows[:, 0].astype(np.int64))


@course_defaults()
def celeba(
    split: str = "train", size: int = 64, *, n: int | None = 20_000
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """CelebA: photographs of celebrities' faces with 40 attributes (Liu et al. 2015). 1.4 GB to download, by gdown.

    For non-commercial research only. The central 178 x 178 pixels are resized once (bilinear, antialiased) and cached.
    `split` is "train" (162,770 images), "valid" (19,867) or "test" (19,962), `size` 8 .. 178 pixels, `n` how many, from
    the first, None for all; 12 * n * size**2 bytes. Returns x, float32 (N, 3, size, size) in [-1, 1], and attributes,
    name -> bool array (N,).
    """
    split = choice("split", split, ("train", "valid", "test"))
    size = whole("size", size, at_least=8, at_most=178)
    n = None if n is None else whole("n", n)
    root = cache_folder()
    sealed = root / "celeba-small" / f"{split}-{size}-{'all' if n is None else n}.sealed"
    arrays = load_sealed(sealed)
    if arrays is None or "images" not in arrays:
        from torchvision.datasets import CelebA

        with _explained("CelebA", root / "celeba"):
            dataset = CelebA(str(root), split=split, target_type="attr", download=True)
        arrays = _celeba_arrays(dataset, size, len(dataset) if n is None else min(n, len(dataset)))
        save_sealed(sealed, arrays)
    return from_uint8(arrays.pop("images")), arrays


def _celeba_arrays(dataset: Any, size: int, n: int) -> dict[str, np.ndarray]:
    """Images uint8 (n, size, size, 3) and each attribute, bool (n,), of the first n items of `dataset`."""
    from PIL import Image

    images = np.empty((n, size, size, 3), np.uint8)
    flags = np.empty((n, 40), bool)
    with progress(n, "resizing CelebA") as bar:
        for i in range(n):
            try:
                image, attributes = dataset[i]
                left, top = (image.width - 178) // 2, (image.height - 178) // 2
                square = image.crop((left, top, left + 178, top + 178)).convert("RGB")
                images[i] = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
            except OSError as error:
                advice = f"delete {cache_folder() / 'celeba'} and try again"
                raise DataFileError(f"image {i} of CelebA cannot be read: {error}; {advice}") from error
            flags[i] = attributes.numpy() != 0
            bar.update()
    # torchvision splits the header line at spaces, which leaves an empty name at its end
    names = [name for name in dataset.attr_names if name]
    return {"images": images, **{name: flags[:, column].copy() for column, name in enumerate(names)}}


def _cifar10_records(content: bytes) -> np.ndarray:
    """The records of one batch file: uint8 (N, 3073)."""
    if not content or len(content) % 3073:
        raise ValueError(f"expected a multiple of 3073 bytes, found {len(content)}")
    records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    if records[:, 0].max() > 9:
        raise ValueError(f"expected classes 0..9, found {records[:, 0].max()}")
    return records


def _fetch(url: str, path: Path, md5: str, title: str) -> Path:
    """`path`, with the content at `url`; torchvision compares the md5 and downloads only if it differs."""
    from torchvision.datasets.utils import download_url

    with _explained(title, f"{path}, md5 {md5}", f" from {url}"):
        download_url(url, str(path.parent), path.name, md5)
    return path


@contextlib.contextmanager
def _explained(title: str, where: object, source: str = "") -> Iterator[None]:
    """A failure to download within the ``with`` block becomes one error that says what to do."""
    try:
        yield
    except (ImportError, OSError, RuntimeError) as error:
        hint = " Its download needs one more package: pip install gdown." if "gdown" in str(error) else ""
        raise DownloadError(
            f"{title} is not part of the repository and could not be downloaded{source}: {error}.{hint} "
            f"Connect to the internet and call again, or copy it from another machine to {where}. "
            "Offline, mnist(), discs(), avatars() and photo() work"
        ) from error
