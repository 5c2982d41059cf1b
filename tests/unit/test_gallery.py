"""The model zoo's page: nobody is missing, it says what the cards say, and its pictures are those of the weights."""

import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import gallery, zoo
from course_lib.commands import leaderboard as leaderboard_command
from course_lib.commands.zoo import main
from course_lib.gallery import catalogue, page, pictures
from course_lib.gallery.catalogue import CATALOGUE, SCORES, explained
from course_lib.leaderboard.entries import ENTRIES
from course_lib.recipes import RECIPES
from tools import build_book
from tools.project import ROOT, CourseError

SHIPPED = zoo.names()
WRITTEN = (ROOT / "book" / "appendix" / "zoo.md").read_text(encoding="utf-8")
HEIGHTS = {"samples": 1, "classes": 1, "reconstructions": 2, "swaps": 3, "styles": 3}  # in rows


def section(name: str) -> str:
    """What the page says of a checkpoint."""
    return WRITTEN.split(f"(zoo-{name.replace('_', '-')})=\n")[1].split("\n(zoo-")[0]


# Nobody is missing


def test_the_page_is_up_to_date():
    """If this fails: python -m course_lib.zoo page."""
    assert gallery.defects() == []


def test_every_checkpoint_is_described_and_every_description_has_a_recipe_or_a_chapter_to_come():
    assert set(SHIPPED) <= set(CATALOGUE)
    for name, item in CATALOGUE.items():
        to_come = not list((ROOT / "book").glob(f"{item.chapter:02d}_*.ipynb"))
        assert name in RECIPES or to_come, name
        assert item.strip is None or item.strip in pictures.STRIPS
        assert 20 < len(item.text) < 250


def test_the_described_are_in_the_order_of_the_chapters():
    chapters = [item.chapter for item in CATALOGUE.values()]
    assert chapters == sorted(chapters)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_section_has_what_a_card_has(name):
    text, card = section(name), zoo.info(name)
    assert text.startswith(f"### {CATALOGUE[name].title}\n")
    assert f"{card['images_seen']:,} pictures seen" in text
    assert f'zoo.load("{name}")' in text
    assert f"python -m course_lib.zoo train {name}" in text
    assert f"`{card['recipe']}`" in text
    for score, found in card["scores"].items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {score.replace(' -', ' −')} |"))
        shown = re.search(r"\| (−?[\d.e+−]+)", row.removeprefix(f"| {score.replace(' -', ' −')} "))
        value = float(shown[1].replace("−", "-"))
        assert value == pytest.approx(found["value"], rel=0.01, abs=max(found["ci95"], 1e-3))
        assert row.endswith(f" | {found['n']:,} |")
    for key in {**card["settings"], **card["config"]}:
        assert f"| {key} | " in text


@pytest.mark.parametrize("name", [name for name in SHIPPED if name in ENTRIES])
def test_every_generator_has_a_strip(name):
    assert CATALOGUE[name].strip
    assert f"../_generated/{pictures.file_name(name)}" in section(name)


def test_tables_fit_a_telephone():
    tables = [line for line in WRITTEN.splitlines() if re.fullmatch(r"\|( -+:? \|)+", line)]
    assert len(tables) > 2 * len(SHIPPED)
    assert max(line.count("-- |") + line.count("-: |") for line in tables) <= 4


def test_every_score_is_explained_and_only_those_that_occur():
    used = {explained(score) for name in SHIPPED for score in zoo.info(name)["scores"]}
    assert None not in used
    last = WRITTEN.split("(zoo-scores)=")[1]
    for score in SCORES:
        assert (f"| {score.replace(' -', ' −')} |" in last) == (score in used), score


def test_names_of_scores_with_any_word_in_them():
    assert explained("accuracy of head") == "accuracy of …"
    assert explained("glasses kept") == "… kept"
    assert explained("kept") is None
    assert explained("speed") is None


# What is out of date is named


def test_what_nobody_has_described_is_named(monkeypatch):
    names = [*SHIPPED, "perceptron"]
    info = zoo.info
    monkeypatch.setattr(zoo, "names", lambda *_: names)
    monkeypatch.setattr(
        zoo, "info", lambda name: {"scores": {"luck": 1}} if name == "perceptron" else info(name)
    )
    assert page.defects() == [
        "perceptron is not in CATALOGUE of course_lib/gallery/catalogue.py",
        "'luck', a score of perceptron, is not in SCORES of the same file",
    ]
    with pytest.raises(KeyError, match="perceptron"):
        page.page()


