"""Questions to the reader: the quiz before and after a chapter, and cells that check themselves."""

from __future__ import annotations

import json
import math
import random
from typing import Any

from course_lib import checks, data

FOLDER = "book/quizzes"


def ask(name: str) -> None:
    """Show the quiz ``book/quizzes/NAME.json``; every answer, right or wrong, comes with its explanation.

    Raises:
        ValueError: no quiz of this name.
    """
    from jupyterquiz import display_quiz

    # It draws its element's id from `random`. A chapter may seed that twice alike, and two quizzes would share an id.
    state = random.getstate()
    random.seed(name)
    try:
        display_quiz(questions(name), max_width=720, border_radius=6)
    finally:
        random.setstate(state)


def questions(name: str) -> list[dict[str, Any]]:
    """The questions of the quiz `name`, as jupyterquiz wants them.

    Raises:
        ValueError: no quiz of this name.
        DataFileError: the library was installed without its repository, which holds the quizzes.
    """
    folder = data.repository_folder() / FOLDER
    names = tuple(sorted(path.stem for path in folder.glob("*.json")))
    checks.choice("name", name, names)
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def check(answer: Any, expected: float, *, hint: str, why: str, tolerance: float = 0.0) -> bool:
    """Compare the reader's `answer` with `expected` and print what is to be said about it.

    Args:
        answer: what the reader typed; ``...`` (an ellipsis) means that there is no answer yet.
        expected: the right value, computed by the cell rather than typed, so that it does not give itself away.
        hint: shown after a wrong answer.
        why: shown after the right one.
        tolerance: how far off still counts as right, in the answer's units.

    Returns:
        Whether the answer is right.
    """
    if answer is ...:
        print("○ No answer yet: put yours in place of the three dots and run the cell again.")
        return False
    try:
        value = float(answer)
    except (TypeError, ValueError):
        print(f"✗ Expected a number, got {answer!r}.")
        return False
    if math.isfinite(value) and abs(value - float(expected)) <= tolerance + 1e-9 * abs(float(expected)):
        print(f"✓ Right. {why}")
        return True
    print(f"✗ Not yet: you said {value:g}. {hint}")
    return False
