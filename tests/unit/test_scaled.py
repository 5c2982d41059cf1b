"""Minibatches in parts, half precision, and translation: the same training, for less memory or in less time."""

import copy

import pytest
import torch
from torch import nn

from course_lib import draws
from course_lib.data import Stream
from course_lib.gans import GAN, GANConfig
from course_lib.gans.losses import (
    Verdict,
    gradient_penalty,
    gradients,
    nonsaturating,
    r1,
    relativistic,
    wasserstein,
)
from course_lib.training import Runtime, duel, fit
from course_lib.training.scaled import Scaled
from tests.unit.proof import generator

X = torch.rand(48, 1, 8, 8, generator=generator(1)) * 2 - 1


def small(rt):
    torch.manual_seed(0)
    gan = GAN(GANConfig(resolution=8, width=4, latent=5, normalise=False))
    layers = [nn.Identity() if isinstance(layer, nn.BatchNorm2d) else layer for layer in gan.G.net]
    gan.G.net = nn.Sequential(*layers)  # batch normalisation sees a part, not the whole
    return rt.place(gan)


def play(loss, penalties=(), steps=3, **settings):
    rt = Runtime("gpu", "cpu", seed=0, **settings)
    gan, seen = small(rt), []
    stream = Stream(rt.place(X), batch=12, generator=rt.generator(1))
    duel(
        rt, gan, stream, loss=loss, penalties=penalties, images=12 * steps, batch=12, lr=(1e-3, 1e-3), decay=0.0,
        what="t", quiet=True, watch=lambda _, verdict: seen.append(verdict),
    )  # fmt: skip
    return gan, seen


@pytest.mark.parametrize("loss", [nonsaturating, wasserstein, relativistic])
@pytest.mark.parametrize("parts", [2, 3, 5])
def test_a_game_in_parts_is_the_game(loss, parts):
    """Of one step, because a game makes the differences of rounding larger."""
    whole, (verdict,) = play(loss, [(r1, 0.1)], steps=1)
    split, (joined,) = play(loss, [(r1, 0.1)], steps=1, accumulate=parts)
    a, b = (nn.utils.parameters_to_vector(gan.parameters()) for gan in (whole, split))
    # Adam's first step is lr times the sign of a gradient, and where that is nearly zero its sign may be any
    assert ((a - b).abs() <= 1e-5).float().mean() > 0.99
    assert joined.real.shape == verdict.real.shape == (12,)
    for one, other in zip(verdict, joined):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_gradients_in_parts_are_those_of_the_mean(parts):
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    x, y = torch.randn(7, 3, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64)
    (model(x) - y).square().mean().backward()
    expected = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    rt = Runtime("gpu", "cpu", accumulate=parts)
    value = Scaled(rt).backward(lambda x, y: (model(x) - y).square().mean(), (x, y))
    assert value.item() == pytest.approx((model(x) - y).square().mean().item(), rel=1e-6)
    for weight, gradient in zip(model.parameters(), expected):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-9, atol=1e-12)


def test_half_precision_is_where_it_may_be_and_nowhere_else():
    """Convolutions compute in it; weights, losses and penalties do not."""
    gan, seen = play(wasserstein, [(gradient_penalty, 10.0)], precision="bfloat16")
    assert {weight.dtype for weight in gan.parameters()} == {torch.float32}
    assert all(part.dtype == torch.float32 for verdict in seen for part in verdict)
    kinds = []
    gan.D.features[0].register_forward_hook(lambda *_: kinds.append(torch.is_autocast_enabled("cpu")))
    rt = Runtime("gpu", "cpu", precision="bfloat16")
    with rt.autocast():
        assert gan.D.features(X[:2]).dtype == torch.bfloat16
        slope = gradients(gan.D, X[:2])
    assert kinds == [True, False]
    assert slope.dtype == torch.float32


