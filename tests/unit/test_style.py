"""Style transfer: losses against their definitions and finite differences, and pictures against other pictures."""

import itertools

import numpy as np
import pytest
import torch

from course_lib import data, features
from course_lib.style import content_loss, gram, style_loss, stylize, total_variation
from course_lib.style.canvas import Pixels, Waves
from tests.unit.proof import generator


def maps(*shape, seed=0):
    return torch.randn(1, *shape, generator=generator(seed), dtype=torch.float64)


# --- losses --------------------------------------------------------------------------------------------------------


def test_gram_is_the_mean_product_of_channels():
    f = maps(3, 4, 5)
    expected = np.einsum("chw,dhw->cd", f[0].numpy(), f[0].numpy()) / 20
    np.testing.assert_allclose(gram(f)[0].numpy(), expected, rtol=1e-12)


def test_gram_forgets_where_things_are_and_how_many_places_there_are():
    f = maps(3, 4, 5)
    order = torch.randperm(20, generator=generator(1))
    shuffled = f.flatten(2)[..., order].unflatten(2, (4, 5))
    torch.testing.assert_close(gram(shuffled), gram(f))
    torch.testing.assert_close(gram(f.repeat(1, 1, 2, 3)), gram(f))
    assert not torch.allclose(gram(f[:, [1, 0, 2]]), gram(f))


def test_losses_are_relative():
    f, g = (
        {"a": maps(3, 4, 5), "b": maps(2, 2, 2, seed=1)},
        {"a": maps(3, 4, 5, seed=2), "b": maps(2, 2, 2, seed=3)},
    )
    grams = {name: gram(x) for name, x in g.items()}
    zeros = {name: torch.zeros_like(x) for name, x in f.items()}
    assert float(content_loss(g, g)) == float(style_loss(g, grams)) == 0
    assert float(content_loss(zeros, g)) == float(style_loss(zeros, grams)) == 1
    larger = {name: 10 * x for name, x in f.items()}, {name: 10 * x for name, x in g.items()}
    torch.testing.assert_close(content_loss(*larger), content_loss(f, g))
    by_hand = np.mean([float((f[k] - g[k]).square().sum() / g[k].square().sum()) for k in f])
    assert float(content_loss(f, g)) == pytest.approx(by_hand)
    assert float(style_loss(f, grams, {"a": 1.0, "b": 0.0})) == pytest.approx(
        float(style_loss({"a": f["a"]}, {"a": grams["a"]}))
    )


def test_losses_against_finite_differences():
    f, wanted = maps(2, 3, 3), {"a": maps(2, 3, 3, seed=1)}
    grams = {"a": gram(wanted["a"])}
    for loss in (
        lambda x: content_loss({"a": x}, wanted),
        lambda x: style_loss({"a": x}, grams),
        total_variation,
    ):
        assert torch.autograd.gradcheck(loss, f.clone().requires_grad_())


def test_total_variation_by_hand():
    x = torch.tensor([[[[0.0, 1.0], [3.0, 3.0]]]])
    assert float(total_variation(x)) == pytest.approx((9 + 4) / 2 + (1 + 0) / 2)
    assert float(total_variation(torch.full((1, 3, 4, 4), 0.7))) == 0


# --- what is moved -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 16), (17, 24), (32, 15)])
@pytest.mark.parametrize("canvas", [Pixels, Waves])
def test_a_canvas_begins_as_the_start(canvas, size):
    start = torch.rand(1, 3, *size, generator=generator(0)) * 2 - 1
    torch.testing.assert_close(canvas(start)(), start, atol=1e-4, rtol=1e-4)


def test_a_step_in_waves_moves_broad_shapes_and_light_first():
    """Of a target of white noise; a step in pixels moves all frequencies alike."""
    target = torch.randn(1, 3, 64, 64, generator=generator(0))

    def moved(canvas):
        painted = canvas(torch.zeros(1, 3, 64, 64))
        optimizer = torch.optim.Adam(painted.parameters(), 0.01)
        (painted() - target).square().sum().backward()
        optimizer.step()
        spectrum = torch.fft.fft2(painted().detach().mean(1)).abs()[0]
        rows = torch.fft.fftfreq(64)
        frequency = (rows[:, None].square() + rows[None].square()).sqrt()
        low, high = (
            spectrum[band].square().mean() for band in ((frequency > 0) & (frequency < 0.1), frequency > 0.3)
        )
        return float(low / high)

    assert moved(Waves) > 20
    assert 0.3 < moved(Pixels) < 3


# --- pictures ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    return features.imagenet(64)


