"""Figures: what a grid contains, that colours read on both pages, that sliders link in the browser."""

import ipywidgets
import matplotlib
import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

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


def _dot(value):
    figure, axis = plt.subplots(figsize=(1, 1))
    axis.plot(value, value, "o")
    return figure


needs_stack = pytest.mark.skipif(
    not hasattr(ipywidgets, "Stack"), reason="this ipywidgets has no Stack: a running kernel turns the pages"
)


@needs_stack
def test_slider_links_to_its_pictures_in_the_browser():
    from ipywidgets.widgets.widget import _instances

    box = show.slider("size", [1, 5, 9], _dot, lambda v: f"a dot at {v} & more")
    control, screen = box.children
    assert [page.value.count("<img") for page in screen.children] == [1, 1, 1]
    assert 'alt="a dot at 5 &amp; more"' in screen.children[1].value
    links = [w for w in _instances.values() if type(w).__name__ == "Link" and w.source[0] is control]
    assert [(w.source[1], w.target[1]) for w in links] == [("index", "selected_index")]
    assert plt.get_fignums() == []


@needs_stack
def test_slider_begins_where_it_is_told():
    control, screen = show.slider(
        "size", [1, 5, 9], _dot, lambda v: f"a dot at {v}, described", start=5
    ).children
    assert control.index == screen.selected_index == 1


def test_slider_without_stack_turns_pages_in_the_kernel(monkeypatch):
    """ipywidgets 7 has no Stack: the picture must follow the control all the same."""
    monkeypatch.delattr(ipywidgets, "Stack", raising=False)
    box = show.slider("size", [1, 5, 9], _dot, lambda v: f"a dot at {v}, described", start=5)
    control, screen = box.children
    assert control.index == 1
    assert "a dot at 5," in screen.value
    control.index = 2
    assert "a dot at 9," in screen.value


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
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error) as raised:
        call()
    assert says in str(raised.value)
    plt.close("all")
