"""Open the chapters in JupyterLab: copies in `lab/`, so that running one changes nothing that git tracks.

The copies are the readers' edition (tools/edition.py). A reader's work is never overwritten: a copy is replaced only
while its cells are what was written here, and none was run. When a chapter has changed and its copy too, the new one is
put beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from tools.edition import editions
from tools.notebooks import text
from tools.project import ROOT, CourseError, repository

LAB = ROOT / "lab"
RECORD = (
    ".written.json"  # hashes of all that was ever written, and of the version last offered of each chapter
)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _work(content: bytes) -> str:
    """A hash of what may be a reader's work, cells and outputs: JupyterLab changes metadata as soon as it opens."""
    try:
        cells = json.loads(content)["cells"]
        parts = [(cell.get("id"), cell["cell_type"], text(cell), cell.get("outputs", [])) for cell in cells]
    except (ValueError, KeyError, TypeError):
        return _hash(content)  # no notebook, so somebody's own
    return _hash(json.dumps(parts, sort_keys=True).encode())


def address(page: str) -> str:
    """Chapters lie beside each other; other pages of the book are where they are."""
    return page if page.endswith(".ipynb") else f"../book/{page}"


def refresh(folder: Path, chapters: dict[str, str]) -> list[str]:
    """Bring the copies up to date; returns one line for each chapter whose new version lies beside the reader's."""
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    known = json.loads(record.read_text()) if record.is_file() else {}
    written, offered = set(known.get("written", [])), known.get("offered", {})
    lines = []

    def is_readers(path: Path) -> bool:
        return path.exists() and _work(path.read_bytes()) not in written

    for name, content in chapters.items():
        data = content.encode()
        if (folder / name).exists() and offered.get(name) == _hash(data):
            continue
        written.add(_work(data))
        offered[name] = _hash(data)
        beside = (folder / name.replace(".ipynb", f".new{k}.ipynb") for k in ("", *range(2, 100)))
        target = next(path for path in (folder / name, *beside) if not is_readers(path))
        target.write_bytes(data)
        if target.name != name:
            lines.append(
                f"{name}: you have run or changed your copy, and the chapter is new: see {target.name}"
            )
    record.write_text(json.dumps({"written": sorted(written), "offered": offered}, indent=1))
    return lines


def main() -> int:
    """Refresh the copies and become JupyterLab, with the copies' folder open."""
    try:
        for line in refresh(LAB, editions(repository(), address)):
            print(line)
    except (CourseError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    program = str(Path(sys.executable).with_name("jupyter"))
    # The whole repository is the root, so that links reach the book's other pages, and readers their own pictures.
    options = [f"--ServerApp.root_dir={ROOT}", f"--LabApp.default_url=/lab/tree/{LAB.name}"]
    if getattr(os, "geteuid", lambda: 1)() == 0:
        options.append("--allow-root")  # in a container there may be nobody else
    os.execv(program, [program, "lab", *options, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
