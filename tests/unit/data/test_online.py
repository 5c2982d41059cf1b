"""Downloads: one clear error offline, and the conversion of small stand-ins. No test needs the network."""

import gzip
import hashlib
import io
import struct
import tarfile
import urllib.error

import numpy as np
import pytest
import torch

from course_lib import data
from course_lib.data import online

pytest.importorskip("torchvision")


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch, own_cache):
    def no_network(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("torchvision.datasets.celeba.download_file_from_google_drive", no_network)
    return own_cache


@pytest.mark.parametrize(
    ("load", "title"),
    [(data.fashion_mnist, "Fashion-MNIST"), (data.cifar10, "CIFAR-10"), (data.celeba, "CelebA")],
)
def test_offline_error_says_what_to_do(offline, load, title):
    with pytest.raises(data.DownloadError) as caught:
        load("test")
    message = str(caught.value)
    assert message.startswith(f"{title} is not part of the repository and could not be downloaded")
    assert "Name or service not known" in message
    assert "Connect to the internet" in message
    assert str(offline) in message  # where to copy it
    assert "mnist(), discs(), avatars() and photo() work" in message
    assert "\n" not in message


def test_celeba_without_gdown_says_so(own_cache, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gdown", None)
    with pytest.raises(data.DownloadError, match="pip install gdown"):
        data.celeba()


def idx(array):
    return gzip.compress(
        struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    )


def fake_download(monkeypatch, contents):
    """Lets torchvision's download write `contents[filename]`; the checksum is then compared in earnest."""
    from torchvision.datasets import utils

    def retrieve(url, filename, *_):
        with open(filename, "wb") as file:
            file.write(contents[str(filename).replace("\\", "/").rsplit("/", 1)[-1]])

    monkeypatch.setattr(utils, "_urlretrieve", retrieve)
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)


def test_wrong_checksum_is_a_download_error(own_cache, monkeypatch):
    fake_download(monkeypatch, {"cifar-10-binary.tar.gz": b"half a file"})
    with pytest.raises(data.DownloadError, match="corrupted"):
        data.cifar10()


def test_fashion_mnist_conversion(own_cache, monkeypatch):
    from torchvision.datasets import FashionMNIST

    pixels = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)
    labels = np.arange(7, dtype=np.uint8)
    contents = {"t10k-images-idx3-ubyte.gz": idx(pixels), "t10k-labels-idx1-ubyte.gz": idx(labels)}
    sums = [(name, hashlib.md5(content).hexdigest()) for name, content in contents.items()]
    monkeypatch.setattr(FashionMNIST, "resources", sums)
    fake_download(monkeypatch, contents)
    x, y = data.fashion_mnist("test")
    assert x.shape == (7, 1, 28, 28)
    assert np.array_equal(data.to_uint8(x), pixels)
    assert y.dtype == torch.int64
    assert y.tolist() == list(range(7))
    # A file damaged after the download is noticed, and fetched again.
    file = own_cache / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-3])
    assert torch.equal(data.fashion_mnist("test")[0], x)


def cifar_archive(batches):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in batches.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def serve_cifar(monkeypatch, content):
    monkeypatch.setattr(online, "_CIFAR10_MD5", hashlib.md5(content).hexdigest())
    fake_download(monkeypatch, {"cifar-10-binary.tar.gz": content})


def test_cifar10_conversion(own_cache, monkeypatch):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (6, 4, 3, 32, 32), dtype=np.uint8)  # six files of four images
    labels = rng.integers(0, 10, (6, 4), dtype=np.uint8)
    names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    rows = np.concatenate([labels[..., None], images.reshape(6, 4, -1)], axis=2)
    batches = {name: rows[k].tobytes() for k, name in enumerate(names)}
    serve_cifar(monkeypatch, cifar_archive(dict(sorted(batches.items(), reverse=True))))
    x, y = data.cifar10("train")
    assert x.shape == (20, 3, 32, 32)
    assert torch.equal(x, torch.from_numpy(images[:5].reshape(20, 3, 32, 32)).float().div(127.5) - 1)
    assert y.tolist() == labels[:5].flatten().tolist()  # in the order of the files, not of the archive
    x, y = data.cifar10("test")
    assert x.shape == (4, 3, 32, 32)
    assert y.tolist() == labels[5].tolist()


@pytest.mark.parametrize(
    "content",
    [
        b"no archive",
        cifar_archive({"data_batch_1.bin": bytes(3073)}),  # no test batch
        cifar_archive({"test_batch.bin": bytes(3072)}),
        cifar_archive({"test_batch.bin": b""}),
        cifar_archive({"test_batch.bin": b"\x0a" + bytes(3072)}),  # class 10
    ],
)
def test_a_wrong_cifar_archive_is_refused(own_cache, monkeypatch, content):
    serve_cifar(monkeypatch, content)
    with pytest.raises(data.DataFileError, match="not CIFAR-10's binary archive"):
        data.cifar10("test")


class FakeCelebA:
    """What torchvision's class looks like from outside: PIL images 178 x 218, 40 flags, a trailing empty name."""

    attr_names = (*(f"flag_{k}" for k in range(40)), "")
    made = 0

    def __init__(self, root, split, target_type, download):
        assert (target_type, download) == ("attr", True)
        type(self).made += 1

    def __len__(self):
        return 5

    def __getitem__(self, i):
        from PIL import Image

        # The 20 rows that the square crop cuts off above and below are red.
        image = Image.new("RGB", (178, 218), "red")
        image.paste((0, 0, 50 * i), (0, 20, 178, 198))
        flags = torch.zeros(40, dtype=torch.int64)
        flags[i] = 1
        return image, flags


def test_celeba_crop_attributes_and_cache(own_cache, monkeypatch):
    monkeypatch.setattr("torchvision.datasets.CelebA", FakeCelebA)
    FakeCelebA.made = 0
    x, attributes = data.celeba("valid", size=32, n=4)
    assert x.shape == (4, 3, 32, 32)
    assert (x[:, 0] == -1).all()  # no red left
    assert torch.allclose(x[:, 2, 0, 0], torch.tensor([0.0, 50, 100, 150]) / 127.5 - 1)
    assert list(attributes) == [f"flag_{k}" for k in range(40)]
    assert attributes["flag_2"].tolist() == [False, False, True, False]
    again, _ = data.celeba("valid", size=32, n=4)
    assert torch.equal(again, x)
    assert FakeCelebA.made == 1
    assert data.celeba("valid", size=32, n=None)[0].shape[0] == 5
    assert data.celeba("valid", size=32, n=100)[0].shape[0] == 5


def test_celeba_with_an_unreadable_image(own_cache, monkeypatch):
    class Broken(FakeCelebA):
        def __getitem__(self, i):
            raise OSError("image file is truncated")

    monkeypatch.setattr("torchvision.datasets.CelebA", Broken)
    with pytest.raises(data.DataFileError, match="image 0 of CelebA cannot be read"):
        data.celeba()


@pytest.mark.parametrize("load", [data.fashion_mnist, data.cifar10, data.celeba])
@pytest.mark.parametrize("split", ["training", "", None, 1])
def test_wrong_split(offline, load, split):
    with pytest.raises((TypeError, ValueError), match="split must be one of"):
        load(split)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"size": 0}, ValueError),
        ({"size": 179}, ValueError),
        ({"size": 64.0}, TypeError),
        ({"n": 0}, ValueError),
        ({"n": "all"}, TypeError),
    ],
)
def test_celeba_bad_arguments(offline, arguments, error):
    with pytest.raises(error, match="received"):
        data.celeba("test", **arguments)
