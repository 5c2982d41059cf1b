"""The anatomy that every chapter shares, as rules that name what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tools.notebooks import tags, text

# Sections in this order; each is a heading of the second level.
SECTIONS = ("Before you start", "What goes wrong", "Summary", "Exercises", "After reading", "References")


def chapter_defects(notebook: dict[str, Any], number: str) -> Iterator[str]:
    """What a chapter's notebook lacks; `number` is the two digits its file name starts with."""
    cells = notebook["cells"]
    first = text(cells[0])
    if not re.match(rf"(\([\w-]+\)=\n)?# {int(number)}\. \S", first):
        yield f"expected the first cell to start with '# {int(number)}. Title'"
    prose = "\n".join(text(cell) for cell in cells if cell["cell_type"] == "markdown")
    opening = prose.partition("\n## ")[0]
    outcomes = opening.partition("You will be able to")[2]
    if not 3 <= len(re.findall(r"(?m)^[-*] ", outcomes)) <= 5:
        yield "expected 'You will be able to' with three to five outcomes before the first section"
    for word in ("Prerequisites", "Reading time", "Run time"):
        if word not in opening:
            yield f"expected '{word}' before the first section"
    poster = cells[: next((k for k, cell in enumerate(cells) if "You will be able to" in text(cell)), 0)]
    if not any("figure" in cell["metadata"].get("mystnb", {}) for cell in poster):
        yield "expected a figure with a caption before the outcomes: what the chapter reaches"
    if "A common slip" not in prose:
        yield "expected a box 'A common slip'"
    folded = {tag for cell in cells for tag in tags(cell)}
    for tag in ("predict", "check", "checks"):
        if tag not in folded:
            yield f"expected cells with the tag {tag!r}"
    headings = [heading.strip() for heading in re.findall(r"(?m)^## (.+)$", prose)]
    places = [
        next((k for k, heading in enumerate(headings) if heading == section), None) for section in SECTIONS
    ]
    for section, place in zip(SECTIONS, places, strict=True):
        if place is None:
            yield f"expected a section '## {section}'"
    there = [place for place in places if place is not None]
    if there != sorted(there):
        yield f"expected the sections in the order {', '.join(SECTIONS)}"
    yield from _exercise_defects(cells)
    code = "\n".join(text(cell) for cell in cells if cell["cell_type"] == "code")
    for moment in ("before", "after"):
        if not re.search(rf"""quiz\.ask\(["']{number}_{moment}["']\)""", code):
            yield f'expected a cell with quiz.ask("{number}_{moment}")'


def _exercise_defects(cells: list[dict[str, Any]]) -> Iterator[str]:
    """Each exercise says how hard it is, gives a hint, and is followed by its solution, folded away."""
    waiting: str | None = None
    count = 0
    for cell in cells:
        names = re.findall(r":{3,}\{exercise\}[^\n]*\n(?::\w+:[^\n]*\n)*?:label: (\S+)", text(cell))
        solution = cell["cell_type"] == "code" and "solution" in tags(cell)
        if names and not all(
            re.search(r"\{exercise\} ★{1,3} \S", line) for line in re.findall(r".*\{exercise\}.*", text(cell))
        ):
            yield f"exercise {names[0]}: expected one to three stars before its title"
        if names and "{dropdown} Hint" not in text(cell):
            yield f"exercise {names[0]}: expected a hint (':::{{dropdown}} Hint')"
        for name in names:
            if waiting:
                yield f"exercise {waiting} has no solution cell (tag 'solution') before the next exercise"
            waiting, count = name, count + 1
        if solution:
            waiting = None
            if "hide-cell" not in tags(cell):
                yield f"solution {cell['id']!r} is not hidden: expected the tag 'hide-cell'"
    if waiting:
        yield f"exercise {waiting} has no solution cell (tag 'solution') after it"
    if not count:
        yield "expected exercises (':::{exercise}' with a ':label:'), found none"


def quiz_defects(questions: Any) -> Iterator[str]:
    """What is wrong with the questions of a quiz: every answer is explained, and one at least is right."""
    if not isinstance(questions, list) or not questions:
        yield "expected a list of questions"
        return
    for number, question in enumerate(questions, 1):
        kind, answers = question.get("type"), question.get("answers", [])
        if kind not in ("multiple_choice", "many_choice", "numeric", "string"):
            yield f"question {number}: unknown type {kind!r}"
        if len(str(question.get("question", "")).strip()) < 10:
            yield f"question {number}: expected a question in words"
        if len(answers) < 2:
            yield f"question {number}: expected two answers or more, found {len(answers)}"
        right = sum(answer.get("correct") is True for answer in answers)
        if right < 1 or (kind == "multiple_choice" and right != 1):
            yield f"question {number}: {right} right answers in a {kind} question"
        for place, answer in enumerate(answers, 1):
            if len(str(answer.get("feedback", "")).strip()) < 5:
                yield f"question {number}, answer {place}: expected feedback, found none"
        if kind == "numeric" and not any(answer.get("type") == "default" for answer in answers):
            yield f"question {number}: expected an answer of type 'default', for all other numbers"


def within_defects(asked: dict[str, Any]) -> Iterator[str]:
    """What is wrong with predictions, which have answers to choose, and with checks, which ask for a number."""
    for name, question in asked.items():
        word = "Predict." if "answers" in question else "Check."
        if not str(question.get("question", "")).startswith(word):
            yield f"{name}: expected the question to begin with {word!r}"
        if "answers" in question:
            yield from (f"{name}: {line}" for line in quiz_defects([question]))
            for answer in question["answers"]:
                if not answer.get("correct") and not str(answer.get("feedback")).startswith("Not quite."):
                    yield f"{name}: expected feedback that begins with 'Not quite.' for {answer.get('answer')!r}"
            continue
        for part in ("why", "hint"):
            if len(str(question.get(part, "")).strip()) < 5:
                yield f"{name}: expected a {part}"
