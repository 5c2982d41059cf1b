"""On Colab: the notebooks' own setup cell in a fresh environment, and the package list of its runtime.

`make colab-test` runs the course on these packages; here only what takes seconds and needs no network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.version import Version

from tests.notebooks import colab
from tools import colab_test
from tools.notebooks import read, text
from tools.project import CourseError, notebooks, repository
from tools.setup_cell import setup_source

LINES = colab_test.LIST.read_text(encoding="utf-8").splitlines()
HAVE = colab.preinstalled(LINES)


def test_the_list_is_colabs() -> None:
    assert len(HAVE) > 600
    assert HAVE["torch"] >= Version("2.11")


def test_colab_keeps_every_preinstalled_package() -> None:
    assert list(colab.changes(colab_test.requirements(), HAVE)) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("numpy>=2.2", "course_lib requires numpy>=2.2; Colab has 2.1.3"),
        ("torch<2.11", "course_lib requires torch<2.11; Colab has 2.11.0+cu128"),
        ("no-such-package-of-the-course", "cannot follow it"),
        ('ipywidgets>=8; python_version >= "3.13"', "requires ipywidgets>=8; Colab has 7.7.1"),
    ],
)
def test_a_requirement_that_would_change_something_is_named(line: str, message: str) -> None:
    assert any(message in found for found in colab.changes([line], HAVE))


def test_a_requirement_of_a_package_that_colab_lacks_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colab, "requires", {"new-package": ["Pillow>=99", "tqdm>=4"]}.get)
    assert list(colab.changes(["New_Package"], HAVE)) == ["new-package requires Pillow>=99; Colab has 11.3.0"]


def test_constraints_leave_out_what_is_cudas_own() -> None:
    lines = [
        "# torch==1.0",
        "torch==2.11.0+cu128",
        "nvidia-nccl-cu12==2.1",
        "cuda-python==12.6",
        "a @ file:///b",
    ]
    assert colab_test.constraints([*lines, "POT==0.9.7"]) == ["torch==2.11.0", "pot==0.9.7"]
    assert "ipywidgets==7.7.1" in colab_test.constraints(LINES)


def interpreter(path: Path, says: str) -> Path:
    """A program that answers every question like an interpreter of that version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)
    return path


def test_the_interpreter_is_the_named_one_else_of_the_path_else_of_pyenv(tmp_path: Path) -> None:
    named = interpreter(tmp_path / "mine" / "python", "3.13")
    on_path = interpreter(tmp_path / "bin" / "python3.13", "3.13")
    of_pyenv = interpreter(tmp_path / "pyenv" / "versions" / "3.13.0" / "bin" / "python3.13", "3.13")
    everything = {
        "PYTHON313": str(named),
        "PATH": str(on_path.parent),
        "PYENV_ROOT": str(tmp_path / "pyenv"),
    }
    assert colab_test.find_python(everything) == str(named)
    everything.pop("PYTHON313")
    assert colab_test.find_python(everything) == str(on_path)
    interpreter(on_path, "pyenv: no such version")  # what pyenv puts there
    assert colab_test.find_python(everything) == str(of_pyenv)


def test_without_the_interpreter_nothing_is_tested_and_said_to_be(tmp_path: Path) -> None:
    nowhere = {"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    with pytest.raises(CourseError, match=r"expected a Python 3\.13.*none on the PATH.*Nothing was tested"):
        colab_test.find_python(nowhere)
    with pytest.raises(CourseError, match=r"PYTHON313=/no/python is none"):
        colab_test.find_python({**nowhere, "PYTHON313": "/no/python"})


def test_markers_are_those_of_colab() -> None:
    assert (
        list(
            colab.changes(['numpy>=99; python_version < "3.13"', 'numpy>=99; sys_platform == "win32"'], HAVE)
        )
        == []
    )


def setup_cell() -> str:
    """The cell as the first chapter has it, with the address that `origin` stands in for."""
    cell = next(text(cell) for cell in read(notebooks()[0])["cells"] if cell["id"] == "setup")
    return cell.replace(repository(), colab_test.ADDRESS)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colab_test.worktree(tmp_path_factory.mktemp("origin") / "course")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh, empty environment."""
    folder = tmp_path_factory.mktemp("colab") / "env"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python"


def run_cell(python: Path, folder: Path, origin: Path, cell: str) -> subprocess.CompletedProcess[str]:
    """Run the cell in `folder`; whatever it would have to fetch from a network fails.

    This environment's packages stand for those that Colab has preinstalled. They come by PYTHONPATH, which unlike a
    site folder does not read .pth files: the editable course_lib of this environment stays out of sight.
    """
    offline = {
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this switch the wrong way round: 0 turns isolation off
        "PIP_CONFIG_FILE": os.devnull,
    }
    return colab_test.run_cell(python, folder, origin, cell, offline)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_the_cell_sets_up_the_course_and_a_restarted_session_does_again(
    python: Path, place: Path, origin: Path
) -> None:
    done = run_cell(python, place, origin, setup_cell())
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.partition("REPORT")[2])
    clone = place / colab_test.ADDRESS.rsplit("/", 1)[1]
    assert Path(report["file"]).is_relative_to(clone / "src")
    assert list(colab_test.changed(report)) == []
    assert {name.replace("-", "_") for name in set(report["after"]) - set(report["before"])} <= {"course_lib"}
    assert "smoke" in done.stdout
    assert run_cell(python, place, origin, setup_cell()).returncode == 0  # in a restarted session


def test_an_address_that_is_not_set_ends_in_one_clear_line(python: Path, place: Path, origin: Path) -> None:
    done = run_cell(python, place, origin, setup_source("https://github.com/OWNER/course"))
    assert done.returncode != 0
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("RuntimeError: expected the address of this course's repository, found https://")
    assert "replace OWNER" in line
    assert not list(place.glob("course*"))


def test_a_failing_fetch_ends_in_one_clear_line(python: Path, place: Path) -> None:
    done = run_cell(python, place, place / "nowhere", setup_cell())
    assert done.returncode != 0
    line = done.stderr.strip().splitlines()[-1]
    for part in (
        "RuntimeError: expected to set up the course from",
        "git said: fatal:",
        "run this cell again",
    ):
        assert part in line


def test_a_requirement_that_must_be_fetched_fails(python: Path, place: Path, origin: Path) -> None:
    """The test above proves something only if a package that is not there would have made it fail."""
    spoilt = place / "origin"
    shutil.copytree(origin, spoilt)
    project = spoilt / "pyproject.toml"
    project.write_text(
        project.read_text(encoding="utf-8").replace('"numpy>=1.26"', '"numpy>=99"'), encoding="utf-8"
    )
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, "commit", "-aqm", "asks for too much"], cwd=spoilt, check=True)
    done = run_cell(python, place, spoilt, setup_cell())
    assert "numpy>=99" in done.stderr.strip().splitlines()[-1]
