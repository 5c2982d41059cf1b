"""Self-checks say what they should, and quizzes are found."""

import random

import pytest

from course_lib import quiz


@pytest.mark.parametrize(
    ("answer", "right", "says"),
    [
        (..., False, "No answer yet"),
        (53.4, True, "because"),
        (54, False, "look closer"),
        ("a lot", False, "Expected a number"),
        (None, False, "Expected a number"),
        (float("nan"), False, "look closer"),
    ],
)
def test_check(answer, right, says, capsys):
    assert quiz.check(answer, 53.5, tolerance=0.2, hint="look closer", why="because") is right
    assert says in capsys.readouterr().out


def test_check_does_not_give_the_answer_away(capsys):
    quiz.check(1, 53.5, hint="look closer", why="because")
    assert "53" not in capsys.readouterr().out


def test_an_unknown_quiz_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="03_before"):
        quiz.ask("99_never")


def test_asking_shows_the_questions(monkeypatch):
    shown = []
    monkeypatch.setattr("jupyterquiz.display_quiz", lambda questions, **options: shown.append(questions))
    quiz.ask("03_before")
    assert shown == [quiz.questions("03_before")]


def test_each_quiz_has_an_id_of_its_own_whatever_a_chapter_seeds(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "jupyterquiz.display_quiz", lambda questions, **options: drawn.append(random.random())
    )
    after = []
    for name in ("03_before", "03_after", "03_before"):
        random.seed(0)
        quiz.ask(name)
        after.append(random.random())
    assert drawn[0] == drawn[2] != drawn[1]
    random.seed(0)
    assert set(after) == {random.random()}  # the reader's own draws are not disturbed
