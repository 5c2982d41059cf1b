"""Figures: what a grid contains, that colours read on both pages, what players, tables and diagrams say."""

import base64
import io
import re

import matplotlib
import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import show

matplotlib.use("Agg")


def luminance(colour):
    """WCAG 2 relative luminance of a colour."""
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_wcags():
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("page", show.PAGES.values())
@pytest.mark.parametrize("colour", [show.TEXT, *show.COLOURS])
def test_colours_read_on_both_pages(colour, page):
    assert contrast(colour, page) >= 3


def test_grid_places_each_image_and_leaves_gaps_transparent():
    x = torch.linspace(-1, 1, 5).view(5, 1, 1, 1).expand(5, 1, 28, 28)
    axis = show.images(x, columns=3).axes[0]
    canvas = np.asarray(axis.images[0].get_array())
    assert canvas.shape == (28 * 2 + 2, 28 * 3 + 4, 4)
    for i, (top, left) in enumerate([(0, 0), (0, 30), (0, 60), (30, 0), (30, 30)]):
        block = canvas[top : top + 28, left : left + 28]
        assert np.allclose(block[..., :3], i / 4)
        assert np.all(block[..., 3] == 1)
    assert canvas[0, 28, 3] == 0
    assert canvas[45, 75, 3] == 0
    plt.close("all")


def test_signed_images_are_blue_below_and_red_above_zero():
    canvas = np.asarray(
        show.images(torch.tensor([-5.0, 0.0, 5.0]).view(1, 1, 1, 3).expand(1, 1, 3, 3), signed=True)
        .axes[0]
        .images[0]
        .get_array()
    )
    assert canvas[0, 0, 2] > canvas[0, 0, 0]
    assert canvas[0, 2, 0] > canvas[0, 2, 2]
    plt.close("all")


def test_style_makes_figures_transparent():
    show.style()
    figure, axis = plt.subplots()
    assert figure.get_facecolor()[3] == 0
    assert axis.get_facecolor()[3] == 0
    plt.close("all")


def test_band_shows_mean_and_standard_deviation():
    _, axis = plt.subplots()
    show.band(axis, [1, 2], [[1.0, 2.0], [3.0, 4.0]], "line")
    line, _, (bars,) = axis.containers[0]
    assert line.get_ydata().tolist() == [2.0, 3.0]
    assert np.ptp(bars.get_segments()[0][:, 1]) == pytest.approx(2 * np.std([1, 3], ddof=1))
    plt.close("all")


def test_latent_map_names_each_class_at_its_median():
    z = torch.tensor([[0.0, 0.0], [0.0, 2.0], [5.0, 5.0]])
    axis = show.latent_map(z, torch.tensor([4, 4, 7])).axes[0]
    assert {t.get_text(): tuple(t.xy) for t in axis.texts} == {"4": (0.0, 1.0), "7": (5.0, 5.0)}
    plt.close("all")


def _dot_or_not(value):
    return _dot(value if isinstance(value, int) else 9)


def _dot(value):
    figure, axis = plt.subplots(figsize=(1, 1))
    axis.plot(value, value, "o")
    return figure


@pytest.mark.parametrize("make", [show.slider, show.film])
def test_a_player_holds_a_picture_for_each_position(make):
    page = make("size", [1, 5, "<9>"], _dot_or_not, lambda v: f"a dot at {v} & more")._repr_html_()
    images = re.findall(r'<img src="data:image/webp;base64,([^"]+)" alt="([^"]*)"( hidden)?>', page)
    assert [alt for _, alt, _ in images] == [f"a dot at {v} &amp; more" for v in ("1", "5", "&lt;9&gt;")]
    assert all(Image.open(io.BytesIO(base64.b64decode(data))).format == "WEBP" for data, _, _ in images)
    assert [bool(hidden) for *_, hidden in images] == [[False, True, True], [True, True, False]][
        make is show.film
    ]
    assert ("<button" in page) == (make is show.film)
    assert 'names = ["1", "5", "\\u003c9>"]' in page
    assert plt.get_fignums() == []


def test_a_slider_begins_where_it_is_told_and_players_have_ids_of_their_own():
    pages = [
        show.slider("size", [1, 5, 9], _dot, lambda v: f"a dot at {v}", start=start).page for start in (1, 5)
    ]
    assert re.findall(r'alt="a dot at (\d)">', pages[1]) == ["5"]
    assert 'max="2" value="1"' in pages[1]
    other = show.slider("weight", [1, 5, 9], _dot, lambda v: f"a dot at {v}").page
    assert re.findall(r'id="(player-\w+)"', other) != re.findall(r'id="(player-\w+)"', pages[0])


def test_a_film_is_light(monkeypatch):
    monkeypatch.setattr("course_lib.show.players.FILM_KB", 1)
    with pytest.raises(ValueError, match="expected pictures of at most 1 kB together"):
        show.film("size", [1, 5, 9], _dot, str)


