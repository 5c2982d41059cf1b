"""A reader's answers become the games that a discriminator with the same opinions would have played."""

import pytest
import torch

from course_lib.metrics.games import bradley_terry, play
from course_lib.real_or_generated import ANSWERS, Panel
from tests.unit.proof import generator

SIZE = (1, 4, 4)


def pictures(n, value):
    """Pictures of one grey each, so that a judge can know them again."""
    return torch.full((n, *SIZE), value)


@pytest.fixture
def panel():
    return Panel(
        {"G dark": pictures(5, -0.5), "G light": pictures(5, 0.5)},
        pictures(9, 0.0),
        each=3,
        generator=generator(),
    )


def says_real_below(limit):
    return lambda x: limit - x.flatten(1).mean(1)


def test_pictures_are_shuffled_and_half_of_them_real(panel):
    assert panel.makers.count(None) == 6
    assert panel.makers.count("G dark") == panel.makers.count("G light") == 3
    assert panel.makers != sorted(panel.makers, key=str)
    grey = {None: 0.0, "G dark": -0.5, "G light": 0.5}
    assert panel.pictures[:, 0, 0, 0].tolist() == [grey[maker] for maker in panel.makers]
    again = Panel(
        {"G dark": pictures(3, -0.5), "G light": pictures(3, 0.5)},
        pictures(6, 0.0),
        each=3,
        generator=generator(),
    )
    assert again.makers == panel.makers


def test_answers_are_the_games_of_a_discriminator_with_the_same_opinions(panel):
    """Takes dark for real, light for generated, and real ones for real."""
    judge = says_real_below(0.25)
    panel.answer_by(judge)
    assert (panel.answered, panel.right) == (12, 9)
    fake = {
        "G dark": {"you": judge(pictures(3, -0.5))},
        "G light": {"you": judge(pictures(3, 0.5))},
    }
    expected = play(fake, {"you": judge(pictures(6, 0.0))})
    found = panel.games()
    for g in fake:
        for a, b in ((g, "you"), ("you", g)):
            assert (
                found.wins[found.names.index(a), found.names.index(b)]
                == (expected.wins[expected.names.index(a), expected.names.index(b)])
            )


def test_a_reader_joins_the_ratings_of_others(panel):
    panel.answer_by(says_real_below(0.25))
    others = play(
        {"G dark": {"D": torch.tensor([1.0, -1.0])}, "G light": {"D": torch.tensor([1.0, -1.0])}},
        {"D": torch.tensor([1.0])},
    )
    ratings = bradley_terry(others + panel.games("me"), prior=1)
    assert "me" in ratings.names
    assert ratings.lead("G dark", "G light").value > 0  # who deceived the reader is rated higher


def test_single_answers_replace_each_other(panel):
    panel.answer(0, True)
    panel.answer(0, False)
    assert panel.answered == 1
    assert panel.right == int(panel.makers[0] is not None)


def test_only_answered_pictures_are_games(panel):
    panel.answer(panel.makers.index(None), True)
    panel.answer(panel.makers.index("G dark"), True)
    games = panel.games()
    assert games.names == ("G dark", "you")
    assert games.wins.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("maker", [None, "G dark"])
def test_answers_of_one_kind_are_no_tournament(panel, maker):
    panel.answer(panel.makers.index(maker), True)
    with pytest.raises(ValueError, match="answer a few more"):
        panel.games()


def test_bad_answers_and_pictures_are_named(panel):
    with pytest.raises(ValueError, match="number"):
        panel.answer(12, True)
    with pytest.raises(TypeError, match="says_real"):
        panel.answer(0, 1)
    with pytest.raises(ValueError, match=r"judge\(pictures\)"):
        panel.answer_by(lambda x: x.flatten(1))
    with pytest.raises(ValueError, match="at least one generator"):
        Panel({}, pictures(2, 0.0), each=1, generator=generator())
    with pytest.raises(ValueError, match="real: expected at least 4"):
        Panel({"G": pictures(4, 0.0)}, pictures(3, 0.0), each=4, generator=generator())
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        Panel({"G": pictures(4, 2.0)}, pictures(4, 0.0), each=4, generator=generator())


@pytest.fixture(params=["Stack", "no Stack"])
def stack(request, monkeypatch):
    """Whether ipywidgets has the widget that turns pages in the browser: version 8 does, Colab's 7 does not."""
    import ipywidgets

    has = request.param == "Stack"
    if not has:
        monkeypatch.delattr(ipywidgets, "Stack", raising=False)
    elif not hasattr(ipywidgets, "Stack"):
        pytest.skip("this ipywidgets has no Stack")
    return has


def parts(widget):
    """The control, and each picture's image, buttons and verdict."""
    control, pages = widget.children
    screens = []
    for i in range(len(control.options)):
        control.index = i
        screens.append(pages.children[i if len(pages.children) > 1 else 0].children)
    return control, screens


def test_a_button_in_the_panel_takes_the_answer_down(panel, stack):
    control, screens = parts(panel.widget())
    assert len(control.options) == len(set(screens)) == 12
    i = panel.makers.index("G light")
    _, buttons, verdict = screens[i]
    assert tuple(buttons.options) == ANSWERS
    assert buttons.index == 0
    if stack:
        assert verdict.selected_index == 0
    buttons.value = "real"
    assert panel.says_real[i] is True
    assert panel.answered == 1
    buttons.value = "generated"
    assert panel.says_real[i] is False
    buttons.value = ANSWERS[0]
    assert panel.says_real[i] is None
    assert panel.answered == 0


def test_the_truth_is_told_after_an_answer_and_not_before(panel, stack):
    _, screens = parts(panel.widget())
    for maker, (image, buttons, verdict) in zip(panel.makers, screens, strict=True):
        assert "G " not in image.value and 'alt="Picture' in image.value
        told = []
        for i, answer in enumerate(ANSWERS):
            buttons.value = answer
            told.append(verdict.children[i if stack else 0].value)
        assert "it is" not in told[0]
        assert ["Right" in text for text in told[1:]] == [maker is None, maker is not None]
        assert all((maker or "it is real") in text for text in told[1:])


def test_without_python_the_browser_links_button_and_verdict(panel):
    """The links are widgets of their own, which the built page carries out."""
    import ipywidgets

    if not hasattr(ipywidgets, "Stack"):
        pytest.skip("this ipywidgets has no Stack: a running kernel turns the pages")
    from ipywidgets.widgets.widget import _instances

    _, screens = parts(panel.widget())
    links = [w for w in _instances.values() if type(w).__name__ == "Link"]
    for _, buttons, verdict in screens:
        wanted = ((buttons, "index"), (verdict, "selected_index"))
        assert any((link.source, link.target) == wanted for link in links)
