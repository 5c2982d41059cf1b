"""Style transfer in one pass: moments are the style's, sizes those of the content, and StyleGAN's AdaIN does it."""

import pytest
import torch

from course_lib import data, features
from course_lib.gans.stylegan import layers
from course_lib.style import (
    AdaINTransfer,
    AdaINTransferConfig,
    blended,
    moment_loss,
    restyled,
    transfer,
)
from tests.unit.proof import generator


def maps(n, c, h, w, seed=0):
    return 2 + 3 * torch.randn(n, c, h, w, generator=generator(seed), dtype=torch.float64)


def test_restyled_maps_have_the_styles_means_and_deviations():
    content, style = maps(2, 5, 6, 7), maps(2, 5, 9, 4, seed=1) * 0.3 - 1
    made = restyled(content, style)
    assert made.shape == content.shape
    torch.testing.assert_close(made.mean((2, 3)), style.mean((2, 3)))
    torch.testing.assert_close(
        made.std((2, 3), correction=0), style.std((2, 3), correction=0), rtol=1e-6, atol=0
    )
    # and the content's arrangement: each map is an increasing affine function of what it was
    for a, b in zip(content.flatten(0, 1), made.flatten(0, 1), strict=True):
        assert float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) == pytest.approx(1)


def test_it_is_the_function_of_stylegans_layers():
    content, style = maps(2, 5, 6, 7), maps(1, 5, 9, 4, seed=1)
    scale, shift = style.std((2, 3), correction=0), style.mean((2, 3))
    torch.testing.assert_close(
        restyled(content, style), layers.adain(content, scale.expand(2, -1), shift.expand(2, -1))
    )


def test_blending_goes_from_the_content_to_the_restyled_maps():
    content, style = {"a": maps(1, 3, 4, 4)}, {"a": maps(1, 3, 4, 4, seed=1)}
    torch.testing.assert_close(blended(content, style, 0.0), content)
    torch.testing.assert_close(blended(content, style, 1.0)["a"], restyled(content["a"], style["a"]))
    half = (content["a"] + restyled(content["a"], style["a"])) / 2
    torch.testing.assert_close(blended(content, style, 0.5)["a"], half)


def test_moment_loss_sees_moments_and_nothing_else():
    x, y = {"a": maps(2, 3, 4, 5)}, {"a": 0.5 * maps(2, 3, 6, 6, seed=1) + 1}
    assert float(moment_loss(x, x)) == 0
    order = torch.randperm(20, generator=generator(2))
    shuffled = {"a": x["a"].flatten(2)[..., order].unflatten(2, (4, 5))}
    assert float(moment_loss(shuffled, x)) == pytest.approx(0, abs=1e-12)
    assert float(moment_loss({"a": restyled(x["a"], y["a"])}, y)) == pytest.approx(0, abs=1e-9)
    expected = []
    for a, b in zip(x["a"].numpy(), y["a"].numpy(), strict=True):
        off = ((a.std((1, 2)) - b.std((1, 2))) ** 2 + (a.mean((1, 2)) - b.mean((1, 2))) ** 2).sum()
        expected.append(off / (b.std((1, 2)) ** 2 + b.mean((1, 2)) ** 2).sum())
    assert float(moment_loss(x, y)) == pytest.approx(sum(expected) / 2, rel=1e-6)


def test_moment_loss_against_finite_differences():
    wanted = {"a": maps(1, 2, 3, 3, seed=1)}
    assert torch.autograd.gradcheck(
        lambda x: moment_loss({"a": x}, wanted), [maps(1, 2, 3, 3).requires_grad_()]
    )


@pytest.fixture(scope="module")
def network():
    return features.imagenet()


@pytest.mark.parametrize("size", [(64, 64), (37, 90), (33, 47)])
def test_a_picture_of_the_contents_size_comes_back(network, size):
    torch.manual_seed(0)
    content = torch.rand(2, 3, *size, generator=generator(0)) * 2 - 1
    made = transfer(content, data.photo("coffee", 50), AdaINTransfer(), network)
    assert made.shape == content.shape
    assert made.abs().max() <= 1
    assert not made.requires_grad


def test_the_style_counts_as_far_as_strength_says(network):
    torch.manual_seed(0)
    model, content = AdaINTransfer(), data.photo("astronaut", 64)
    a, b = data.photo("coffee", 64), data.photo("chelsea", 64)
    at_0, at_1 = ([transfer(content, x, model, network, strength=s) for x in (a, b)] for s in (0.0, 1.0))
    assert torch.equal(*at_0)
    assert not torch.allclose(*at_1, atol=1e-3)


def test_wrong_arguments_are_named(network):
    x, model = data.photo("coffee", 64), AdaINTransfer()
    with pytest.raises(ValueError, match="strength: expected a number from 0 to 1, got 2"):
        transfer(x, x, model, network, strength=2)
    with pytest.raises(ValueError, match="style: expected one image or 1, one for each content, got 2"):
        transfer(x, x.repeat(2, 1, 1, 1), model, network)
    with pytest.raises(ValueError, match="layers, maps, widths: expected as many layers as maps"):
        AdaINTransferConfig(layers=("block4",))
