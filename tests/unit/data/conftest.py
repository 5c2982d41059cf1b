"""Nothing in these tests reads or writes the reader's own cache folder."""

import shutil

import pytest

from course_lib.data import files


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, session_cache):
    monkeypatch.setenv("COURSE_CACHE", str(session_cache))
    monkeypatch.delenv("COURSE_DATA", raising=False)


@pytest.fixture
def data_copy(tmp_path, monkeypatch):
    """A writable copy of the data folder (without the large files), which the library reads instead."""
    copy = tmp_path / "data"
    for name in ("README.md", "images", "mnist/t10k-labels-idx1-ubyte.gz"):
        source = files.data_folder() / name
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    monkeypatch.setenv("COURSE_DATA", str(copy))
    return copy
