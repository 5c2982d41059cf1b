"""Faces are deterministic, match their attributes, and a damaged cache is rendered again."""

import builtins
import hashlib
import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from course_lib import data

pytest.importorskip("dicebear")
pytest.importorskip("resvg_py")

MODULE = importlib.import_module("course_lib.data.avatars")  # the attribute of that name is the function
DEFAULT_COLUMNS = {
    "accessories", "expression", "facial_hair", "head", "mask",
    "clothing_color", "head_contrast_color", "skin_color", "glasses",
}  # fmt: skip


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def equal(a, b):
    return torch.equal(a[0], b[0]) and all(np.array_equal(a[1][key], b[1][key]) for key in a[1] | b[1])


def test_faces_and_their_table():
    x, attributes = data.avatars(150)
    assert x.shape == (150, 3, 64, 64)
    assert x.dtype == torch.float32
    assert (x.min() >= -1, x.max()) == (True, 1)
    assert (x[:, :, 0, 0] == 1).all()  # white corners
    assert set(attributes) == DEFAULT_COLUMNS
    assert all(column.shape == (150,) and column.dtype.kind == "U" for column in attributes.values())
    assert set(attributes["glasses"]) == {"none", "glasses", "sunglasses"}
    assert len(set(attributes["head"])) > 20
    assert len(set(attributes["expression"])) > 15
    assert len(x.flatten(1).unique(dim=0)) >= 148  # of 50,400 equally likely ones and more, a few may meet


def test_the_table_describes_the_pixels():
    """The skin colour named in the table is a frequent colour of the face's middle."""
    x, attributes = data.avatars(40, size=128)
    pixels = data.to_uint8(x)
    hits = 0
    for image, colour in zip(pixels, attributes["skin_color"], strict=True):
        rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
        hits += (np.abs(image.astype(int) - rgb).max(2) <= 2).mean() > 0.05
    assert hits == 40


def test_sunglasses_are_darker_than_bare_eyes():
    x, attributes = data.avatars(600, size=32, progress=False)
    eyes = x[:, :, 12:18, 14:24].mean((1, 2, 3)).numpy()
    light = attributes["skin_color"] == "#ffdbb4"
    dark = attributes["glasses"] == "sunglasses"
    assert eyes[light & dark].mean() < eyes[light & (attributes["glasses"] == "none")].mean() - 0.2


def test_face_i_does_not_depend_on_n(own_cache):
    many = data.avatars(25, size=16)
    few = data.avatars(7, size=16)
    assert torch.equal(few[0], many[0][:7])
    assert all(np.array_equal(few[1][key], many[1][key][:7]) for key in many[1])


def test_the_cache_is_extended_and_gives_the_same(own_cache, monkeypatch):
    monkeypatch.setattr(MODULE, "_CHUNK", 10)
    fresh = data.avatars(25, size=16)
    for file in own_cache.rglob("*.sealed"):
        file.unlink()
    for n in (3, 10, 14, 25):  # within a chunk, to its end, beyond it, over several
        grown = data.avatars(n, size=16)
        assert torch.equal(grown[0], fresh[0][:n])
    assert equal(grown, fresh)
    assert len(list(own_cache.rglob("*.sealed"))) == 3
    monkeypatch.setattr(MODULE._Renderer, "__call__", lambda *_: pytest.fail("rendered again"))
    assert equal(data.avatars(25, size=16), fresh)
    assert torch.equal(data.avatars(12, size=16)[0], fresh[0][:12])