def test_an_edited_page_is_found_and_written_anew(monkeypatch, tmp_path, capsys):
    path = tmp_path / "zoo.md"
    monkeypatch.setattr(page, "page_path", lambda: path)
    monkeypatch.setattr(gallery, "page_path", lambda: path)
    monkeypatch.setattr(page, "page", lambda: "the page")
    assert page.defects() == ["zoo.md is not what the cards say"]
    assert main(["page", "--check"]) == 1
    assert "zoo.md is not what the cards say" in capsys.readouterr().out
    assert main(["page"]) == 0
    assert path.read_text(encoding="utf-8") == "the page"
    assert main(["page", "--check"]) == 0


def test_the_leaderboards_command_looks_at_this_page_too(monkeypatch, capsys):
    monkeypatch.setattr(leaderboard_command, "defects", list)
    monkeypatch.setattr(gallery, "defects", lambda: ["zoo.md is not what the cards say"])
    assert leaderboard_command.main(["--check"]) == 1
    assert "zoo.md" in capsys.readouterr().out


def test_the_build_stops_and_names_the_command(monkeypatch):
    monkeypatch.setattr(pictures, "draw", lambda: None)
    monkeypatch.setattr(gallery, "defects", lambda: ["zoo.md is not what the cards say"])
    with pytest.raises(CourseError, match=rf"zoo\.md.*{gallery.COMMAND}"):
        build_book.prepare_zoo()
    monkeypatch.setattr(gallery, "defects", list)
    build_book.prepare_zoo()


# Pictures


def test_all_that_the_pages_show_is_drawn_and_light(tmp_path):
    pictures.draw(tmp_path)
    history = (ROOT / "book" / "appendix" / "history.md").read_text(encoding="utf-8")
    shown = re.findall(r"\{figure\} \.\./_generated/(\S+)", WRITTEN + history)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sorted(shown) == sorted(sizes)
    strips = {name: size for name, size in sizes.items() if name != pictures.TIMELINE}
    assert sum(strips.values()) < 600_000
    for name in SHIPPED:
        if kind := CATALOGUE[name].strip:
            image = Image.open(tmp_path / pictures.file_name(name))
            columns = pictures.STRIPS[kind].columns
            ratio = image.width / columns / (image.height / HEIGHTS[kind])
            assert ratio == pytest.approx(1, abs=0.1), name
            assert 400 < image.width < 900


def test_a_strip_holds_the_pictures_and_its_gaps_are_transparent():
    x = torch.linspace(-1, 1, 4).view(4, 1, 1, 1).expand(4, 1, 32, 32)
    image = np.asarray(Image.open(io.BytesIO(pictures.png(x, 2))).convert("RGBA"))
    assert image.shape == (2 * 64 + 4, 2 * 64 + 4, 4)
    assert [image[k, j, 0] for k in (10, 100) for j in (10, 100)] == [0, 85, 170, 255]
    assert (image[:, 64:68, 3] == 0).all()
    assert (image[:64, :64, 3] == 255).all()


def test_large_pictures_are_not_enlarged_and_colours_stay():
    x = torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1).expand(3, 3, 64, 64) * 5
    image = np.asarray(Image.open(io.BytesIO(pictures.png(x, 3))).convert("RGBA"))
    assert image.shape == (64, 3 * 64 + 2 * 4, 4)
    assert image[5, 5].tolist() == [255, 0, 128, 255]


def test_a_strip_is_asked_for_by_a_name_that_has_one():
    with pytest.raises(ValueError, match="digit_classifier"):
        pictures.drawn("digit_classifier")


def test_faces_stand_in_the_order_of_their_years():
    figure = pictures.faces()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [label for name, label in pictures.FACES.items() if name in SHIPPED]
    years = [int(label.split("\n")[0]) for label in pictures.FACES.values()]
    assert years == sorted(years)
    plt.close("all")


# Words


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cpu (x86_64, 1 threads)", "one thread of a processor (x86_64)"),
        ("cpu (arm64, 8 threads)", "8 threads of a processor (arm64)"),
        ("NVIDIA H200", "NVIDIA H200"),
    ],
)
def test_hardware_in_words(text, wanted):
    assert page._hardware(text) == wanted


def test_settings_are_shown_and_long_lists_are_counted():
    assert [page._value(v) for v in (200_000, 0.012, True)] == ["200,000", "0.012", "`true`"]
    assert page._value([0.001, 0.0003]) == "`[0.001, 0.0003]`"
    assert page._value(None) == "`null`"
    assert page._value({"head": list("abcdefghijklmnopqrstuvwxyz"), "glasses": ["none"]}) == (
        'head: 26 of them<br>glasses: `["none"]`'
    )
    assert page._minus("test -ELBO") == "test −ELBO"
    assert page._minus("Fréchet distance, R1-penalty") == "Fréchet distance, R1-penalty"


def test_a_chapter_has_one_notebook_and_its_title():
    assert page._chapter(9) == (9, "DCGAN")
    with pytest.raises(ValueError, match="chapter 99"):
        page._file_of(99)
    assert catalogue.SCORES
