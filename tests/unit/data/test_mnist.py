"""MNIST is the published one, byte for byte, and a wrong file is refused."""

import gzip
import hashlib
import struct
import time

import numpy as np
import pytest
import torch

from course_lib import data
from course_lib.data.mnist import parse_idx

# The md5 sums published for the uncompressed files.
MD5 = {
    "train-images-idx3": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1": "27ae3e4e09519cfbb04c329615203637",
}
CLASSES = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.mark.parametrize("name", MD5)
def test_bytes_are_the_published_ones(name):
    raw = gzip.decompress(data.read_verified(f"mnist/{name}-ubyte.gz"))
    assert hashlib.md5(raw).hexdigest() == MD5[name]


@pytest.mark.parametrize("name", MD5)
def test_compression_stores_neither_name_nor_date(name):
    header = data.read_verified(f"mnist/{name}-ubyte.gz")[:10]
    assert header[3] == 0  # no flags: no file name
    assert header[4:8] == bytes(4)  # no time stamp


@pytest.mark.parametrize("split", ["train", "test"])
def test_shapes_range_and_class_counts(split):
    x, y = data.mnist(split)
    n = sum(CLASSES[split])
    assert x.shape == (n, 1, 28, 28)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert y.shape == (n,)
    assert y.dtype == torch.int64
    assert (x.min(), x.max()) == (-1, 1)
    assert y.bincount().tolist() == CLASSES[split]


def test_mean_and_deviation_are_the_known_ones():
    unit = (data.mnist("train")[0].double() + 1) / 2
    assert unit.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert unit.std().item() == pytest.approx(0.3081, abs=5e-5)


def test_order_is_that_of_the_original_files():
    assert data.mnist("train")[1][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.mnist("test")[1][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_each_call_gives_its_own_tensors():
    x, _ = data.mnist("test")
    x.zero_()
    assert data.mnist("test")[0].min() == -1


def test_loading_is_fast():
    data.mnist("train")
    times = []  # of the processor, so that a busy machine does not fail the test
    for _ in range(3):
        start = time.process_time()
        data.mnist("train")
        times.append(time.process_time() - start)
    assert min(times) < 1.0


@pytest.mark.parametrize("split", ["validation", "Train", "", 0, None])
def test_wrong_split(split):
    with pytest.raises((TypeError, ValueError), match="split must be one of 'train', 'test'; received"):
        data.mnist(split)


def test_a_wrong_file_with_its_right_checksum_is_refused(data_copy):
    """Someone edits a file and the table: the bytes are as listed, and still not MNIST."""
    name = "mnist/t10k-labels-idx1-ubyte.gz"
    good = (data_copy / name).read_bytes()
    wrong = (good[:2000], b"not gzip", gzip.compress(gzip.decompress(good)[:-1]), good + b"tail")
    for content in (*wrong, gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 3) + b"abc")):
        (data_copy / name).write_bytes(content)
        data.record_checksum(name, origin="test", licence="test")
        images = data_copy / "mnist/t10k-images-idx3-ubyte.gz"
        images.write_bytes(
            gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 10_000, 28, 28) + bytes(7_840_000), 1)
        )
        data.record_checksum("mnist/t10k-images-idx3-ubyte.gz", origin="test", licence="test")
        with pytest.raises(data.DataFileError, match="t10k-labels"):
            data.mnist("test")


def test_parse_idx_by_hand():
    raw = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255])
    assert parse_idx(raw).tolist() == [[1, 2, 3], [4, 5, 255]]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "received nothing"),
        (b"\x00\x00\x08", "00 00 08"),
        (b"\x00\x00\x09\x01\x00\x00\x00\x01x", "00 00 09 01"),  # signed bytes
        (b"\x00\x00\x08\x00", "dimensions >= 1"),
        (b"\x01\x00\x08\x01\x00\x00\x00\x01x", "01 00 08 01"),
        (b"\x00\x00\x08\x03\x00\x00\x00\x01", "16 bytes; received 8"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x02x", "10 bytes; received 9"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x01xy", "9 bytes; received 10"),
        (b"\x00\x00\x08\x02" + b"\xff" * 8, "received 12"),  # 2**64 values: must not allocate or wrap
    ],
)
def test_parse_idx_refuses(raw, message):
    with pytest.raises(ValueError, match=message):
        parse_idx(raw)


def test_parse_idx_wants_bytes():
    with pytest.raises(TypeError, match="received str"):
        parse_idx("abc")


def test_from_uint8_by_hand_and_back():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    x = data.from_uint8(grey)
    assert x.shape == (1, 1, 16, 16)
    assert x[0, 0, 0, 0] == -1
    assert x[0, 0, 15, 15] == 1  # exactly, not 1.0000001
    assert x.flatten()[51].item() == pytest.approx(-0.6)
    assert np.array_equal(data.to_uint8(x), grey)


def test_from_uint8_moves_channels_first():
    colour = np.zeros((2, 4, 5, 3), np.uint8)
    colour[..., 0] = 255
    for pixels in (colour, torch.from_numpy(colour)):
        x = data.from_uint8(pixels)
        assert x.shape == (2, 3, 4, 5)
        assert x.is_contiguous()
        assert (x[:, 0] == 1).all()
        assert (x[:, 1:] == -1).all()
    assert np.array_equal(data.to_uint8(x), colour)


def test_from_uint8_copies():
    pixels = torch.zeros(1, 2, 2, dtype=torch.uint8)
    data.from_uint8(pixels).fill_(0.5)
    assert pixels.sum() == 0


def test_to_uint8_clips_and_rounds():
    x = torch.tensor([-7.0, -1.0, 0.0, 1.0, 2.0]).reshape(1, 1, 1, 5)
    assert data.to_uint8(x).tolist() == [[[0, 0, 128, 255, 255]]]


@pytest.mark.parametrize(
    ("pixels", "error"),
    [
        ([[1]], TypeError),
        (np.zeros((1, 2, 2), np.float32), TypeError),
        (torch.zeros(1, 2, 2), TypeError),
        (np.zeros((2, 2), np.uint8), ValueError),
        (np.zeros((1, 3, 8, 8), np.uint8), ValueError),  # channels first
        (np.zeros((0, 2, 2), np.uint8), ValueError),
    ],
)
def test_from_uint8_refuses(pixels, error):
    with pytest.raises(error, match="received"):
        data.from_uint8(pixels)


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.zeros((1, 1, 2, 2)), TypeError),
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), TypeError),
        (torch.zeros(1, 2, 2), ValueError),
        (torch.zeros(1, 2, 2, 2), ValueError),
        (torch.zeros(0, 1, 2, 2), ValueError),
        (torch.full((1, 1, 2, 2), float("nan")), ValueError),
    ],
)
def test_to_uint8_refuses(x, error):
    with pytest.raises(error, match="received"):
        data.to_uint8(x)


def test_one_colour_picture_is_not_taken_for_many_grey_ones():
    """(28, 28, 3) was 28 grey pictures of three pixels' width."""
    picture = np.zeros((28, 28, 3), np.uint8)
    with pytest.raises(
        ValueError, match=r"\(28, 28, 3\), one colour picture as it seems: pass pixels\[None\]"
    ):
        data.from_uint8(picture)
    assert data.from_uint8(picture[None]).shape == (1, 3, 28, 28)
