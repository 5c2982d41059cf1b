"""Chapters have the anatomy that readers rely on, and quizzes explain every answer."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.notebooks.anatomy import chapter_defects, quiz_defects
from tools.notebooks import read
from tools.project import BOOK, notebooks

QUIZZES = sorted((BOOK / "quizzes").glob("*.json"))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_chapter(path: Any) -> None:
    assert list(chapter_defects(read(path), path.name[:2])) == []


@pytest.mark.parametrize("path", QUIZZES, ids=lambda path: path.stem)
def test_quiz(path: Any) -> None:
    assert list(quiz_defects(json.loads(path.read_text(encoding="utf-8")))) == []


def test_there_are_chapters_and_quizzes() -> None:
    assert len(QUIZZES) >= 2 * len(notebooks()) > 0


def _cell(kind: str, source: str, **metadata: Any) -> dict[str, Any]:
    return {"cell_type": kind, "id": f"cell{hash(source) % 1000}", "source": source, "metadata": metadata}


def chapter() -> dict[str, Any]:
    opening = "# 7. Title\n\n**You will be able to**\n\n- a\n- b\n- c\n\n**Prerequisites.** None. **Run time.** 1 min."
    return {
        "cells": [
            _cell("markdown", opening),
            _cell("code", 'quiz.ask("07_before")'),
            _cell("markdown", "## What goes wrong\n\n## Corrections to the slides\n\n## Summary"),
            _cell("markdown", "## Exercises"),
            _cell("markdown", ":::{exercise} One\n:label: ex-7-1\n:::"),
            _cell("code", "1", tags=["hide-cell", "solution"]),
            _cell("markdown", ":::{exercise} Two\n:label: ex-7-2\n:::"),
            _cell("code", "2", tags=["hide-cell", "solution"]),
            _cell("code", 'quiz.ask("07_after")'),
            _cell("markdown", "## References"),
        ]
    }


def _replace(index: int, old: str, new: str) -> Callable[[dict[str, Any]], Any]:
    def change(notebook: dict[str, Any]) -> None:
        cell = notebook["cells"][index]
        assert old in cell["source"]
        cell["source"] = cell["source"].replace(old, new)

    return change


CHAPTER_MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "number": (_replace(0, "# 7.", "# 8."), "'# 7. Title'"),
    "outcomes": (_replace(0, "- b\n- c\n", ""), "three to five outcomes"),
    "prerequisites": (_replace(0, "Prerequisites", "x"), "'Prerequisites'"),
    "run time": (_replace(0, "Run time", "x"), "'Run time'"),
    "failure": (_replace(2, "## What goes wrong", ""), "'## What goes wrong'"),
    "corrections": (_replace(2, "Corrections", "Notes"), "'## Corrections to the slides'"),
    "order": (lambda n: n["cells"].insert(2, n["cells"].pop()), "in the order"),
    "solution": (lambda n: n["cells"].pop(5), "exercise ex-7-1 has no solution cell"),
    "last solution": (lambda n: n["cells"].pop(7), "exercise ex-7-2 has no solution cell"),
    "shown solution": (lambda n: n["cells"][5]["metadata"]["tags"].remove("hide-cell"), "is not hidden"),
    "exercises": (lambda n: [n["cells"].pop(4) for _ in range(4)], "found none"),
    "quiz before": (lambda n: n["cells"].pop(1), 'quiz.ask("07_before")'),
    "quiz after": (lambda n: n["cells"].pop(8), 'quiz.ask("07_after")'),
}


def test_a_complete_chapter_passes() -> None:
    assert list(chapter_defects(chapter(), "07")) == []


@pytest.mark.parametrize("name", CHAPTER_MUTATIONS)
def test_each_missing_part_is_named(name: str) -> None:
    mutate, message = CHAPTER_MUTATIONS[name]
    notebook = chapter()
    mutate(notebook)
    found = list(chapter_defects(notebook, "07"))
    assert any(message in line for line in found), found


QUESTION = {
    "question": "Which of the two is right?",
    "type": "multiple_choice",
    "answers": [
        {"answer": "this", "correct": True, "feedback": "Right, it is."},
        {"answer": "that", "correct": False, "feedback": "No, it is not."},
    ],
}
QUIZ_MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no feedback": (lambda q: q["answers"][1].pop("feedback"), "answer 2: expected feedback"),
    "blank feedback": (lambda q: q["answers"][0].update(feedback="  "), "answer 1: expected feedback"),
    "none right": (lambda q: q["answers"][0].update(correct=False), "0 right answers"),
    "two right": (lambda q: q["answers"][1].update(correct=True), "2 right answers"),
    "one answer": (lambda q: q["answers"].pop(), "two answers or more"),
    "type": (lambda q: q.update(type="essay"), "unknown type 'essay'"),
    "no words": (lambda q: q.update(question="?"), "a question in words"),
    "number": (lambda q: q.update(type="numeric"), "type 'default'"),
}


def test_a_sound_quiz_passes() -> None:
    assert list(quiz_defects([QUESTION])) == []
    assert list(quiz_defects([])) == ["expected a list of questions"]


@pytest.mark.parametrize("name", QUIZ_MUTATIONS)
def test_each_flaw_of_a_quiz_is_named(name: str) -> None:
    mutate, message = QUIZ_MUTATIONS[name]
    question = copy.deepcopy(QUESTION)
    mutate(question)
    assert any(message in line for line in quiz_defects([question]))
