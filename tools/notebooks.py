"""One normal form for the committed notebooks, so that a diff shows what an author changed and nothing else.

``python -m tools.notebooks format`` brings notebooks into it, ``check`` names every deviation in one line. Cell ids are
never made or changed here: translations, saved answers and links hang on them.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tools.project import ROOT, CourseError, declared_repository, every_notebook, repository
from tools.setup_cell import CELL_ID, TAGS, setup_source

Notebook = dict[str, Any]
Cell = dict[str, Any]

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# What the book's build and the teaching tools read; editors add more, which changes from one editor to the next.
CELL_METADATA = ("cellView", "jupyter", "mystnb", "nbgrader", "tags")
KEEP_OUTPUT = "keep_output"
# The book folds by these tags. JupyterLab and Colab know other words for it, which derive from the tags.
FOLDED = {"hide-cell", "hide-input", "remove-cell", "remove-input"}
FOLDED_OUTPUT = {"hide-output", "remove-output"}
FOLDING = ("cellView", "jupyter")


def text(cell: Cell) -> str:
    """A cell's source as one string (a file may hold it as a list of lines)."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def tags(cell: Cell) -> list[str]:
    """A cell's tags."""
    return list(cell.get("metadata", {}).get("tags", []))


def read(path: Path) -> Notebook:
    """Load a notebook's JSON, with one clear line if it is none."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(notebook["cells"], list)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise CourseError(
            f"{path.name}: expected a Jupyter notebook, found {error!r}; restore the file"
        ) from None
    return notebook


def dumps(notebook: Notebook) -> str:
    """The one spelling of a notebook: sorted keys, indent 1, a trailing newline."""
    return json.dumps(notebook, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def id_defects(notebook: Notebook) -> Iterator[str]:
    """Missing, malformed and repeated cell ids: only an author can say which cell is which."""
    counts = Counter(cell.get("id") for cell in notebook["cells"])
    for number, cell in enumerate(notebook["cells"], 1):
        name = cell.get("id")
        if name is None:
            yield f"cell {number} has no id; give it a short name of its own"
        elif not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(name)):
            yield f"cell {number}: expected an id of 1 to 64 letters, digits, - or _, found {name!r}; rename it"
        elif counts[name] > 1:
            yield f"cell {number}: id {name!r} occurs {counts[name]} times; rename the newer cell"


def folding(cell: Cell) -> dict[str, Any]:
    """What JupyterLab and Colab must read on a code cell to fold what the book folds.

    Colab also hides the code behind a form's fields (`# @param`); JupyterLab, which shows no fields, must not.
    """
    names = set(tags(cell))
    jupyter = {}
    if names & FOLDED:
        jupyter["source_hidden"] = True
    if names & FOLDED_OUTPUT:
        jupyter["outputs_hidden"] = True
    derived: dict[str, Any] = {"jupyter": jupyter} if jupyter else {}
    if names & FOLDED or re.search(r"(?m)# @param\b", text(cell)):
        derived["cellView"] = "form"
    return derived


def normalised(notebook: Notebook, url: str) -> Notebook:
    """The normal form of a notebook whose ids are sound."""
    fresh = {"cells": [], "metadata": copy.deepcopy(METADATA), "nbformat": 4, "nbformat_minor": 5}
    for cell in notebook["cells"]:
        source = text(cell).rstrip()
        metadata = {key: cell["metadata"][key] for key in CELL_METADATA if key in cell.get("metadata", {})}
        if cell["id"] == CELL_ID:
            source, metadata = setup_source(url), {"tags": list(TAGS)}
        new: Cell = {"cell_type": cell["cell_type"], "id": cell["id"], "metadata": metadata}
        if cell["cell_type"] == "code":
            for key in FOLDING:
                metadata.pop(key, None)
            metadata.update(folding({"metadata": metadata, "source": source}))
            keep = KEEP_OUTPUT in tags(cell)
            new["execution_count"] = cell.get("execution_count") if keep else None
            new["outputs"] = cell.get("outputs", []) if keep else []
        new["source"] = source.splitlines(keepends=True)
        fresh["cells"].append(new)
    return fresh


def _cell_defects(cell: Cell, urls: Collection[str]) -> Iterator[str]:
    """What is wrong with one cell, apart from its id."""
    if extra := sorted(set(cell.get("metadata", {})) - set(CELL_METADATA)):
        yield f"has metadata {', '.join(extra)}, expected only {', '.join(CELL_METADATA)}"
    if cell["cell_type"] == "code" and KEEP_OUTPUT not in tags(cell):
        if cell.get("outputs"):
            yield f"has outputs; they belong to the build (tag {KEEP_OUTPUT} where one must stay)"
        if cell.get("execution_count") is not None:
            yield f"has execution count {cell['execution_count']}, expected none"
    if cell["cell_type"] == "code":
        found = {key: cell["metadata"][key] for key in FOLDING if key in cell.get("metadata", {})}
        if found != (expected := folding(cell)):
            yield f"has the folding {found}, its tags ask for {expected}"
    if cell["id"] == CELL_ID:
        if text(cell) not in {setup_source(url) for url in urls}:
            yield "differs from the one setup cell of tools/setup_cell.py or names another repository"
        if tags(cell) != TAGS:
            yield f"has tags {tags(cell)}, expected {TAGS}"


def defects(path: Path, urls: Collection[str]) -> list[str]:
    """Every deviation of a file from the normal form, one line each; `urls` are the repositories it may name."""
    notebook = read(path)
    found = list(id_defects(notebook))
    if found:
        return [f"{path.name}: {line}" for line in found]
    for cell in notebook["cells"]:
        found += [f"cell {cell['id']!r} {line}" for line in _cell_defects(cell, urls)]
    first = next((cell["id"] for cell in notebook["cells"] if cell["cell_type"] == "code"), "nothing")
    if first != CELL_ID:
        found.append(f"expected {CELL_ID!r} as the first code cell, found {first!r}")
    if (notebook.get("nbformat"), notebook.get("nbformat_minor")) != (4, 5):
        found.append(
            f"expected nbformat 4.5, found {notebook.get('nbformat')}.{notebook.get('nbformat_minor')}"
        )
    if notebook.get("metadata") != METADATA:
        found.append(
            f"expected the notebook's metadata to be {sorted(METADATA)} of Python 3 and nothing else"
        )
    spelled = path.read_text(encoding="utf-8")
    if not found and not any(spelled == dumps(normalised(notebook, url)) for url in urls):
        found.append("expected sorted JSON with indent 1, no trailing blanks and one final newline")
    return [f"{path.name}: {line}" for line in found]


def format_file(path: Path, url: str) -> bool:
    """Rewrite a file in normal form; True if that changed it. Unsound ids are refused, not repaired."""
    notebook = read(path)
    if wrong := list(id_defects(notebook)):
        raise CourseError(f"{path.name}: {wrong[0]}")
    before = path.read_text(encoding="utf-8")
    after = dumps(normalised(notebook, url))
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


def format_config(path: Path, url: str) -> None:
    """Point the launch buttons in _config.yml at the repository; the file's comments stay."""
    before = path.read_text(encoding="utf-8")
    after, times = re.subn(r"(?m)^(repository:\n\s+url: ).*$", rf"\g<1>{url}", before)
    if times != 1:
        raise CourseError(
            f"{path.name}: expected one `repository:` with `url:` on the next line, found {times}"
        )
    if after != before:
        path.write_text(after, encoding="utf-8")


