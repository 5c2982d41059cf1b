"""Self-checks say what they should, and quizzes are found."""

import random
import shutil

import pytest

from course_lib import data, quiz
from course_lib.data import files
from course_lib.leaderboard.page import page_path


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


def test_data_elsewhere_leave_the_book_where_it_is(monkeypatch, tmp_path):
    """COURSE_DATA may name a copy of the data folder, with no book beside it."""
    asked, page = quiz.questions("03_before"), page_path()
    shutil.copytree(data.data_folder() / "records", tmp_path / "data" / "records")
    shutil.copy(data.data_folder() / "README.md", tmp_path / "data")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    assert data.data_folder() == tmp_path / "data"
    assert quiz.questions("03_before") == asked
    assert page_path() == page
    assert page.is_file()


def test_a_library_without_its_repository_finds_the_book_beside_the_data_or_says_what_to_do(
    monkeypatch, tmp_path
):
    clone = data.repository_folder()
    monkeypatch.setattr(files, "__file__", str(tmp_path / "site" / "course_lib" / "data" / "files.py"))
    monkeypatch.setenv("COURSE_DATA", str(clone / "data"))
    assert quiz.questions("03_before")
    monkeypatch.delenv("COURSE_DATA")
    with pytest.raises(
        data.DataFileError, match=r"repository was not found.*found no book in .*Clone the whole"
    ):
        quiz.questions("03_before")


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
