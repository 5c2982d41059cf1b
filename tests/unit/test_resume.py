"""Training snapshots: what goes in comes out, an interrupted write changes nothing, a broken file is named."""

import math
import os

import pytest
import safetensors.torch
import torch
from torch import nn

from course_lib import training
from course_lib.data import DataFileError
from course_lib.training.resume import Snapshot, Snapshots, differences


def equal(a, b):
    """Same types, same numbers bit for bit, same order in memory."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, torch.Tensor):
        same = (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
        return same and torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))
    return a == b or (a != a and b != b)


def test_what_is_saved_comes_back_exactly(tmp_path):
    tied = torch.randn(3)
    state = {
        "nested": {0: torch.tensor(3.0), 1: [1, (2.5, None, True)], "0": "a string, not key 0"},
        "numbers": {
            "third": 1 / 3,
            "inf": -math.inf,
            "nan": math.nan,
            "big": 2**60,
            "none": None,
            "no": False,
        },
        "dtypes": [torch.ones(2, dtype=t) for t in (torch.float16, torch.bfloat16, torch.int64, torch.bool)],
        "generator": torch.Generator().manual_seed(5).get_state(),
        "layouts": [
            torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last),
            torch.randn(4, 3, 1, 1).to(memory_format=torch.channels_last),
            torch.randn(3, 5).t(),
        ],
        "empty": [torch.empty(0), {}, [], ()],
        "tied": (tied, tied),
        "a/b": torch.zeros(1),
        "a": {"b": torch.ones(1)},
    }
    snapshot = training.Snapshot(tmp_path / "new" / "folder" / "1.safetensors")
    snapshot.save(state)
    assert equal(snapshot.load(), state)
    assert not equal(snapshot.load(), {**state, "a": {"b": torch.zeros(1)}})  # `equal` can tell


def test_a_slice_is_saved_without_what_surrounds_it(tmp_path):
    """And comes back dense: the strides of a slice describe memory that is not saved."""
    snapshot, whole = Snapshot(tmp_path / "x"), torch.arange(20.0).view(4, 5)
    snapshot.save({"slice": whole[:, :2], "repeated": torch.ones(1).expand(3)})
    found = snapshot.load()
    assert torch.equal(found["slice"], whole[:, :2])
    assert torch.equal(found["repeated"], torch.ones(3))
    assert found["slice"].untyped_storage().nbytes() == 8 * 4


def test_an_optimizer_goes_on_from_its_moments(tmp_path):
    """Keys that are numbers must come back as numbers: by others an optimizer does not find its parameters."""

    def step(net, optimizer):
        optimizer.zero_grad()
        net(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    def pair():
        torch.manual_seed(0)
        net = nn.Linear(3, 2)
        return net, torch.optim.AdamW(net.parameters(), 0.1)

    net, optimizer = pair()
    step(net, optimizer)
    Snapshot(tmp_path / "x").save({"net": net.state_dict(), "optimizer": optimizer.state_dict()})
    step(net, optimizer)
    other, its_optimizer = pair()
    found = Snapshot(tmp_path / "x").load()
    other.load_state_dict(found["net"])
    its_optimizer.load_state_dict(found["optimizer"])
    step(other, its_optimizer)
    assert torch.equal(other.weight, net.weight)


def test_the_file_is_plain_safetensors(tmp_path):
    Snapshot(tmp_path / "x").save({"model": {"weight": torch.ones(2)}, "images_seen": 7})
    assert list(safetensors.torch.load_file(tmp_path / "x")) == ["model/weight"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_older_file(tmp_path, monkeypatch, function):
    snapshot = Snapshot(tmp_path / "1.safetensors")
    snapshot.save({"x": torch.zeros(3)})

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, function, interrupt)
        with pytest.raises(KeyboardInterrupt):
            snapshot.save({"x": torch.ones(3)})
    assert torch.equal(snapshot.load()["x"], torch.zeros(3))
    assert [path.name for path in tmp_path.iterdir()] == ["1.safetensors"]


def test_a_loaded_state_outlives_the_next_save(tmp_path):
    snapshot = Snapshot(tmp_path / "1.safetensors")
    snapshot.save({"x": torch.zeros(1000)})
    found = snapshot.load()["x"]
    snapshot.save({"x": torch.ones(1000)})
    assert torch.equal(found, torch.zeros(1000))


def test_broken_and_foreign_files_are_refused_by_name(tmp_path):
    path = tmp_path / "1.safetensors"
    snapshot = Snapshot(path)
    with pytest.raises(DataFileError, match=r"1\.safetensors: expected a training snapshot, found no file"):
        snapshot.load()
    snapshot.save({"x": torch.arange(100.0), "lr": 0.125})
    content = path.read_bytes()
    for length in (0, 5, 100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DataFileError, match=r"1\.safetensors is truncated or no safetensors file"):
            snapshot.load()
    altered_tensor = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
    altered_number = content.replace(b"0.125", b"0.625")
    for other in (altered_tensor, altered_number):
        assert other != content
        path.write_bytes(other)
        with pytest.raises(
            DataFileError, match=r"1\.safetensors is altered: expected sha256 \w{64}, found \w{64}"
        ):
            snapshot.load()
    path.write_bytes(safetensors.torch.save({"x": torch.ones(3)}))
    with pytest.raises(DataFileError, match=r"1\.safetensors is no training snapshot"):
        snapshot.load()
    path.write_text("something else altogether")
    with pytest.raises(DataFileError, match="no safetensors file"):
        snapshot.load()


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ([1], "state: expected a dict"),
        ({"model": {"f": print}}, "state/model/f: .* got builtin_function_or_method"),
        ({"model": [1, {2, 3}]}, "state/model/1: .* got set"),
        ({"a": {1.5: 2}}, r"state/a: expected keys .* got 1\.5"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_place(tmp_path, state, match):
    snapshot = Snapshot(tmp_path / "x")
    with pytest.raises(TypeError, match=match):
        snapshot.save(state)
    assert not list(tmp_path.iterdir())


def test_a_run_numbers_its_loops_and_a_new_run_clears_the_folder_when_it_begins(tmp_path):
    folder = tmp_path / "run"
    run = Snapshots(folder, {})
    assert [run.next().path.name for _ in range(3)] == [
        "1-b.safetensors",
        "2-b.safetensors",
        "3-b.safetensors",
    ]
    (folder).mkdir()
    for name in ("1-b.safetensors", "2-a.safetensors", ".2-a.safetensors.0123456789ab.tmp"):
        (folder / name).write_text(name)
    assert Snapshots(folder, {}, resume=True).next().path.read_text() == "1-b.safetensors"
    new = Snapshots(folder, {})
    assert len(list(folder.iterdir())) == 3  # nothing is lost before the first loop begins
    first = new.next()
    assert not folder.exists()
    first.save({})
    new.next()
    assert first.path.exists()
    (folder / "notes.txt").write_text("mine")
    new.remove()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    with pytest.raises(ValueError, match=r"expected a training snapshot in .*run, found none"):
        Snapshots(folder, {}, resume=True)


def test_differences_are_named_and_few():
    assert differences({"a": 1, "b": (2,)}, {"b": (2,), "a": 1}) == ""
    assert (
        differences({"a": 1, "c": None}, {"a": 2}) == "expected a = 1, found 2; expected c = None, found none"
    )
    assert differences({}, {"a": 2}) == "expected no a, found 2"
    many = differences(dict.fromkeys("abcde", 1), dict.fromkeys("abcde", 2))
    assert many.count("expected") == 3
    assert many.endswith("; and 2 more")
    assert "\n" not in many


def test_somebody_elses_safetensors_stay(tmp_path):
    """A folder that held the reader's own weights lost them when a run began."""
    mine = tmp_path / "my.safetensors"
    safetensors.torch.save_file({"w": torch.ones(2)}, mine)
    Snapshot(tmp_path / "1.safetensors").save({"of": "an earlier run"})
    Snapshots(tmp_path, {}).next()
    assert mine.exists()
    assert not (tmp_path / "1.safetensors").exists()
    with pytest.raises(ValueError, match=r"found none"):
        Snapshots(tmp_path, {}, resume=True)


def test_a_foreign_file_of_the_same_name_is_neither_deleted_nor_overwritten(tmp_path):
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "1-a.safetensors")
    with pytest.raises(ValueError, match=r"1-[ab]\.safetensors: expected none, or a training snapshot"):
        Snapshots(tmp_path, {}).next()
    assert (tmp_path / "1-a.safetensors").exists()


def test_a_full_disk_is_named_with_the_file_and_what_to_do(tmp_path, monkeypatch):
    snapshot = Snapshot(tmp_path / "1.safetensors")
    snapshot.save({"step": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left.*intact.*1\.safetensors"):
        snapshot.save({"step": 2})
    assert snapshot.load() == {"step": 1}
