"""Build the book: execute the chapters in parallel, then let Sphinx make the pages, strictly.

Jupyter Book's own cache knows a notebook's code but not what the code imports: a changed library would leave stale
figures in the pages. So the cache here lives under a key made of everything that can change an output, and goes when
the key does. Jupyter Book also returns success when a notebook fails; here the failing cell ends the build.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tools import edition
from tools.project import ROOT, VENDOR, CourseError, notebooks

CACHE = ROOT / ".jupyter_cache"
BUDGET = "cpu"
CELL_TIMEOUT = 600  # seconds; a cell that needs more hangs
KERNEL_STARTS = 3
# Two notebooks run beside each other: one thread each, or they fight over the cores.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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
    digest = hashlib.sha256(f"{sys.version_info[:2]} {budget}".encode())
    for path in files:
        if path.is_file():
            digest.update(f"\0{path.relative_to(root).as_posix()}\0".encode() + _content(path))
    return digest.hexdigest()


def prepare_cache(folder: Path, key: str) -> bool:
    """Keep the cache if it was made under `key`, start an empty one otherwise; True when it was kept."""
    note = folder / "course_key.txt"
    if note.is_file() and note.read_text() == key:
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    note.write_text(key)
    return False


def _plain(text: str) -> str:
    """Text without terminal colours, which logs show as noise."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def execute(files: list[Path], folder: Path) -> None:
    """Run the notebooks that the cache lacks, as many at a time as there are cores; raise if one fails."""
    from jupyter_cache import get_cache
    from jupyter_cache.executors import load_executor

    cache = get_cache(str(folder))
    known = {record.uri for record in cache.list_project_records()}
    for gone in known - {str(path) for path in files}:
        cache.remove_nb_from_project(gone)
    for path in files:
        if str(path) not in known:
            cache.add_nb_to_project(str(path), read_data={"name": "nbformat", "type": "plugin"})
    waiting = cache.list_unexecuted()
    if not waiting:
        print(f"execute: all {len(files)} notebooks are in the cache")
        return
    print(
        f"execute: {len(waiting)} of {len(files)} notebooks, budget {BUDGET}, {os.cpu_count()} at a time",
        flush=True,
    )
    logging.getLogger("jupyter_cache").setLevel(logging.WARNING)
    start = time.monotonic()
    # Two kernels that start in the same moment may choose the same port, and one of them dies ("errored"): once more.
    # A cell that failed ("excepted") would fail again.
    for _ in range(KERNEL_STARTS):
        result = load_executor("local-parallel", cache).run_and_cache(timeout=CELL_TIMEOUT)
        for uri in result.succeeded:
            seconds = cache.get_cached_project_nb(uri).data.get("execution_seconds", float("nan"))
            print(f"execute: {Path(uri).name} {seconds:.0f} s")
        if result.excepted or not result.errored:
            break
    failed = [*result.excepted, *result.errored]
    for record in cache.list_project_records():
        if record.uri in failed:
            traceback = record.traceback or "its kernel died; why stands above"
            print(f"\n{Path(record.uri).name} failed:\n{_plain(traceback)}", file=sys.stderr)
    if failed:
        names = ", ".join(Path(uri).name for uri in failed)
        raise CourseError(
            f"expected every notebook to run, {names} failed; the cell and its error stand above"
        )
    print(f"execute: {time.monotonic() - start:.0f} s altogether", flush=True)


def check_leaderboard() -> None:
    """Every checkpoint that ships is on the leaderboard, with the weights that ship; else no book."""
    from course_lib import leaderboard

    if found := leaderboard.defects():
        raise CourseError(
            "expected the leaderboard to hold every shipped generator, found: "
            f"{'; '.join(found)}; run: {leaderboard.COMMAND}"
        )


def build_site(root: Path = ROOT) -> Path:
    """Run Jupyter Book from an empty folder: a warning, a missing reference or a failing cell is an error."""
    shutil.rmtree(root / "_build", ignore_errors=True)
    program = str(Path(sys.executable).with_name("jupyter-book"))
    command = [program, "build", ".", "-W", "--keep-going", "-n", "-q"]
    if subprocess.run(command, cwd=root, check=False).returncode:
        raise CourseError(
            "expected a build without warnings, Sphinx reported some; they stand above, mend each"
        )
    site = root / "_build" / "html"
    (site / ".nojekyll").touch()  # GitHub Pages would drop _static and _images
    return site


def main() -> int:
    """Build, say where the book is and how long it took."""
    start = time.monotonic()
    os.environ["COURSE_BUDGET"] = BUDGET
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        if not VENDOR.is_dir():
            raise CourseError(f"{VENDOR}: expected the front-end assets, found nothing; run `make install`")
        check_leaderboard()
        prepare_cache(CACHE, execution_key())
        execute(notebooks(), CACHE)
        site = build_site()
        edition.write(site / "_sources" / "book")  # what the download button gives
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\nThe book: {site / 'index.html'}   ({time.monotonic() - start:.0f} s; `make serve` opens it)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
