"""Verified reading, atomic writing, the cache folder."""

import hashlib
import os
import re
import warnings

import numpy as np
import pytest

from course_lib import data
from course_lib.data import files
from course_lib.data.sealed import load_sealed, save_sealed

LABELS = "mnist/t10k-labels-idx1-ubyte.gz"


def test_every_listed_file_is_there_and_right():
    table = files.checksums()
    assert len(table) >= 7
    for path, digest in table.items():
        assert hashlib.sha256(data.read_verified(path)).hexdigest() == digest


def test_every_file_is_listed_with_its_size():
    folder = data.data_folder()
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    # Checkpoints are listed by those who train them; their own tests see to it.
    present = {path for path in present if not path.startswith("checkpoints/")} - {
        "README.md",
        ".gitattributes",
    }
    assert present <= set(files.checksums())
    text = (folder / "README.md").read_text()
    for path in present:
        assert re.search(rf"`{re.escape(path)}`.*\| {(folder / path).stat().st_size:,} \|", text), path


def test_no_photograph_is_large_and_the_folder_is_small():
    folder = data.data_folder()
    sizes = {path.name: path.stat().st_size for path in (folder / "images").iterdir()}
    assert sizes.pop("cifar10_test_500.png") < 1_100_000  # 500 small pictures, 2.1 kB each
    assert max(sizes.values()) <= 150_000
    assert sum(path.stat().st_size for path in (folder / "mnist").iterdir()) < 12_000_000


@pytest.mark.parametrize("damage", ["alter", "truncate", "empty"])
def test_damaged_file_is_named_with_both_checksums_and_the_way_back(data_copy, damage):
    path = data_copy / LABELS
    good = path.read_bytes()
    data.read_verified(LABELS)  # verified once: the damage must be seen all the same
    bad = {"alter": good[:-9] + bytes([good[-9] ^ 1]) + good[-8:], "truncate": good[:1000], "empty": b""}[
        damage
    ]
    path.write_bytes(bad)
    os.utime(path, ns=(1, 1))
    with pytest.raises(data.DataFileError) as caught:
        data.read_verified(LABELS)
    message = str(caught.value)
    assert str(path) in message
    assert hashlib.sha256(good).hexdigest() in message
    assert hashlib.sha256(bad).hexdigest() in message
    assert f"git checkout -- data/{LABELS}" in message


def test_missing_file(data_copy):
    (data_copy / "images/coffee.png").unlink()
    with pytest.raises(
        data.DataFileError, match=r"coffee\.png.*missing.*git checkout -- data/images/coffee\.png"
    ):
        data.photo("coffee")


def test_a_damaged_file_is_not_believed_through_the_public_function(data_copy):
    path = data_copy / "images/coffee.png"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(data.DataFileError, match="expected sha256"):
        data.photo("coffee")


def test_each_file_is_hashed_once(data_copy, monkeypatch):
    data.read_verified(LABELS)
    monkeypatch.setattr(files.hashlib, "sha256", lambda *_: pytest.fail("hashed again"))
    assert data.read_verified(LABELS) == (data_copy / LABELS).read_bytes()


def test_unlisted_file_is_refused(data_copy):
    (data_copy / "images/new.png").write_bytes(b"x")
    with pytest.raises(data.DataFileError, match="not listed"):
        data.read_verified("images/new.png")


def test_contradicting_rows_are_refused(data_copy):
    with (data_copy / "README.md").open("a") as readme:
        readme.write(f"\n| `{LABELS}` | x | y | `{'0' * 64}` |\n")
    with pytest.raises(data.DataFileError, match="twice"):
        data.read_verified(LABELS)


@pytest.mark.parametrize("path", ["/etc/passwd", "../README.md", "images/../../x", "", "images\\coffee.png"])
def test_paths_stay_in_the_data_folder(path):
    with pytest.raises(ValueError, match="below the data folder"):
        data.read_verified(path)


def test_path_must_be_a_string():
    with pytest.raises(TypeError, match="received int"):
        data.read_verified(3)


@pytest.mark.parametrize("exists", [True, False])
def test_absent_data_folder_says_what_to_do(monkeypatch, tmp_path, exists):
    folder = tmp_path / "nowhere"
    if exists:
        folder.mkdir()
    monkeypatch.setenv("COURSE_DATA", str(folder))
    with pytest.raises(data.DataFileError, match="Clone the whole repository"):
        data.mnist()


def test_record_checksum_adds_then_updates_one_row(data_copy):
    new = data_copy / "checkpoints" / "tiny.safetensors"
    for content in (b"first", b"second"):
        data.write_atomically(new, content)
        digest = data.record_checksum("checkpoints/tiny.safetensors", origin="this course", licence="MIT")
        assert digest == hashlib.sha256(content).hexdigest()
        assert data.read_verified("checkpoints/tiny.safetensors") == content
    assert (data_copy / "README.md").read_text().count("tiny.safetensors") == 1
    assert "checkpoints/tiny.safetensors" in files.checksums()
    assert len(files.checksums()) >= 8  # the other rows stayed


