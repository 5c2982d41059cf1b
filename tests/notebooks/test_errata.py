"""The errata: each item of the list has a section, a computation, a check of both forms, and a line in a table."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tools.edition import edition, on_colab, read_book
from tools.notebooks import read, tags, text
from tools.project import BOOK, appendices, every_notebook, notebooks
from tools.reading import defects, visible

PATH = BOOK / "appendix" / "errata.ipynb"
# The list that the page began with, and what the chapters have found since. A new item is added here first.
FIRST = {"L": 16, "T": 14, "S": 3}
SINCE = {"L": 6, "T": 11, "S": 4}
EXPECTED = [f"{letter}{k}" for letter in FIRST for k in range(1, FIRST[letter] + SINCE[letter] + 1)]
KINDS = {"slip", "shorthand", "as extracted"}
LINES = 12  # of a computation


def rows(prose: str) -> dict[str, list[str]]:
    """The lines of the summary tables: item -> target, as printed, corrected, kind."""
    cell = r" ([^|]+) \|"  # a bar within a cell would end it
    found = re.findall(rf"(?m)^\| \[([LTS]\d+)\]\(#([\w-]+)\) \|{3 * cell}$", prose.replace("&shy;", ""))
    return {name: list(rest) for name, *rest in found}


def sections(prose: str) -> list[tuple[str, str, str, str]]:
    """Label, item, title and text of each section."""
    parts = re.split(r"(?m)^\((erratum-[\w-]+)\)=\n### ([LTS]\d+)\. (.+)$", prose)[1:]
    return list(zip(parts[::4], parts[1::4], parts[2::4], parts[3::4]))


def errata_defects(notebook: dict[str, Any]) -> Iterator[str]:
    """What the page lacks of the expected items."""
    cells = {cell["id"]: cell for cell in notebook["cells"]}
    prose = "\n\n".join(text(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    table, parts = rows(prose), sections(prose)
    if sorted(table) != sorted(EXPECTED):
        yield f"expected the items of the list in the tables, differ in {sorted(set(table) ^ set(EXPECTED))}"
    if [name for _, name, _, _ in parts] != EXPECTED:
        yield f"expected a section for each item in order, found {[name for _, name, _, _ in parts]}"
    for label, name, _, words in parts:
        target, printed, corrected, kind = table.get(name, ["", "", "", ""])
        if not label == target == f"erratum-{name.lower()}":
            yield f"{name}: expected the label erratum-{name.lower()} in section and table, found {label}, {target}"
        if kind not in KINDS or f"*Kind: {kind}.*" not in words:
            yield f"{name}: expected one kind of {sorted(KINDS)} in section and table, found {kind!r}"
        if not printed.strip() or not corrected.strip() or printed == corrected:
            yield f"{name}: expected a printed and a corrected form in the table"
        for form in ("printed", "corrected"):
            if f"\\text{{{form}:}}" not in words and f"**{form.capitalize()}.**" not in words:
                yield f"{name}: expected the {form} form in the section"
        if not re.search(r"\]\(\.\./\d\d_\w+\.ipynb\)", words):
            yield f"{name}: expected a link to a chapter"
        yield from _cell_defects(name, cells)


def _cell_defects(name: str, cells: dict[str, Any]) -> Iterator[str]:
    """What is wrong with an item's computation and check."""
    computation, check = cells.get(name.lower()), cells.get(f"{name.lower()}-checks")
    if not computation or not visible(computation) or f'"{name}"' not in text(computation):
        yield f"{name}: expected a visible cell {name.lower()!r} that compares the forms"
    elif len(text(computation).splitlines()) > LINES:
        yield f"{name}: expected at most {LINES} lines, found {len(text(computation).splitlines())}"
    if not check or not {"checks", "hide-cell"} <= set(tags(check)):
        yield f"{name}: expected a folded cell {name.lower() + '-checks'!r}"
        return
    asserts = [node for node in ast.walk(ast.parse(text(check))) if isinstance(node, ast.Assert)]
    if len(asserts) < 2:
        yield f"{name}: expected two assertions, that one form fails and that the other holds"
    if not all(node.msg and "expected" in ast.unparse(node.msg) for node in asserts):
        yield f"{name}: expected a message in each assertion that says what was expected"
    if not any("found" in ast.unparse(node.test) for node in asserts):
        yield f"{name}: expected the numbers of the visible cell in the check"


