"""Self-checks say what they should, and quizzes are found."""

import random
import shutil

import pytest

from course_lib import data, quiz
from course_lib.data import files
from course_lib.leaderboard.page import page_path


@pytest.fixture
def shown(monkeypatch):
    """The questions that were given to jupyterquiz."""
    kept = []
    monkeypatch.setattr("jupyterquiz.display_quiz", lambda asked, **look: kept.append(asked))
    return kept


def test_a_check_takes_the_number_that_the_cell_computes(shown):
    quiz.check("06", "coins", 543.4, tolerance=5.0)
    ((question,),) = shown
    right, other = question["answers"]
    assert right["range"][0] == pytest.approx(538.4) and right["range"][1] > 548.4
    assert right["correct"] is True and right["feedback"].startswith("Right. ")
    assert other["type"] == "default" and other["feedback"].startswith("Not quite. ")
    assert "543" not in question["question"] + other["feedback"]


def test_a_check_without_tolerance_takes_the_number_itself(shown):
    quiz.check("06", "coins", 96)
    low, high = shown[0][0]["answers"][0]["range"]
    assert low < 96 < high and high - low < 1e-6


def test_a_prediction_is_one_question_of_the_chapter(shown):
    quiz.predict("06", "terms")
    assert shown == [[quiz.within("06", "terms")]]
    assert shown[0][0]["question"].startswith("Predict.")


def test_an_unknown_question_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="coins"):
        quiz.predict("06", "never")


def test_two_quizzes_have_different_ids_whatever_the_chapter_seeded(monkeypatch):
    ids = []
    monkeypatch.setattr("jupyterquiz.display_quiz", lambda asked, **look: ids.append(random.random()))
    for name in ("terms", "spaces"):
        random.seed(0)
        quiz.predict("06", name)
    assert ids[0] != ids[1]
    random.seed(0)
    before = random.random()
    random.seed(0)
    quiz.predict("06", "terms")
    assert random.random() == before


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
