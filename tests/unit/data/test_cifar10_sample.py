"""The sample is the beginning of CIFAR-10's test set, pixel for pixel, and a damaged file is refused."""

import hashlib
import json

import numpy as np
import pytest
import torch

from course_lib import data

MOSAIC, LABELS = "images/cifar10_test_500.png", "images/cifar10_test_500.json"


def test_shapes_and_ranges():
    x, y = data.cifar10_sample()
    assert x.shape == (500, 3, 32, 32)
    assert x.dtype == torch.float32
    assert (x.min(), x.max()) == (-1, 1)
    assert y.shape == (500,)
    assert y.dtype == torch.int64


def test_the_first_labels_and_pixels_are_the_published_ones():
    """What every reader of CIFAR-10 gives first: a cat, two ships, an airplane, and the cat's brown corner."""
    x, y = data.cifar10_sample()
    assert y[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert data.to_uint8(x[:1])[0, 0, :3].tolist() == [[158, 112, 49], [159, 111, 47], [165, 116, 51]]


def test_label_counts_are_unselected():
    _, y = data.cifar10_sample()
    assert y.bincount().tolist() == [57, 41, 51, 49, 40, 48, 54, 47, 57, 56]


def test_all_pixels():
    """Sums and a checksum of the 500 images one after the other, taken from the full test set, not from the PNG."""
    pixels = data.to_uint8(data.cifar10_sample()[0])
    assert pixels.sum((0, 1, 2), dtype=np.int64).tolist() == [65_509_546, 64_353_090, 59_822_930]
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == (
        "8f2427926825821b6e0de483aa537ca1419ff2a5b82cc5e436d5dfc50e85cc7a"
    )


def test_images_are_cut_at_their_borders():
    """A picture is smooth inside, two neighbours of the mosaic differ: a shifted cut would mix them."""
    x, _ = data.cifar10_sample()
    inside = (x[:, :, :, 16] - x[:, :, :, 15]).abs().mean()
    across = (x[1:, :, :, 0] - x[:-1, :, :, 31]).abs().mean()
    assert across > 4 * inside


@pytest.mark.parametrize("path", [MOSAIC, LABELS])
@pytest.mark.parametrize("damage", ["alter", "truncate", "missing"])
def test_a_damaged_file_is_refused(data_copy, path, damage):
    file = data_copy / path
    good = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(
            good[:100] + bytes([good[100] ^ 1]) + good[101:] if damage == "alter" else good[:100]
        )
    with pytest.raises(data.DataFileError, match=f"git checkout -- data/{path}"):
        data.cifar10_sample()


def test_a_wrong_file_with_its_right_checksum_is_refused(data_copy):
    data.write_atomically(data_copy / LABELS, json.dumps({"labels": [0] * 499}).encode())
    data.record_checksum(LABELS, origin="a", licence="b")
    with pytest.raises(data.DataFileError, match=r"found pixels of shape .* and 499 labels"):
        data.cifar10_sample()
