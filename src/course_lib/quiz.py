"""Questions to the reader: the quizzes around a chapter, and predictions and checks within it."""

import json
import random
from typing import Any

from course_lib import checks, data

FOLDER = "book/quizzes"


def ask(name: str) -> None:
    """Show the quiz ``book/quizzes/NAME.json`` with an explanation of every answer. Raises as `questions`."""
    _show(questions(name), name)


def predict(chapter: str, name: str) -> None:
    """Show one question of ``book/quizzes/CHAPTER_within.json``: a bet on what comes next.

    In a cell with the tag ``predict`` it holds back the next result of a built page until the reader has answered or
    declined. Raises as `within`.
    """
    _show([within(chapter, name)], f"{chapter} {name}")


def check(chapter: str, name: str, right: float, *, tolerance: float = 0.0) -> None:
    """Show one question of ``book/quizzes/CHAPTER_within.json`` whose answer is the number `right` ± `tolerance`.

    The file has the question, `why` (said after a right answer) and `hint` (said after another); the number is
    computed by the cell, so that it cannot differ from what the chapter computes. Raises as `within`.
    """
    asked = within(chapter, name)
    slack = tolerance + 1e-9 * abs(right)
    answers = [
        {
            "type": "range",
            "range": [right - slack, right + slack],
            "correct": True,
            "feedback": f"Right. {asked['why']}",
        },
        {"type": "default", "feedback": f"Not quite. {asked['hint']}"},
    ]
    _show([{"question": asked["question"], "type": "numeric", "answers": answers}], f"{chapter} {name}")


def questions(name: str) -> list[dict[str, Any]]:
    """The questions of the quiz `name`, as jupyterquiz wants them.

    Raises ValueError: no quiz of this name; DataFileError: there is no repository, which holds the quizzes.
    """
    folder = data.repository_folder() / FOLDER
    names = tuple(sorted(path.stem for path in folder.glob("*.json")))
    checks.choice("name", name, names)
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def within(chapter: str, name: str) -> dict[str, Any]:
    """The question `name` among those asked within a chapter, named by two digits. Raises as `questions`."""
    asked = questions(f"{chapter}_within")
    checks.choice("name", name, tuple(asked))
    return asked[name]


def _show(asked: list[dict[str, Any]], name: str) -> None:
    """Let jupyterquiz draw the questions."""
    from jupyterquiz import display_quiz

    # It draws its element's id from `random`. A chapter may seed that twice alike, and two quizzes would share an id.
    state = random.getstate()
    random.seed(name)
    try:
        display_quiz(asked, max_width=720, border_radius=6)
    finally:
        random.setstate(state)
