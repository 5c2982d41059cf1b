"""Execute notebooks beside each other, each to its end: a cell that fails is shown on its page, and the next one runs.

Executed notebooks are kept, one file each, under a key made of everything that can change an output. A notebook whose
key is the same and which did not fail is not run again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import nbformat
from nbformat import NotebookNode

from tools.project import ROOT

CELL_TIMEOUT = 600  # seconds; a cell that needs more hangs
KERNEL_STARTS = 3
# Two notebooks run beside each other: one thread each, or they fight over the cores.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PRELUDE = f"__import__('runpy').run_path({str(ROOT / 'tools' / 'show_claims.py')!r}, run_name='__kernel__')"
NOTE = "course"  # the entry of a kept notebook's metadata that holds its key and its time


@dataclass(frozen=True)
class Failure:
    """A cell that failed: its id, its error in one line, and whether it only missed a name from an earlier one."""

    cell: str
    line: str
    follows: bool = False


@dataclass(frozen=True)
class Executed:
    """A notebook as it was run: its file's name, the cells that failed, seconds (None: kept from an earlier build)."""

    name: str
    failures: tuple[Failure, ...]
    seconds: float | None

    @property
    def causes(self) -> list[Failure]:
        """The failures that do not merely follow from others."""
        return [failure for failure in self.failures if not failure.follows]


def failures(notebook: NotebookNode) -> Iterator[Failure]:
    """The cells of an executed notebook that failed although they should not."""
    seen = False
    for cell in notebook.cells:
        if cell.cell_type != "code" or "raises-exception" in cell.metadata.get("tags", []):
            continue
        for error in (output for output in cell.outputs if output.output_type == "error"):
            said = re.sub(r"\x1b\[[0-9;]*m", "", error.evalue).strip().splitlines()
            line = f"{error.ename}: {said[0] if said else ''}".rstrip(": ")
            yield Failure(cell.id, line, follows=seen and error.ename == "NameError")
            seen = True


def marked(notebook: NotebookNode, name: str) -> NotebookNode:
    """The notebook with a box under its title and one above each cell that caused a failure, which is unfolded."""
    found = list(failures(notebook))
    causes = {failure.cell: failure for failure in found if not failure.follows}

    def label(cell: str) -> str:
        return f"failed-{name}-{cell}".lower()

    listed = "\n".join(
        f"[The cell `{cell}`](#{label(cell)}) failed:\n\n~~~~~text\n{failure.line}\n~~~~~\n"
        for cell, failure in causes.items()
    )
    more = len(found) - len(causes)
    missed = f"{more} more failed for a name that an earlier cell should have defined. " if more else ""
    box = (
        "::::::{admonition} Not everything on this page holds on the machine that built it\n:class: danger failed\n\n"
        f"{listed}\n{missed}What the text says may not be true of the numbers and figures that follow.\n::::::"
    )
    cells = []
    for cell in notebook.cells:
        if cell.get("id") in causes:
            tags = cell.metadata.get("tags", [])
            cell.metadata["tags"] = [tag for tag in tags if not tag.startswith(("hide-", "remove-"))]
            note = (
                f"({label(cell.id)})=\n:::{{admonition}} The next cell failed\n:class: danger\n\n"
                "The last line of its output says why.\n:::"
            )
            cells.append(nbformat.v4.new_markdown_cell(note, id=f"failed-{cell.id}"[:64]))
        cells.append(cell)
    # The opening cell begins with the page's title, which has to stay the first thing on it.
    opening = next(cell for cell in cells if cell.cell_type == "markdown")
    opening.source = re.sub(r"(?m)^# .*$", lambda match: f"{match[0]}\n\n{box}", opening.source, count=1)
    notebook.cells = cells
    return notebook


