"""Questions to the reader: the quiz before and after a chapter, and cells that check themselves."""

import json
import math
import random
from typing import Any

from course_lib import checks, data

FOLDER = "book/quizzes"


def ask(name: str) -> None:
    """Show the quiz ``book/quizzes/NAME.json`` with an explanation of every answer. Raises as `questions`."""
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

    Raises ValueError: no quiz of this name; DataFileError: there is no repository, which holds the quizzes.
    """
    folder = data.repository_folder() / FOLDER
    names = tuple(sorted(path.stem for path in folder.glob("*.json")))
    checks.choice("name", name, names)
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def check(answer: Any, expected: float, *, hint: str, why: str, tolerance: float = 0.0) -> bool:
    """Whether the reader's `answer` is `expected`, within `tolerance` (in its units); prints what to say about it.

    The answer ``...`` (an ellipsis) means that there is none yet. `hint` is shown after a wrong one, `why` after the
    right one. `expected` is computed by the cell rather than typed, so that it does not give itself away.
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
