"""The course on what Google Colab has: Python 3.13, the packages of its list, the setup cell, all chapters, unit tests.

tests/notebooks/test_colab.py asks the cheap questions on every push; this is the real thing. ``python -m
tools.colab_test`` makes the environment in ``.venv-colab`` (several GB, for torch brings CUDA; kept until the list or
the requirements change), lets the setup cell fetch the working tree as Colab would fetch the repository, and runs
everything in that clone. It needs a Python 3.13, which `PYTHON313` may name, and a network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tools import check
from tools.project import ROOT, CourseError
from tools.setup_cell import setup_source

LIST = ROOT / "tests" / "colab" / "packages.txt"
HOME = ROOT / ".venv-colab"
VERSION = "3.13"
EXTRA = "notebooks"  # what the setup cell installs
ALWAYS = ("pip", "setuptools", "wheel", "ipython", "ipykernel")  # on Colab whatever the course asks for
RUNNERS = (
    "pytest",
    "pytest-xdist",
    "nbval",
    "scikit-image",
)  # what runs the tests; Colab has the last one too
# The list's builds for another CUDA than that of the registry's torch, which brings the right ones itself.
GPU = ("nvidia", "cuda", "cudf", "cuml", "cugraph", "cupy", "cuvs", "cucim", "libcu", "pylibcu")
# Stands for the repository's address, so that the cell can be tried before the course has one.
ADDRESS = "https://github.com/reader/course"

# What this shell sets for itself and must not reach there.
OURS = ("PYTHONPATH", "VIRTUAL_ENV", "COURSE_BUDGET", "COURSE_DATA", "COURSE_SEED")

# Runs the cell twice in the environment's Python: Colab's module is there before, as it is on Colab.
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


def listed(lines: list[str]) -> dict[str, str]:
    """Name and version of each package of a list; lines of other forms (addresses, files) have no version to keep."""
    matches = (re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s/]+)", line.strip()) for line in lines)
    return {re.sub(r"[-_.]+", "-", match[1]).lower(): match[2] for match in matches if match}


def constraints(lines: list[str]) -> list[str]:
    """The list as pip's constraints: no local versions such as ``+cu128``, none of CUDA's own packages."""
    return [
        f"{name}=={version.partition('+')[0]}"
        for name, version in listed(lines).items()
        if not name.startswith(GPU)
    ]


def find_python(environ: Mapping[str, str] = os.environ) -> str:
    """A Python 3.13: the one that PYTHON313 names, else of the PATH, else of pyenv.

    Raises:
        CourseError: there is none.
    """
    pyenv = Path(environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    named = environ.get("PYTHON313")
    candidates = [
        shutil.which(f"python{VERSION}", path=environ.get("PATH", "")),
        *sorted(pyenv.glob(f"{VERSION}.*/bin/python{VERSION}"), reverse=True),
    ]
    for candidate in [named] if named else filter(None, candidates):
        try:  # pyenv puts a program of this name on the PATH even where it has no such version
            said = subprocess.run(
                [str(candidate), "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
                capture_output=True,
                text=True,
                check=False,
            ).stdout.strip()
        except OSError:
            continue
        if said == VERSION:
            return str(candidate)
    where = f"PYTHON313={named} is none" if named else f"none on the PATH or in {pyenv}"
    raise CourseError(
        f"expected a Python {VERSION}, as Colab has it; {where}. Nothing was tested: install one, or set PYTHON313"
    )


def requirements(root: Path = ROOT) -> list[str]:
    """What the setup cell makes pip install, apart from the library itself."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"][EXTRA]]