def _kernel_run(notebook: NotebookNode, folder: Path, log: IO[str]) -> None:
    """Run all cells in place; a kernel that hangs or dies leaves an error in the cell where it did.

    Raises:
        RuntimeError: the kernel ended before the first cell.
    """
    from jupyter_client import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    messages = logging.Logger("nbclient", logging.WARNING)
    messages.addHandler(logging.StreamHandler(log))
    reached: list[NotebookNode] = []
    with tempfile.TemporaryDirectory() as sockets:  # files, not ports: two kernels cannot choose the same one
        client = NotebookClient(
            notebook,
            log=messages,
            timeout=CELL_TIMEOUT,
            allow_errors=True,
            record_timing=False,
            on_cell_execute=lambda cell, cell_index: reached.append(cell),
            extra_arguments=[f"--IPKernelApp.exec_lines={[PRELUDE]!r}"],
        )
        client.km = AsyncKernelManager(
            kernel_name="python3", transport="ipc", connection_file=str(Path(sockets) / "k")
        )
        try:
            client.execute(cwd=str(folder), stdout=log, stderr=log, cleanup_kc=True)
            return
        except (CellTimeoutError, DeadKernelError, RuntimeError) as error:
            if not reached:
                raise RuntimeError(f"the kernel did not start: {error}") from error
            hung = isinstance(error, CellTimeoutError)
            client.set_widgets_metadata()
    why = f"took longer than {CELL_TIMEOUT} s" if hung else "ended its kernel (too little memory?)"
    line = f"expected a result, the cell {why}; the cells after it did not run"
    name = "TimeoutError" if hung else "DeadKernelError"
    # Without the error of its interruption.
    shown = [output for output in reached[-1].outputs if output.output_type != "error"]
    shown.append(nbformat.v4.new_output("error", ename=name, evalue=line, traceback=[f"{name}: {line}"]))
    reached[-1].outputs = shown


def run(path: Path, log: IO[str]) -> NotebookNode:
    """Execute a notebook in its own folder, failing cells included, and return it with its outputs."""
    for attempt in range(1, KERNEL_STARTS + 1):
        notebook = nbformat.read(path, as_version=4)
        try:
            _kernel_run(notebook, path.parent, log)
            break
        except (
            Exception
        ) as error:  # whatever keeps a kernel from starting: the book has a page for the chapter
            if attempt == KERNEL_STARTS:
                first = next(cell for cell in notebook.cells if cell.cell_type == "code")
                first.outputs = [
                    nbformat.v4.new_output(
                        "error", ename="RuntimeError", evalue=str(error), traceback=[str(error)]
                    )
                ]
    return notebook


def notebook_key(notebook: NotebookNode, key: str) -> str:
    """A hash of `key` and of the notebook's code; its text may change without a new run."""
    code = [[cell.id, cell.source, cell.metadata] for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps([key, code]).encode()).hexdigest()


def _kept(path: Path, key: str) -> NotebookNode | None:
    """The executed notebook that an earlier build kept under `key`."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError):
        return None
    return notebook if notebook.metadata.get(NOTE, {}).get("key") == key else None


def _one(path: Path, folder: Path, key: str, log: IO[str]) -> Executed:
    """Run or restore one notebook and write it, ready for its page, into `folder`."""
    notebook = nbformat.read(path, as_version=4)
    own = notebook_key(notebook, key)
    target = folder / path.name
    start = time.monotonic()
    if kept := _kept(target, own):
        code = {cell.id: cell for cell in kept.cells if cell.cell_type == "code"}
        notebook.cells = [code.get(cell.id, cell) for cell in notebook.cells]
        notebook.metadata = kept.metadata
        found: tuple[Failure, ...] = ()
        seconds = None
    else:
        notebook = run(path, log)
        seconds = time.monotonic() - start
        found = tuple(failures(notebook))
        if found:  # without a key: it runs again at the next build
            notebook = marked(notebook, path.stem)
        else:
            notebook.metadata[NOTE] = {"key": own}
    fresh = target.with_suffix(".new")
    nbformat.write(notebook, fresh)
    fresh.replace(target)
    return Executed(path.name, found, seconds)


def execute(files: list[Path], folder: Path, key: str, log: Path) -> Iterator[Executed]:
    """Run the notebooks that are not kept under `key`, as many at a time as there are cores.

    Args:
        files: the notebooks.
        folder: where executed notebooks are kept, under the same names.
        key: what the outputs depend on besides the notebook itself.
        log: the file that takes what the kernels say outside their cells.

    Yields:
        What came of each notebook, as it is done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in files}
    for old in folder.iterdir():
        if old.name not in names:
            old.unlink()
    with log.open("w") as stream:
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            for done in as_completed([pool.submit(_one, path, folder, key, stream) for path in files]):
                yield done.result()
        finally:  # nobody waits for the others after Ctrl-C
            pool.shutdown(wait=False, cancel_futures=True)