def test_record_checksum_starts_a_table_if_there_is_none(data_copy):
    (data_copy / "README.md").write_text("# Data\n")
    data.record_checksum("images/coffee.png", origin="a", licence="b")
    assert list(files.checksums()) == ["images/coffee.png"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"origin": "a|b", "licence": "c"}, ValueError),
        ({"origin": "", "licence": "c"}, ValueError),
        ({"origin": "a", "licence": None}, TypeError),
        ({"relative_path": "images/none.png", "origin": "a", "licence": "c"}, data.DataFileError),
        ({"relative_path": "../x", "origin": "a", "licence": "c"}, ValueError),
    ],
)
def test_record_checksum_refuses(data_copy, arguments, error):
    with pytest.raises(error):
        data.record_checksum(**{"relative_path": "images/coffee.png", **arguments})


def test_write_atomically_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file"
    data.write_atomically(path, b"one")
    assert data.write_atomically(str(path), bytearray(b"two")) == path
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_written_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    data.write_atomically(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_interrupted_write_keeps_the_old_file_and_nothing_half_written(tmp_path, monkeypatch, failing, error):
    path = tmp_path / "file"
    data.write_atomically(path, b"old")

    def fail(*_):
        raise error

    monkeypatch.setattr(files.os, failing, fail)
    with pytest.raises(type(error)):
        data.write_atomically(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("path", "content"), [("x", "text"), ("x", None), (3, b""), (None, b"")])
def test_write_atomically_refuses(path, content):
    with pytest.raises(TypeError, match="received"):
        data.write_atomically(path, content)


def test_cache_folder_is_made_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "a" / "b"))
    assert data.cache_folder() == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
    assert not list((tmp_path / "a" / "b").iterdir())


def test_cache_folder_without_the_variable_is_below_home(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.cache_folder() == tmp_path / ".cache" / "generative-modelling-course"


def test_unwritable_cache_folder_falls_back_with_one_notice(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("a file where a folder is wanted: fails for root too")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    with pytest.warns(UserWarning, match="cannot be written.*COURSE_CACHE") as caught:
        folder = data.cache_folder()
    assert len(caught) == 1
    assert folder.parent == tmp_path
    data.write_atomically(folder / "works", b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data.cache_folder() == folder


def test_read_only_cache_folder_falls_back(monkeypatch, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()

    def read_only(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setenv("COURSE_CACHE", str(cache))
    monkeypatch.setattr(files.tempfile, "TemporaryFile", read_only)
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    with pytest.warns(UserWarning, match="Read-only file system"):
        assert data.cache_folder() != cache


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:40] + b"x" + b[41:], lambda b: b"", lambda b: b[32:]]
)
def test_damaged_sealed_file_is_none(tmp_path, damage):
    path = tmp_path / "x.sealed"
    save_sealed(path, {"a": np.arange(5), "b": np.array(["u", "vw"])})
    loaded = load_sealed(path)
    assert loaded["a"].tolist() == [0, 1, 2, 3, 4]
    assert loaded["b"].tolist() == ["u", "vw"]
    path.write_bytes(damage(path.read_bytes()))
    assert load_sealed(path) is None
    assert load_sealed(tmp_path / "absent") is None


def test_sealed_files_hold_no_objects(tmp_path):
    with pytest.raises(TypeError, match="object"):
        save_sealed(tmp_path / "x", {"a": np.array([{}])})


def _record_many(folder, first):
    os.environ["COURSE_DATA"] = str(folder)
    for i in range(first, first + 15):
        data.record_checksum(f"new/{i}.txt", origin="test", licence="MIT")


def test_rows_recorded_by_two_processes_at_once_are_all_kept(tmp_path):
    """Of 30 rows 22 were left."""
    import multiprocessing

    (tmp_path / "README.md").write_text("# Data\n")
    for i in range(30):
        data.write_atomically(tmp_path / f"new/{i}.txt", b"x")
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_record_many, args=(tmp_path, first)) for first in (0, 15)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "README.md").read_text().count("`new/") == 30


def test_the_stand_in_for_the_cache_is_the_same_for_every_process(monkeypatch, tmp_path):
    """A new one per process left folders behind, and nothing in them could be resumed."""
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    first = files._stand_in()
    (first / "kept").write_text("x")
    assert files._stand_in() == first
    assert first.stat().st_mode & 0o777 == 0o700
    first.chmod(0o777)  # anybody may have put something there
    other = files._stand_in()
    assert other != first
    assert not (other / "kept").exists()


def test_a_folder_that_cannot_be_written_is_told_of_before_the_work(tmp_path):
    data.require_writable(tmp_path / "made", "the weights")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PermissionError, match=r"expected to be able to write the weights to .*file"):
        data.require_writable(tmp_path / "file" / "below", "the weights")
