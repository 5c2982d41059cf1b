"""Chapters have the anatomy that readers rely on, and quizzes explain every answer."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.notebooks.anatomy import chapter_defects, quiz_defects, within_defects
from tools.notebooks import read, text
from tools.project import BOOK, notebooks

QUIZZES = sorted((BOOK / "quizzes").glob("*_[ab]*.json"))
WITHIN = sorted((BOOK / "quizzes").glob("*_within.json"))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_chapter(path: Any) -> None:
    assert list(chapter_defects(read(path), path.name[:2])) == []


@pytest.mark.parametrize("path", QUIZZES, ids=lambda path: path.stem)
def test_quiz(path: Any) -> None:
    assert list(quiz_defects(json.loads(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("path", WITHIN, ids=lambda path: path.stem)
def test_questions_within_a_chapter(path: Any) -> None:
    asked = json.loads(path.read_text(encoding="utf-8"))
    assert list(within_defects(asked)) == []
    code = "\n".join(text(cell) for cell in read(next(BOOK.glob(f"{path.name[:2]}_*.ipynb")))["cells"])
    used = re.findall(r"""quiz\.(?:predict|check)\(\s*["']\d\d["'],\s*["']([\w-]+)["']""", code)
    assert sorted(used) == sorted(asked)


def test_there_are_chapters_and_quizzes() -> None:
    assert len(QUIZZES) == 2 * len(notebooks()) > 0
    assert len(WITHIN) == len(notebooks())


def _cell(kind: str, source: str, **metadata: Any) -> dict[str, Any]:
    return {"cell_type": kind, "id": f"cell{hash(source) % 1000}", "source": source, "metadata": metadata}


def chapter() -> dict[str, Any]:
    times = "**Prerequisites.** None. **Reading time.** 1 h. **Run time.** 1 min."
    outcomes = f"You will be able to\n\n- a\n- b\n- c\n\n{times}"
    exercise = ":::{{exercise}} ★ Title\n:label: ex-7-{}\n:::\n\n:::{{dropdown}} Hint\nThink.\n:::"
    return {
        "cells": [
            _cell("markdown", "# 7. Title\n\nA promise."),
            _cell("code", "poster()", mystnb={"figure": {"caption": "What it reaches."}}),
            _cell("markdown", f"{outcomes}\n\n## Before you start"),
            _cell("code", 'quiz.ask("07_before")'),
            _cell("code", 'quiz.predict("07", "a")', tags=["predict"]),
            _cell("code", 'quiz.check("07", "b", 1)', tags=["check"]),
            _cell("code", "assert True", tags=["checks", "hide-cell"]),
            _cell("markdown", "## What goes wrong\n\nA common slip\n\n## Summary\n\n## Exercises"),
            _cell("markdown", exercise.format(1)),
            _cell("code", "1", tags=["hide-cell", "solution"]),
            _cell("markdown", exercise.format(2)),
            _cell("code", "2", tags=["hide-cell", "solution"]),
            _cell("markdown", "## After reading"),
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
    "outcomes": (_replace(2, "- b\n- c\n", ""), "three to five outcomes"),
    "prerequisites": (_replace(2, "Prerequisites", "x"), "'Prerequisites'"),
    "reading time": (_replace(2, "Reading time", "x"), "'Reading time'"),
    "run time": (_replace(2, "Run time", "x"), "'Run time'"),
    "poster": (lambda n: n["cells"].pop(1), "what the chapter reaches"),
    "failure": (_replace(7, "## What goes wrong", ""), "'## What goes wrong'"),
    "slip": (_replace(7, "A common slip", ""), "a box 'A common slip'"),
    "prediction": (lambda n: n["cells"].pop(4), "the tag 'predict'"),
    "check": (lambda n: n["cells"].pop(5), "the tag 'check'"),
    "checks": (lambda n: n["cells"].pop(6), "the tag 'checks'"),
    "stars": (_replace(8, "★ ", ""), "one to three stars"),
    "hint": (_replace(8, "Hint", "More"), "expected a hint"),
    "order": (lambda n: n["cells"].insert(3, n["cells"].pop()), "in the order"),
    "solution": (lambda n: n["cells"].pop(9), "exercise ex-7-1 has no solution cell"),
    "last solution": (lambda n: n["cells"].pop(11), "exercise ex-7-2 has no solution cell"),
    "shown solution": (lambda n: n["cells"][9]["metadata"]["tags"].remove("hide-cell"), "is not hidden"),
    "exercises": (lambda n: [n["cells"].pop(8) for _ in range(4)], "found none"),
    "quiz before": (lambda n: n["cells"].pop(3), 'quiz.ask("07_before")'),
    "quiz after": (lambda n: n["cells"].pop(13), 'quiz.ask("07_after")'),
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


CHECK = {"question": "Check. How many are there?", "why": "Count them.", "hint": "More than two."}


def test_sound_questions_within_a_chapter_pass() -> None:
    predict = {**QUESTION, "question": "Predict. Which of the two is right?"}
    predict["answers"] = [{**a, "feedback": f"Not quite. {a['feedback']}"} for a in QUESTION["answers"]]
    assert list(within_defects({"a": predict, "b": CHECK})) == []


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({**CHECK, "hint": ""}, "expected a hint"),
        ({**CHECK, "why": " "}, "expected a why"),
        ({**CHECK, "question": "How many are there?"}, "'Check.'"),
        (QUESTION, "'Predict.'"),
        ({**QUESTION, "question": "Predict. Which one?"}, "'Not quite.'"),
    ],
)
def test_each_flaw_of_a_question_within_a_chapter_is_named(question: Any, message: str) -> None:
    assert any(message in line for line in within_defects({"a": question}))


def test_a_sound_quiz_passes() -> None:
    assert list(quiz_defects([QUESTION])) == []
    assert list(quiz_defects([])) == ["expected a list of questions"]


@pytest.mark.parametrize("name", QUIZ_MUTATIONS)
def test_each_flaw_of_a_quiz_is_named(name: str) -> None:
    mutate, message = QUIZ_MUTATIONS[name]
    question = copy.deepcopy(QUESTION)
    mutate(question)
    assert any(message in line for line in quiz_defects([question]))