def test_half_precision_ends_near_single_precision():
    """Statistically: the mean logit gap over the last steps of a few seeds, against their spread."""
    gaps = {}
    for precision in ("float32", "bfloat16"):
        values = []
        for seed in range(4):
            rt = Runtime("gpu", "cpu", seed=seed, precision=precision)
            gan, seen = small(rt), []
            stream = Stream(rt.place(X), batch=12, generator=rt.generator(1))
            duel(
                rt, gan, stream, loss=nonsaturating, images=12 * 60, batch=12, lr=(1e-3, 1e-3), decay=0.0, what="t",
                quiet=True, watch=lambda _, verdict, seen=seen: seen.append(verdict.loss),
            )  # fmt: skip
            values.append(float(torch.stack(seen[-30:]).mean()))
        gaps[precision] = torch.tensor(values)
    spread = float(torch.cat(list(gaps.values())).std())
    assert abs(float(gaps["float32"].mean() - gaps["bfloat16"].mean())) < 2 * spread + 0.02


def test_fast_is_single_precision_where_nothing_is_faster(monkeypatch):
    from course_lib.training import runtime

    monkeypatch.setattr(runtime, "_computes_in_bfloat16", lambda: False)
    assert Runtime("gpu", "cpu", precision="fast").precision == torch.float32
    monkeypatch.setattr(runtime, "_computes_in_bfloat16", lambda: True)
    assert Runtime("gpu", "cpu", precision="fast").precision == torch.bfloat16
    with pytest.raises(ValueError, match="precision must be one of"):
        Runtime("gpu", "cpu", precision="half")


def test_float16_scales_its_loss_and_skips_what_overflows():
    """On the CPU, where the scaler works as on a GPU: an infinite gradient changes no weight and halves the scale."""
    rt = Runtime("gpu", "cpu", precision="float16")
    scaled, model = Scaled(rt), nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before, scale = copy.deepcopy(model.state_dict()), scaled.parts["scaler"].get_scale()
    assert scale > 1
    x = torch.full((4, 2), 1e30)
    scaled.backward(lambda x: (x @ model.weight.T).square().mean(), (x,))
    assert scaled.step(optimizer, list(model.parameters())) == {}
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert scaled.parts["scaler"].get_scale() == scale / 2


def test_a_model_is_translated_only_where_nothing_is_differentiated_twice(monkeypatch):
    translated = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: translated.append(type(self).__name__))
    play(nonsaturating, steps=1, compile=True)
    assert translated == ["Generator", "Discriminator"]
    translated.clear()
    play(wasserstein, [(gradient_penalty, 10.0)], steps=1, compile=True)
    assert translated == ["Generator"]
    rt, model = Runtime("gpu", "cpu", compile=True), nn.Linear(64, 64)
    stream = Stream(X.flatten(1), batch=12, generator=rt.generator(1))
    fit(
        rt,
        model,
        stream,
        lambda x: model(x).square().mean(),
        images=240,
        batch=12,
        lr=1e-3,
        what="t",
        quiet=True,
    )
    assert translated == ["Generator", "Linear"]


def test_each_process_draws_its_rows_of_the_same_numbers():
    def of(rank, world):
        one = draws.Generator()
        one.rank, one.world = rank, world
        return draws.rows(torch.randn, 4, 3, generator=one.manual_seed(5))

    whole = torch.randn(8, 3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(torch.cat([of(0, 2), of(1, 2)]), whole)
    assert torch.equal(of(0, 1), torch.randn(4, 3, generator=torch.Generator().manual_seed(5)))


def test_a_verdict_of_parts_is_that_of_the_whole():
    parts = [
        Verdict(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0), torch.ones(2), torch.zeros(2)),
        Verdict(
            torch.tensor(4.0), torch.tensor(5.0), torch.tensor(6.0), torch.full((1,), 7.0), torch.ones(1)
        ),
    ]
    joined = Verdict.of_parts(parts)
    assert [float(part) for part in joined[:3]] == [2.0, 3.0, 4.0]
    assert joined.real.tolist() == [1.0, 1.0, 7.0]
    assert joined.gap == 3.0 - 1 / 3