@pytest.mark.parametrize("damage", ["truncate", "alter", "foreign", "other shape"])
def test_a_damaged_cache_is_rendered_again(own_cache, damage):
    first = data.avatars(12, size=16)
    (file,) = own_cache.rglob("*.sealed")
    good = file.read_bytes()
    if damage == "truncate":
        file.write_bytes(good[: len(good) // 2])
    elif damage == "alter":
        file.write_bytes(good[:200] + bytes([good[200] ^ 1]) + good[201:])
    elif damage == "foreign":
        file.write_bytes(hashlib.sha256(b"junk").digest() + b"junk")
    else:
        data.avatars(12, size=24)
        (other,) = [f for f in own_cache.rglob("*.sealed") if "-24-" in str(f)]
        file.write_bytes(other.read_bytes())
    assert equal(data.avatars(12, size=16), first)
    assert file.read_bytes() == good


def test_seeds_and_styles_give_other_faces():
    base = data.avatars(20, size=16)[0]
    other = data.avatars(20, size=16, seed=1)[0]
    assert not any(torch.equal(a, b) for a in base for b in other)
    assert not torch.equal(base, data.avatars(20, size=16, style="personas")[0])


def test_the_same_in_every_process(tmp_path):
    code = """
import hashlib, json
from course_lib.data import avatars
x, attributes = avatars(8, size=32)
print(hashlib.sha256(x.numpy().tobytes()).hexdigest(), json.dumps({k: v.tolist() for k, v in attributes.items()}))
"""
    outputs = []
    for number in range(2):
        cache = {"COURSE_CACHE": str(tmp_path / str(number)), "PYTHONHASHSEED": str(number), "PATH": ""}
        run = subprocess.run(
            [sys.executable, "-c", code], env=cache, check=True, capture_output=True, text=True
        )
        outputs.append(run.stdout)
    assert outputs[0] == outputs[1]
    assert len(json.loads(outputs[0].split(" ", 1)[1])["head"]) == 8


@pytest.mark.parametrize("style", data.avatar_styles())
def test_every_style_renders_and_is_free_to_use(style):
    from importlib.resources import files

    x, attributes = data.avatars(12, size=32, style=style)
    assert x.shape == (12, 3, 32, 32)
    assert x.std() > 0.1
    assert len(x.flatten(1).unique(dim=0)) > 8
    assert attributes
    meta = json.loads(files("dicebear_styles").joinpath(f"{style}.json").read_text())["meta"]
    licence = meta["license"]["name"]
    assert licence in {"CC0 1.0", "CC BY 4.0"}
    assert data.avatar_styles()[style] == f"{licence}, {meta['creator']['name']}"


def test_columns_do_not_depend_on_n():
    assert list(data.avatars(1, size=16)[1]) == list(data.avatars(12, size=16)[1])


def test_glasses_column_of_a_style_that_wears_them_as_eyes():
    attributes = data.avatars(60, size=16, style="personas")[1]
    assert np.array_equal(attributes["glasses"] == "sunglasses", attributes["eyes"] == "sunglasses")
    assert np.array_equal(attributes["glasses"] == "glasses", attributes["eyes"] == "glasses")


def test_missing_libraries_say_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in {"dicebear", "resvg_py"}]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] == "resvg_py":
            raise ModuleNotFoundError("No module named 'resvg_py'", name="resvg_py")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'resvg_py is not installed.*pip install "course_lib\[avatars\]"'):
        data.avatars(1)


def test_a_full_disk_costs_the_cache_only(own_cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MODULE, "save_sealed", full)
    with pytest.warns(UserWarning, match="No space left"):
        x, _ = data.avatars(3, size=16)
    assert x.shape == (3, 3, 16, 16)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"n": 0}, ValueError),
        ({"n": -1}, ValueError),
        ({"n": 2.0}, TypeError),
        ({"n": None}, TypeError),
        ({"size": 7}, ValueError),
        ({"size": 1025}, ValueError),
        ({"size": float("nan")}, TypeError),
        ({"seed": -1}, ValueError),
        ({"seed": "x"}, TypeError),
        ({"style": "avataaars"}, ValueError),  # its licence is not one of the two
        ({"style": "../x"}, ValueError),
        ({"style": None}, TypeError),
        ({"progress": 1}, TypeError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error, match="received"):
        data.avatars(**{"n": 2, **arguments})