@pytest.fixture(scope="module")
def pictures(network):
    """Of two photographs in two manners, what came out."""
    contents = {name: data.photo(name, 64) for name in ("astronaut", "chelsea")}
    styles = {name: data.painting(name, 64) for name in ("swirls", "mosaic")}
    found = {
        pair: stylize(contents[pair[0]], styles[pair[1]], network, steps=40, quiet=True, keep=(0, 40))
        for pair in itertools.product(contents, styles)
    }
    return contents, styles, found


def losses_of(network, picture, content, style):
    from course_lib.style import LAYERS

    of_style, of_content = LAYERS[type(network)]
    with torch.no_grad():
        wanted = network.layers(content, *of_content)
        grams = {name: gram(f) for name, f in network.layers(style, *of_style).items()}
        seen = network.layers(picture, *dict.fromkeys(of_style + of_content))
        return float(content_loss(seen, wanted)), float(style_loss(seen, grams))


def test_each_picture_has_its_own_content_and_its_own_style(network, pictures):
    """Its losses to its own photograph and painting beat those to the other ones."""
    contents, styles, found = pictures
    for (content, style), result in found.items():
        own = losses_of(network, result.picture, contents[content], styles[style])
        other = (
            next(name for name in contents if name != content),
            next(name for name in styles if name != style),
        )
        foreign = losses_of(network, result.picture, contents[other[0]], styles[other[1]])
        assert own[0] < 0.75 * foreign[0]
        assert own[1] < 0.5 * foreign[1]
        before = losses_of(network, contents[content], contents[content], styles[style])
        assert own[1] < before[1] / 4


def test_the_total_falls_and_frames_are_kept(pictures):
    contents, _, found = pictures
    result = found["astronaut", "swirls"]
    assert len(result.losses) == 40
    assert result.losses[-1]["total"] < result.losses[0]["total"] / 2
    torch.testing.assert_close(result.frames[0], contents["astronaut"], atol=1e-3, rtol=0)
    assert torch.equal(result.frames[40], result.picture)
    assert result.picture.abs().max() <= 1
    for row in result.losses:
        assert row["total"] == pytest.approx(
            0.15 * row["content"] + row["style"] + 0.5 * row["variation"], rel=1e-4
        )


def test_both_optimizers_and_starts_lead_there(network):
    content, style = data.photo("coffee", 48), data.painting("glass", 48)
    for settings in (
        {"optimizer": "lbfgs", "steps": 3},
        {"start": "noise", "generator": generator(0), "steps": 30},
        {"canvas": "pixels", "steps": 30},
        {"start": content.flip(3), "steps": 30},
    ):
        result = stylize(content, style, network, quiet=True, **settings)
        assert result.losses[-1]["total"] < 0.7 * result.losses[0]["total"], settings


def test_weights_and_layers_are_obeyed(network):
    content, style = data.photo("coffee", 48), data.painting("glass", 48)
    weights = {"content": 2.0, "style": 0.25, "variation": 0.0}
    row = stylize(content, style, network, weights=weights, steps=3, quiet=True).losses[-1]
    assert row["total"] == pytest.approx(2 * row["content"] + 0.25 * row["style"], rel=1e-4)
    far, near = (
        stylize(content, style, network, weights={"content": share}, steps=20, quiet=True).losses[-1][
            "content"
        ]
        for share in (0.01, 2.0)
    )
    assert near < 0.7 * far
    one = stylize(
        content, style, network, style_layers=["stem"], content_layers=["block2"], steps=2, quiet=True
    )
    assert one.losses[0]["content"] < 1e-6 and one.losses[0]["style"] > 0.1


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"content": torch.zeros(1, 1, 48, 48)}, "content"),
        ({"style": torch.zeros(3, 48, 48)}, "style"),
        ({"weights": {"colour": 1.0}}, "weights"),
        ({"weights": {"style": -1.0}}, "weights"),
        ({"start": "black"}, "start"),
        ({"start": torch.zeros(1, 3, 20, 20)}, "start"),
        ({"canvas": "oil"}, "canvas"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"style_layers": ["relu4_1"]}, "layer"),
        ({"steps": 0}, "steps"),
        ({"start": "noise"}, "generator"),
    ],
)
def test_wrong_arguments_are_named(network, changes, match):
    arguments = {"content": data.photo("coffee", 48), "style": data.painting("glass", 48), **changes}
    with pytest.raises((TypeError, ValueError), match=match):
        stylize(arguments.pop("content"), arguments.pop("style"), network, quiet=True, **arguments)