def worktree(folder: Path) -> Path:
    """Make `folder` a repository that holds the working tree as it is, committed or not."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, names):
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


def run_cell(
    python: Path, folder: Path, origin: Path, cell: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a setup cell in `folder` as on Colab, with `origin` in the place of the repository at `ADDRESS`.

    Returns:
        The finished process; what it printed ends in REPORT and JSON: versions before and after, course_lib's file.
    """
    (folder / "cell.py").write_text(cell, encoding="utf-8")
    stand_in = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{origin.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
        "GIT_TERMINAL_PROMPT": "0",
        "COURSE_BUDGET": "smoke",
    }
    return subprocess.run(
        [str(python), "-c", DRIVER, "cell.py"],
        cwd=folder,
        env={**_environment(), **stand_in, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OURS}


def changed(report: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Each package that the setup cell replaced or removed, by a report of `run_cell`."""
    for name, version in sorted(report["before"].items()):
        if (now := report["after"].get(name)) != version:
            yield f"{name} {version} became {now or 'nothing'}"


class Environment:
    """The environment of Colab's versions in `home`, made once per list, requirements and Python."""

    def __init__(self, home: Path = HOME) -> None:
        self.home = home
        self.python = home / "bin" / "python"
        self.content = home / "content"  # Colab's folder for what a notebook fetches
        self.course = self.content / ADDRESS.rsplit("/", 1)[1]

    def _pip(self, *arguments: str) -> str:
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise CourseError(f"pip {arguments[0]}: {(errors or [done.stderr.strip()])[0]}")
        return done.stdout

    def make(self) -> None:
        """Install what Colab has preinstalled of all that the course needs, and what runs the tests."""
        interpreter = find_python()
        lines = constraints(LIST.read_text(encoding="utf-8").splitlines())
        wanted = requirements()
        made_from = json.dumps([interpreter, lines, wanted, ALWAYS, RUNNERS])
        key = hashlib.sha256(made_from.encode()).hexdigest()
        note = self.home / "made_from.txt"
        if note.is_file() and note.read_text() == key:
            print(f"{self.home} is up to date", flush=True)
            return
        shutil.rmtree(self.home, ignore_errors=True)
        print(f"making {self.home} with {interpreter}; this fetches several GB", flush=True)
        subprocess.run([interpreter, "-m", "venv", str(self.home)], check=True)
        limits = self.home / "constraints.txt"
        limits.write_text("\n".join(lines) + "\n", encoding="utf-8")
        limited = ["install", "--quiet", "--constraint", str(limits)]
        self._pip(*limited, *ALWAYS)
        # What the list has comes now; what it lacks is left for the setup cell to fetch.
        has = dict(line.split("==") for line in lines)
        plan = json.loads(self._pip(*limited, "--dry-run", "--report", "-", *wanted))["install"]
        names = [re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower() for item in plan]
        self._pip(*limited, *(f"{name}=={has[name]}" for name in names if name in has), *RUNNERS)
        (self.home / "preinstalled.txt").write_text("\n".join(sorted(self._installed())), encoding="utf-8")
        note.write_text(key)

    def set_up(self) -> None:
        """Run the setup cell in an empty folder; it must fetch the course and change nothing that was there."""
        preinstalled = set((self.home / "preinstalled.txt").read_text(encoding="utf-8").split())
        if added := sorted(self._installed() - preinstalled):  # by the last run
            self._pip("uninstall", "--quiet", "--yes", *added)
        shutil.rmtree(self.content, ignore_errors=True)
        self.content.mkdir()
        done = run_cell(self.python, self.content, worktree(self.content / "origin"), setup_source(ADDRESS))
        if done.returncode:
            raise CourseError(
                f"the setup cell failed: {(done.stderr.strip().splitlines() or ['in silence'])[-1]}"
            )
        said, _, report = done.stdout.partition("REPORT")
        print(said, end="")
        report = json.loads(report)
        if found := list(changed(report)):
            raise CourseError(f"the setup cell changed what Colab brings: {'; '.join(found)}")
        if not Path(report["file"]).is_relative_to(self.course / "src"):
            raise CourseError(f"expected course_lib in {self.course}, found {report['file']}")
        print(f"added: {', '.join(sorted(set(report['after']) - set(report['before'])))}", flush=True)

    def run(self, step: str) -> None:
        """One step of `make test` in the clone."""
        environment = {
            **_environment(),
            **check.ENVIRONMENT.get(step, {}),
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else each kernel prints four lines about its debugger
        }
        command = [str(self.python), *check.STEPS[step][1:]]
        if subprocess.run(command, cwd=self.course, env=environment, check=False).returncode:
            raise CourseError("what failed stands above")

    def _installed(self) -> set[str]:
        code = "import importlib.metadata as m; print(*{d.metadata['Name'] for d in m.distributions()})"
        command = [str(self.python), "-c", code]
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def main() -> int:
    """Make the environment, set up the course, run its chapters and unit tests; print a table, return a status."""
    environment = Environment()
    steps: dict[str, Callable[[], None]] = {
        "environment": environment.make,
        "setup cell": environment.set_up,
        "smoke": lambda: environment.run("smoke"),
        "unit": lambda: environment.run("unit"),
    }
    table = []
    for name, step in steps.items():
        print(f"\n=== {name}", flush=True)
        start, status = time.monotonic(), 0
        try:
            step()
        except CourseError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 1
        table.append((name, status, time.monotonic() - start))
        if status and name in ("environment", "setup cell"):
            break  # nothing to go on with
    check.print_summary(table)
    return int(any(status for _, status, _ in table))


if __name__ == "__main__":
    sys.exit(main())