def ruff(*arguments: str, files: list[Path]) -> subprocess.CompletedProcess[str]:
    """Run ruff on files; the one beside this interpreter, so that versions agree."""
    program = Path(sys.executable).with_name("ruff")
    command = [
        str(program) if program.exists() else shutil.which("ruff") or "ruff",
        *arguments,
        *map(str, files),
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def main(arguments: list[str] | None = None) -> int:
    """`format` or `check` the given notebooks, or all of the book's."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["format", "check"])
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    files = [path.resolve() for path in options.files] or every_notebook()
    try:
        if options.action == "format":
            format_config(ROOT / "_config.yml", repository())
            for path in files:
                format_file(path, repository())
            done = ruff("format", "--quiet", files=files) if files else None
            if done and done.returncode:
                raise CourseError(f"ruff could not format: {done.stderr.strip()}")
            changed = [path for path in files if format_file(path, repository())]
            assert not changed, f"ruff left {changed} in another form"
            return 0
        # A fork's workflow may check files that still name the repository they came from.
        urls = {declared_repository(), repository()}
        lines = [line for path in files for line in defects(path, urls)]
    except (CourseError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if files and ruff("format", "--check", files=files).returncode:
        rewritten = [path for path in files if ruff("format", "--check", files=[path]).returncode]
        lines += [f"{path.name}: ruff would write its code otherwise" for path in rewritten]
    for line in lines:
        print(line)
    if lines:
        print(f"{len(lines)} defects; `make format` mends what can be mended")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