def test_a_table_is_one_for_the_eye_and_for_a_screen_reader():
    made = show.table(["model", "loss <nats>", "note"], [["PCA", "−1.25", "a"], ["VAE", "3 ± 0.5", "b & c"]])
    page = made._repr_html_()
    assert page.count('<th scope="row"') == 2 and page.count('<th scope="col"') == 3
    assert '<th scope="col" style="text-align: right">loss &lt;nats&gt;</th>' in page
    assert '<td style="text-align: right">−1.25</td>' in page
    assert '<td style="text-align: left">b &amp; c</td>' in page
    assert repr(made).splitlines() == [
        "model  loss <nats>  note",
        "PCA    −1.25        a",
        "VAE    3 ± 0.5      b & c",
    ]


def test_intervals_show_value_and_error_from_top_to_bottom():
    axis = show.intervals(
        {"a": (1.0, 0.25), "b": (3.0, 0.5)}, "nats", colours={"b": show.REAL}, form=".1f"
    ).axes[0]
    lines = [container.lines[0] for container in axis.containers]
    assert [line.get_xdata()[0] for line in lines] == [1.0, 3.0]
    (bars,) = axis.containers[1].lines[2]
    assert bars.get_segments()[0][:, 0].tolist() == [2.5, 3.5]
    assert lines[1].get_color() == show.REAL
    assert [text.get_text() for text in axis.texts] == ["1.0", "3.0"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]
    plt.close("all")


BOXES = {"x": ("picture", "28", "real"), "D": ("critic", "", "critic"), "s": ("score <s>", "", "loss")}


def _paths(svg):
    return re.findall(r'<path d="(M[^"]+)" fill="none"', svg)


def test_a_diagram_draws_boxes_and_arrows_and_says_what_leads_where():
    svg = show.diagram(
        [["x", "D"], [None, "s"]], BOXES, [("x", "D"), ("D", "s", "mean"), ("x", "s", "", "dashed")]
    ).svg
    assert svg.count("<rect") == 3
    assert (
        'aria-label="Diagram: picture 28 leads to critic; critic leads to score &lt;s&gt; (mean); picture'
        in svg
    )
    along, down, corner = _paths(svg)
    assert "V" not in along and "H" not in down and "H" in corner and "V" in corner
    assert svg.count("stroke-dasharray") == 1
    assert f'stroke="{show.KINDS["critic"]}"' in svg


def test_an_arrow_goes_round_what_stands_between():
    (path,) = _paths(show.diagram([["x", "D", "s"]], BOXES, [("x", "s")]).svg)
    assert path.count("V") == 2 and path.count("H") == 1


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: show.images(torch.zeros(2, 1, 4, 4) + 255), ValueError, "[-1, 1]"),
        (lambda: show.images(torch.zeros(4, 4)), ValueError, "(N, C, H, W)"),
        (lambda: show.images(torch.zeros(1, 2, 4, 4)), ValueError, "channels"),
        (lambda: show.images(torch.zeros(1, 3, 4, 4), signed=True), ValueError, "1 channel"),
        (lambda: show.images(torch.zeros(4, 1, 4, 4), columns=2, rows=["one"]), ValueError, "2 labels"),
        (lambda: show.images(torch.zeros(4, 1, 4, 4), columns=0), ValueError, "0"),
        (lambda: show.images(torch.full((1, 1, 4, 4), float("nan"))), ValueError, "NaN"),
        (lambda: show.latent_map(torch.zeros(3, 3), torch.zeros(3, dtype=torch.int64)), ValueError, "(N, 2)"),
        (lambda: show.latent_map(torch.zeros(3, 2), torch.tensor([0, 1, 10])), ValueError, "0 to 9"),
        (lambda: show.band(plt.gca(), [1, 2], [[1.0, 2.0]], "x"), ValueError, "2 seeds"),
        (lambda: show.slider("x", [1], _dot, str), ValueError, "two positions"),
        (lambda: show.slider("x", [1, 2], _dot, str, start=3), ValueError, "got 3"),
        (lambda: show.film("x", [1], _dot, str), ValueError, "two positions"),
        (
            lambda: show.film("x", [1, 2], _dot, str, rest=0),
            ValueError,
            "rest: expected one of [1, 2], got 0",
        ),
        (lambda: show.table(["a", "b"], [["1"]]), ValueError, "expected 2 cells in each, got 1"),
        (lambda: show.table(["a"], []), ValueError, "at least one"),
        (lambda: show.intervals({}, "x"), ValueError, "at least one name"),
        (lambda: show.diagram([["x"]], BOXES, [("x", "D")]), ValueError, "stand in the grid, got 'D'"),
        (lambda: show.diagram([["x"]], {"x": ("a", "", "blue")}, []), ValueError, "got 'blue'"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error) as raised:
        call()
    assert says in str(raised.value)
    plt.close("all")
