"""Chapters are readable by the rules of `tools.reading`, and each rule finds what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools.project import notebooks
from tools.reading import code_defects, defects, mention_defects, name_defects, prose_defects, sentences


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_chapter(path: Path) -> None:
    assert defects(path) == []


def _notebook(*cells: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "cells": [
            {"cell_type": kind, "id": f"{kind}{k}", "source": source, "metadata": metadata}
            for k, (kind, source, metadata) in enumerate(cells)
        ]
    }


def _code(*sources: str, **metadata: Any) -> dict[str, Any]:
    return _notebook(*(("code", source, metadata) for source in sources))


@pytest.mark.parametrize(
    ("plain", "wanted"),
    [
        ("One thing. Another one!", ["One thing", "Another one"]),
        ("A list:\n\n- first\n\n- second", ["A list", "- first", "- second"]),
        ("See e.g. this one. Or 3.5 of them.", ["See e.g. this one", "Or 3.5 of them"]),
        ("Higgins et al. found it.", ["Higgins et al. found it"]),
    ],
)
def test_sentences(plain: str, wanted: list[str]) -> None:
    assert sentences(plain) == wanted


def test_a_formula_is_one_word_and_asides_do_not_count() -> None:
    long = " ".join(["word"] * 50)
    aside = f":::{{dropdown}} Aside: more\n{long}.\n:::"
    formula = (
        "The sum $a + b + c + d + e + f + g + h$ is small.\n\n$$\n"
        + " + ".join("x" * 1 for _ in range(99))
        + "\n$$"
    )
    assert list(prose_defects(_notebook(("markdown", f"{formula}\n\n{aside}", {})))) == []
    assert any(
        "at most 40 words, found 50" in d for d in prose_defects(_notebook(("markdown", f"{long}.", {})))
    )


def test_long_sentences_on_average_and_long_chapters_are_named() -> None:
    found = list(prose_defects(_notebook(("markdown", " ".join([" ".join(["word"] * 20) + "."] * 201), {}))))
    assert any("17 words on average, found 20.0" in line for line in found)
    assert any("4,000 words outside folded asides, found 4,020" in line for line in found)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n" * 16, "at most 15 visible lines, found 16"),
        ("x = '" + "a" * 70 + "'", "at most 72 columns, found 76"),
        ("assert x", "expected assert in folded cells only"),
        ("n = rt.budget(smoke=1, cpu=2, gpu=3)", "expected rt.budget in folded cells only"),
    ],
)
def test_visible_code_is_short_and_folded_code_may_do_all_this(source: str, message: str) -> None:
    assert any(message in line for line in code_defects(_code(source)))
    for tag in ("hide-input", "hide-cell", "remove-input"):
        assert list(code_defects(_code(source, tags=[tag]))) == []


def test_a_figure_needs_a_caption() -> None:
    picture = {"image": {"alt": "A picture."}}
    assert any("expected a caption" in line for line in code_defects(_code("show()", mystnb=picture)))
    captioned = {**picture, "figure": {"caption": "What to see."}}
    assert list(code_defects(_code("show()", mystnb=captioned))) == []


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        (("x = 1", "x = 2", "print(x)"), ["x"]),
        (("x = 1\nprint(x)", "x = 2\nprint(x)"), []),
        (("x = 1", "x += 1"), ["x"]),
        (("for k in range(3):\n    pass", "k = 5\nprint(k)"), []),
        (("n = 1", "def f():\n    return n", "n = 2"), ["n"]),
        (("n = 1", "def f(n):\n    return n", "n = 2"), []),
        (("def f():\n    pass", "def f():\n    pass", "f()"), ["f"]),
        (("import math", "import math", "math.pi"), ["math"]),
        (("y = [x for x in 'ab']", "x = 1", "x = 2\nprint([x for x in 'cd'], x)"), []),
    ],
)
def test_names_that_two_cells_assign(cells: tuple[str, ...], named: list[str]) -> None:
    found = list(name_defects(_code(*cells)))
    assert [line.split("'")[1] for line in found] == named


def test_only_chapters_of_the_book_are_mentioned() -> None:
    prose = "As chapter 3 says and chapter 12 will, see the slides."
    found = list(mention_defects(_notebook(("markdown", prose, {})), {3}))
    assert ["chapter 12" in found[0], "'slides'" in found[1], len(found)] == [True, True, 2]
    assert (
        list(mention_defects(_notebook(("markdown", "Slide it along, or move the slider.", {})), {3})) == []
    )
