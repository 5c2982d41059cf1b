"""On Colab: the notebooks' own setup cell in a fresh environment, and the package list of its runtime."""

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
from tools.notebooks import read, text
from tools.project import ROOT, notebooks, repository

HAVE = colab.preinstalled(colab.LIST.read_text(encoding="utf-8").splitlines())
EXTRAS = ("notebooks",)  # what the setup cell installs


def test_the_list_is_colabs() -> None:
    assert len(HAVE) > 600
    assert HAVE["torch"] >= Version("2.6")


def test_colab_keeps_every_preinstalled_package() -> None:
    assert list(colab.changes(colab.library_requirements(ROOT, EXTRAS), HAVE)) == []


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


def test_markers_are_those_of_colab() -> None:
    assert (
        list(
            colab.changes(['numpy>=99; python_version < "3.13"', 'numpy>=99; sys_platform == "win32"'], HAVE)
        )
        == []
    )


# Runs in the fresh environment: Colab's module is there before the cell runs, as it is on Colab.
DRIVER = """
import importlib, importlib.metadata as metadata, json, sys, types
sys.modules["google"] = types.ModuleType("google")
sys.modules["google.colab"] = types.ModuleType("google.colab")
cell = open(sys.argv[1], encoding="utf-8").read()
versions = lambda: {d.metadata["Name"]: d.version for d in metadata.distributions()}
report = {"before": versions()}
for _ in range(2):
    exec(compile(cell, "setup", "exec"), {"__name__": "__main__"})
importlib.invalidate_caches()
import course_lib
report.update(after=versions(), file=course_lib.__file__)
print("REPORT" + json.dumps(report))
"""


def setup_cell() -> str:
    """The cell as the first chapter has it."""
    return next(text(cell) for cell in read(notebooks()[0])["cells"] if cell["id"] == "setup")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that holds the working tree as it is, committed or not."""
    folder = tmp_path_factory.mktemp("origin") / "course"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    for command in (
        ["init", "-q"],
        ["add", "-A", "-f"],
        [*identity, "commit", "-q", "-m", "the working tree"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


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
    (folder / "cell.py").write_text(cell, encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this switch the wrong way round: 0 turns isolation off
        "PIP_CONFIG_FILE": os.devnull,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{origin.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": repository(),
        "GIT_TERMINAL_PROMPT": "0",
        "COURSE_BUDGET": "smoke",
    }
    for name in ("VIRTUAL_ENV", "COURSE_DATA"):
        environment.pop(name, None)
    return subprocess.run(
        [str(python), "-c", DRIVER, "cell.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_the_cell_sets_up_the_course(python: Path, place: Path, origin: Path) -> None:
    done = run_cell(python, place, origin, setup_cell())
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.partition("REPORT")[2])
    clone = place / repository().rsplit("/", 1)[1]
    assert Path(report["file"]).is_relative_to(clone / "src")
    before, after = report["before"], report["after"]
    assert {name: after.get(name) for name in before} == before
    assert {name.replace("-", "_") for name in set(after) - set(before)} <= {"course_lib"}
    assert "smoke" in done.stdout


def test_a_restarted_session_sets_up_again(python: Path, place: Path, origin: Path) -> None:
    assert run_cell(python, place, origin, setup_cell()).returncode == 0
    assert run_cell(python, place, origin, setup_cell()).returncode == 0


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
