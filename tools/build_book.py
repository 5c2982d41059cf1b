"""Build the book: execute the chapters, then let Sphinx make the pages, strictly. It always ends with a book.

A chapter in which a cell fails gets its page too, with a box that says so; pages with a warning are written all the
same. Whatever was wrong is listed at the end, and the exit status is 1. One line per step goes to the terminal; what
kernels and Sphinx say besides goes to log files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from tools import edition
from tools.execute import THREADS, Executed, execute
from tools.pictures import lighten
from tools.project import EXECUTED, ROOT, SITE, VENDOR, CourseError, every_notebook

BUDGET = "cpu"
LOGS = ROOT / "_build" / "logs"
LAST_LINES = 40  # of a log, shown where a step failed


def _content(path: Path) -> bytes:
    """A file's identity: the content of sources, size and time of large data (a restored file gets a new time)."""
    status = path.stat()
    if status.st_size > 1_000_000:
        return f"{status.st_size} {status.st_mtime_ns}".encode()
    return path.read_bytes()


def execution_key(root: Path = ROOT, budget: str = BUDGET) -> str:
    """A hash of all that a notebook's output depends on, apart from the notebook."""
    files: Iterable[Path] = [
        *sorted((root / "src").rglob("*.py")),
        *sorted((root / "data").rglob("*")),
        *sorted((root / "book" / "quizzes").glob("*.json")),
        root / "requirements.txt",
        root / "constraints.txt",
    ]
    settings = (sys.version_info[:2], budget, os.environ.get("COURSE_SEED", ""), metadata.version("torch"))
    digest = hashlib.sha256(repr(settings).encode())
    for path in files:
        if path.is_file():
            digest.update(f"\0{path.relative_to(root).as_posix()}\0".encode() + _content(path))
    return digest.hexdigest()


def prepare_leaderboard() -> None:
    """Every checkpoint that ships is on the leaderboard, with the weights that ship, and its pictures are drawn."""
    from course_lib import leaderboard
    from course_lib.leaderboard import figures

    figures.draw()
    if found := leaderboard.defects():
        raise CourseError(
            "expected the leaderboard to hold every shipped generator, found: "
            f"{'; '.join(found)}; run: {leaderboard.COMMAND}"
        )


def prepare_zoo() -> None:
    """The page of the model zoo says what the cards say, and its pictures and the timeline's are drawn."""
    from course_lib import gallery
    from course_lib.gallery import pictures

    pictures.draw()
    if found := gallery.defects():
        raise CourseError(
            f"expected the model zoo's page to say what the cards say, found: {'; '.join(found)}; "
            f"run: {gallery.COMMAND}"
        )


def _report(name: str, start: float) -> None:
    """One line for a step that is done."""
    print(f"{name:<40} {time.monotonic() - start:5.0f} s", flush=True)


def execute_all(files: list[Path], folder: Path, key: str, log: Path) -> list[Executed]:
    """Run the notebooks, print a line for each, and return the failing ones in the order of the book."""
    start = time.monotonic()
    results = []
    print(
        f"executing {len(files)} notebooks, budget {BUDGET}, {os.cpu_count()} at a time; log: {log}",
        flush=True,
    )
    for result in execute(files, folder, key, log):
        results.append(result)
        if result.seconds is not None:
            state = f"   FAILED: {len(result.failures)} of its cells" if result.failures else ""
            print(f"  {result.name:<38} {result.seconds:5.0f} s{state}", flush=True)
    kept = sum(result.seconds is None for result in results)
    _report(f"executed ({kept} of {len(files)} kept)", start)
    return sorted((result for result in results if result.failures), key=lambda result: result.name)


def failing_cells(results: Iterable[Executed]) -> str:
    """The list for the end of the build: chapter, cell, error."""
    lines = []
    for result in results:
        lines += [f"  {result.name}, cell {failure.cell}: {failure.line}" for failure in result.causes]
        if followed := [failure for failure in result.failures if failure.follows]:
            lines.append(
                f"  {result.name}: {len(followed)} more missed a name, the first is {followed[0].cell}"
            )
    return "\n".join(lines)


def build_site(root: Path = ROOT) -> Path:
    """Run Jupyter Book from empty folders, with every warning an error that is reported after all pages are written.

    Raises:
        CourseError: Sphinx reported warnings or stopped.
    """
    build = root / "_build"
    site, log = build / "html", build / "logs" / "site.log"
    for name in ("html", ".doctrees", "jupyter_execute"):
        shutil.rmtree(build / name, ignore_errors=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    program = str(Path(sys.executable).with_name("jupyter-book"))
    command = [program, "build", ".", "-W", "--keep-going", "-n", "-q"]
    with log.open("w") as stream:
        status = subprocess.run(command, cwd=root, stdout=stream, stderr=stream, check=False).returncode
    if (site / "index.html").is_file():
        (site / ".nojekyll").touch()  # GitHub Pages would drop _static and _images
        lighten(site)
    if status:
        said = log.read_text(errors="replace").splitlines()
        print("\n".join(said[-LAST_LINES:]), file=sys.stderr)
        raise CourseError(
            f"expected a build without warnings, Sphinx reported some; they stand above and in {log}, mend each"
        )
    return site


def main() -> int:
    """Build; list what was wrong; say where the book is and how long it took."""
    begin = time.monotonic()
    os.environ["COURSE_BUDGET"] = BUDGET
    os.environ.update(dict.fromkeys(THREADS, "1"))
    if not VENDOR.is_dir():
        print(
            f"error: {VENDOR}: expected the front-end assets, found nothing; run `make install`",
            file=sys.stderr,
        )
        return 1
    wrong = []
    start = time.monotonic()
    for prepare in (prepare_leaderboard, prepare_zoo):
        try:
            prepare()
        except CourseError as error:
            wrong.append(str(error))
    _report("leaderboard and zoo checked and drawn", start)
    failed = execute_all(every_notebook(), EXECUTED, execution_key(), LOGS / "kernels.log")
    start = time.monotonic()
    for write in (
        build_site,
        lambda: edition.write(SITE / "_sources" / "book", as_in_book=True),
    ):  # the site; what its download gives
        try:
            write()
        except CourseError as error:
            wrong.append(str(error))
    _report("site written", start)
    if failed:
        wrong.append(
            f"expected every cell to run, these failed; their pages say so:\n{failing_cells(failed)}"
        )
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if SITE.joinpath("index.html").is_file():
        print(
            f"\nThe book: {SITE / 'index.html'}   ({time.monotonic() - begin:.0f} s; `make serve` opens it)"
        )
    return int(bool(wrong))


if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:
        print("interrupted; the notebooks that were done are kept", file=sys.stderr, flush=True)
        os._exit(130)  # at once: kernels end with their parent, a thread that waits for one would not
    sys.exit(status)