def test_every_item_has_its_section_its_check_and_its_line() -> None:
    assert list(errata_defects(read(PATH))) == []


def test_the_list_has_as_many_items_as_were_found() -> None:
    assert len(EXPECTED) == len(set(EXPECTED)) == 16 + 14 + 3 + 6 + 11 + 4


def test_it_reads_well() -> None:
    assert defects(PATH) == []


def test_it_is_among_the_notebooks_that_are_run_but_is_no_chapter() -> None:
    assert PATH in appendices()
    assert PATH in every_notebook()
    assert PATH not in notebooks()
    names = [path.name for path in every_notebook()]
    assert len(names) == len(set(names))


def test_the_edition_leads_from_a_chapter_to_an_item_and_back() -> None:
    book, url = read_book(), "https://github.com/someone/some-course"
    colab = "https://colab.research.google.com/github/someone/some-course/blob/colab"
    fresh = edition(read(PATH), PATH.name, book, url, on_colab(url))
    prose = "\n".join(text(cell) for cell in fresh["cells"] if cell["cell_type"] == "markdown")
    assert f"[chapter 5]({colab}/05_vae_derived.ipynb)" in prose
    assert f"({book.numbers['eq-vae-forms']})" in prose
    chapter = next(BOOK.glob("05_*.ipynb"))
    plain = edition(read(chapter), chapter.name, book, url, on_colab(url))
    assert any(f"]({colab}/errata.ipynb)" in text(cell) for cell in plain["cells"])


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_links_from_chapters_lead_to_items(path: Any) -> None:
    prose = "\n".join(text(cell) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")
    for name in re.findall(r"<erratum-(\w+)>", prose):
        assert name.upper() in EXPECTED


def _cell(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda notebook: next(cell for cell in notebook["cells"] if cell["id"] == name)


def _replaced(name: str, old: str, new: str) -> Callable[[dict[str, Any]], Any]:
    def change(notebook: dict[str, Any]) -> None:
        cell = _cell(name)(notebook)
        assert old in text(cell)
        cell["source"] = text(cell).replace(old, new)

    return change


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no section": (lambda n: n["cells"].remove(_cell("l2-text")(n)), "expected a section for each item"),
    "no line": (_replaced("table-l", "[L2]", "[L99]"), "in the tables"),
    "no computation": (lambda n: n["cells"].remove(_cell("t9")(n)), "T9: expected a visible cell"),
    "no check": (lambda n: n["cells"].remove(_cell("s2-checks")(n)), "S2: expected a folded cell"),
    "unfolded": (
        lambda n: _cell("s2-checks")(n)["metadata"].update(tags=["checks"]),
        "S2: expected a folded",
    ),
    "one assertion": (
        _replaced("t2-checks", text(_cell("t2-checks")(read(PATH))), "assert kept, 'expected numbers'"),
        "T2: expected two assertions",
    ),
    "no message": (_replaced("t2-checks", "expected", "wanted"), "T2: expected a message"),
    "kind": (_replaced("t2-text", "as extracted", "slip"), "T2: expected one kind"),
    "label": (_replaced("t2-text", "erratum-t2", "erratum-t22"), "T2: expected the label"),
    "form": (_replaced("t2-text", "corrected:", "right:"), "T2: expected the corrected form"),
    "link": (_replaced("t2-text", "(../08", "(08"), "T2: expected a link to a chapter"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_missing_part_is_named(name: str) -> None:
    mutate, message = MUTATIONS[name]
    notebook = copy.deepcopy(read(PATH))
    mutate(notebook)
    found = list(errata_defects(notebook))
    assert any(message in line for line in found), found
