"""What the book's build does to an executed notebook before Sphinx reads it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from docutils import nodes
from docutils.utils import new_document

from course_lib import quiz
from tools.course_pages import CaptionedTable, FindTables, dress


def _cell(outputs: list[dict[str, Any]], *tags: str, **book: Any) -> dict[str, Any]:
    metadata = {"tags": list(tags), "mystnb": book} if book else {"tags": list(tags)}
    return {"cell_type": "code", "metadata": metadata, "outputs": outputs}


@pytest.fixture
def quizzes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The outputs of two questions, as jupyterquiz displays them."""
    shown: list[dict[str, Any]] = []
    for module in ("jupyterquiz.dynamic.display", "IPython.display"):
        monkeypatch.setattr(
            f"{module}.display",
            lambda *things, **_: shown.extend(
                {
                    "data": {"text/html": t.data}
                    if "Javascript" not in type(t).__name__
                    else {"application/javascript": t.data}
                }
                for t in things
            ),
            raising=False,
        )
    for name in ("terms", "spaces"):
        quiz.predict("06", name)
    random.seed()
    return shown


def test_the_quizzes_program_stands_once_on_a_page(quizzes: list[dict[str, Any]]) -> None:
    before = sum(len(output["data"].get("application/javascript", "")) for output in quizzes)
    scripts = [
        output["data"]["application/javascript"]
        for output in quizzes
        if "application/javascript" in output["data"]
    ]
    assert all("function show_questions" in script for script in scripts)
    dress({"cells": [_cell(quizzes[:2]), _cell(quizzes[2:])]})
    scripts = [
        output["data"]["application/javascript"]
        for output in quizzes
        if "application/javascript" in output["data"]
    ]
    assert ["function show_questions" in script for script in scripts] == [True, False]
    assert all("show_questions(questions" in script for script in scripts)
    assert sum(map(len, scripts)) < 0.7 * before


def test_a_quiz_does_not_swallow_what_follows(quizzes: list[dict[str, Any]]) -> None:
    dress({"cells": [_cell(quizzes)]})
    pages = [output["data"]["text/html"] for output in quizzes if "text/html" in output["data"]]
    assert len(pages) == 2
    assert all(page.count("<div") == page.count("</div") for page in pages)


def test_folded_cells_say_what_they_hold() -> None:
    cells = [_cell([], "hide-cell", "solution"), _cell([], "hide-input", image={"alt": "a"}), _cell([])]
    dress({"cells": cells})
    prompts = [cell["metadata"].get("mystnb", {}).get("code_prompt_show") for cell in cells]
    assert prompts == ["Show the solution", "Show the code", None]
    assert cells[1]["metadata"]["mystnb"]["image"] == {"alt": "a"}


def test_figures_of_the_class_table_are_tables() -> None:
    document = new_document("page")
    for classes in (["table"], []):
        figure = nodes.figure(classes=classes)
        figure += nodes.caption("", "text")
        document += figure
    FindTables(document).apply()
    assert [type(node) for node in document.children] == [CaptionedTable, nodes.figure]
    assert document.children[0].astext() == "text"
