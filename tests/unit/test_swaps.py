"""One encoder and two decoders: what each learns from, warps that move pixels as they say, scores of known swaps."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import data
from course_lib.autoencoders import (
    Informer,
    TwoDecoders,
    TwoDecodersConfig,
    recolour,
    reversed_gradient,
    warp,
)
from course_lib.recipes import swaps
from course_lib.zoo.architectures import build
from tests.unit.proof import generator, rejects

SMALL = TwoDecodersConfig(resolution=16, channels=(4, 8), hidden=(16,), latent=5)


def made(cfg=SMALL):
    torch.manual_seed(0)
    return TwoDecoders(cfg)


def noise(*shape, seed=0):
    return 2 * torch.rand(*shape, generator=generator(seed)) - 1


def test_images_become_codes_and_pictures_of_either():
    model, x = made(), noise(3, 3, 16, 16)
    for who, wanted in (("ann", "ann"), ("ann", "bob"), ("bob", "ann")):
        z = model.encode(x, who)
        assert z.shape == (3, 5)
        y = model(x, who, wanted)
        assert y.shape == x.shape
        assert float(y.detach().abs().max()) <= 1
        assert torch.equal(y, model.decode(z, wanted))
    assert not torch.equal(model(x, "ann"), model(x, "ann", "bob"))


def test_each_persons_codes_are_normalised_by_themselves():
    """Also afterwards, by what was seen of that person: the shift between both is gone, what varies is not."""
    model = made()
    ann, bob = noise(64, 3, 16, 16), noise(64, 3, 16, 16, seed=1) * 0.3 + 0.6
    for _ in range(80):
        for x, who in ((ann, "ann"), (bob, "bob")):
            z = model.encode(x, who).detach()
            assert torch.allclose(z.mean(0), torch.zeros(5), atol=1e-5)
    model.encoder.eval()
    apart = (model.encoder(ann).mean(0) - model.encoder(bob).mean(0)).detach().abs().max()
    for _ in range(200):
        model.encode(ann, "ann"), model.encode(bob, "bob")
    model.eval()
    shift = (model.encode(ann, "ann").mean(0) - model.encode(bob, "bob").mean(0)).detach()
    assert float(apart) > 0.05
    assert float(shift.abs().max()) < 0.01


def test_a_persons_pictures_train_the_encoder_and_that_persons_decoder_only():
    model, x = made(), noise(4, 3, 16, 16)
    (model(x, "bob") - x).abs().mean().backward()
    assert all(w.grad is None for w in model.decoders["ann"].parameters())
    for part in (model.encoder, model.decoders["bob"]):
        assert all(float(w.grad.abs().sum()) > 0 for w in part.parameters())


def test_it_comes_back_from_a_card_and_is_small_enough_to_ship():
    model = made()
    twin = build("TwoDecoders", json.loads(json.dumps(dataclasses.asdict(SMALL))))
    assert twin.cfg == SMALL
    twin.load_state_dict(model.state_dict())
    x = noise(2, 3, 16, 16)
    assert torch.equal(twin(x, "ann"), model(x, "ann"))
    assert 2 * sum(w.numel() for w in TwoDecoders().state_dict().values()) <= 2.5e6


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: made()(torch.zeros(2, 3, 16, 16), "ann", "eve"), "who must be one of 'ann', 'bob'"),
        (lambda: made().encode(torch.zeros(1, 3, 8, 8), "ann"), "images of shape"),
        (lambda: made().decode(torch.zeros(1, 4), "ann"), "codes of shape"),
        (lambda: Informer(5)(torch.zeros(1, 4)), "codes of shape"),
        (lambda: Informer(5, people=1), "people"),
        (lambda: reversed_gradient(torch.zeros(1, 4), -1.0), "strength"),
        (lambda: TwoDecodersConfig(people=("ann",)), "people"),
        (lambda: TwoDecodersConfig(people=("ann", "ann")), "people"),
        (lambda: TwoDecodersConfig(resolution=30), "resolution"),
        (lambda: warp(torch.zeros(3, 8, 8), generator()), "x: expected shape"),
        (lambda: warp(torch.zeros(1, 3, 8, 8), generator(), strength=-1.0), "strength"),
        (lambda: warp(torch.zeros(1, 3, 8, 8), 3), "generator"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises((TypeError, ValueError), match=says):
        call()


# ---- the informer, and who misleads it


def test_the_informer_learns_as_usual_and_the_encoder_the_opposite():
    """In one step: the informer's gradient is that of its loss, the encoder's that of minus `strength` times it."""

    def gradients(passed):
        torch.manual_seed(0)
        encoder, informer = nn.Linear(6, 5), Informer(5)
        guesses = informer(passed(encoder(torch.randn(8, 6, generator=generator()))))
        F.cross_entropy(guesses, torch.arange(2).repeat_interleave(4)).backward()
        return [[w.grad.clone() for w in part.parameters()] for part in (encoder, informer)]

    def check(passed):
        (usual, informed), (turned, reading) = gradients(lambda z: z), gradients(passed)
        assert all(torch.equal(a, b) for a, b in zip(informed, reading, strict=True))
        assert all(torch.allclose(-0.3 * a, b, atol=1e-7) for a, b in zip(usual, turned, strict=True))
        assert max(float(a.abs().max()) for a in usual) > 1e-3

    check(lambda z: reversed_gradient(z, 0.3))
    assert rejects(check, lambda z: 0.3 * z)  # an encoder that helps
    assert rejects(check, lambda z: -0.3 * z)  # the reader is given something else
    z = noise(3, 5)
    assert torch.equal(reversed_gradient(z, 0.3), z)


def test_an_informer_can_read_whose_a_code_is_where_it_says_so():
    torch.manual_seed(0)
    informer, whose = Informer(5, people=3), torch.arange(300) % 3
    z = torch.randn(300, 5, generator=generator()) + 2.0 * F.one_hot(whose, 5)
    optimizer = torch.optim.Adam(informer.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(informer(z), whose).backward()
        optimizer.step()
    assert float((informer(z).argmax(1) == whose).double().mean()) > 0.85


# ---- warps


def test_no_strength_is_no_warp_and_a_flat_picture_stays_flat():
    x = noise(3, 3, 12, 10)
    assert torch.allclose(warp(x, generator(), strength=0.0), x, atol=1e-5)
    flat = torch.full((2, 3, 12, 12), 0.3)
    assert torch.allclose(warp(flat, generator(), strength=5.0), flat, atol=1e-6)
    assert float(warp(x, generator(), strength=5.0).abs().max()) <= 1


def test_pixels_move_by_as_many_as_the_strength_says():
    """Each pixel holds its own column; in the middle, the difference is by how far it was fetched."""

    def check(bend):
        size = 65
        x = torch.arange(float(size)).view(1, 1, 1, size).expand(400, 1, size, size) / size
        moved = size * (bend(x, generator(), strength=2.0) - x)
        at_points = moved[:, 0, 16:49:16, 16:49:16]  # the nine points of the grid that are not at the border
        assert float(at_points.std()) == pytest.approx(2.0, rel=0.05)
        assert abs(float(at_points.mean())) < 0.15
        between = moved[:, 0, 24, 24]  # the mean of four
        assert float(between.std()) == pytest.approx(1.0, rel=0.1)

    def in_units_of_the_grid(x, generator, *, strength):  # half the picture is 1, and not all of it
        return warp(x, generator, strength=strength / 2)

    def shift(x, generator, *, strength):  # all pixels alike
        steps = strength * torch.randn(len(x), generator=generator)
        return x + steps.view(-1, 1, 1, 1) / x.shape[-1]

    check(warp)
    assert rejects(check, in_units_of_the_grid)
    assert rejects(check, shift)


def test_each_picture_is_bent_in_its_own_way_and_by_its_generator_alone():
    x = noise(1, 3, 16, 16).expand(2, -1, -1, -1)
    a = warp(x, generator(1))
    assert not torch.allclose(a[0], a[1])
    assert torch.equal(a, warp(x, generator(1)))
    torch.manual_seed(5)
    assert torch.equal(a, warp(x, generator(1)))
    x = x.clone().requires_grad_()
    warp(x, generator()).sum().backward()
    assert float(x.grad.abs().sum()) > 0


def test_colours_change_channel_by_channel_and_white_and_black_stay():
    ends = torch.ones(40, 3, 2, 2)
    ends[:, :, 0] = -1.0
    assert torch.allclose(recolour(ends, generator()), ends, atol=1e-6)
    grey = torch.zeros(4_000, 3, 2, 2)
    found = (recolour(grey, generator(), strength=1.0) + 1) / 2  # 0.5^γ
    gamma = found.log2().neg()
    assert torch.allclose(
        gamma, gamma[:, :, :1, :1].expand_as(gamma), atol=1e-5
    )  # the same in a whole channel
    assert 1 / math.e < float(gamma.min()) < 0.38 and 2.6 < float(gamma.max()) < math.e
    assert abs(float(gamma.log().mean())) < 0.03
    assert abs(float(torch.corrcoef(gamma[:, :, 0, 0].T)[0, 1])) < 0.06
    steps = torch.linspace(-1, 1, 50).view(1, 1, 1, 50)
    assert float(recolour(steps, generator(3)).diff().min()) > 0  # brighter stays brighter
    assert torch.allclose(recolour(steps, generator(), strength=0.0), steps, atol=1e-6)
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        recolour(3 * ends, generator())


# ---- training and scores


def test_decoders_learn_whom_they_draw():
    """Two people of one colour each, in a bright and a dark moment: a swap changes the colour, not the moment."""
    model = made(dataclasses.replace(SMALL, latent=1, channels=(8,), resolution=8))
    levels = torch.tensor([-0.5, 0.5]).view(2, 1, 1, 1)

    def pictures(colour):
        x = -torch.ones(2, 3, 8, 8)
        x[:, colour] = levels[:, 0].expand(-1, 8, 8)
        return x

    ann, bob = pictures(0), pictures(2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(300):
        loss = F.l1_loss(model(ann, "ann"), ann) + F.l1_loss(model(bob, "bob"), bob)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.2
    swapped = model(ann, "ann", "bob").detach()
    assert float(swapped[:, 0].mean()) < -0.8  # no red left
    assert float(swapped[:, 2].std()) > 0.1


class Perfect(nn.Module):
    """What both look like in the moments that are scored; `wrong` swaps stay who they were."""

    def __init__(self, wrong=False):
        super().__init__()
        self.cfg = TwoDecodersConfig()
        self.truth = {who: data.character(who, 60, seed=2, progress=False)[0] for who in self.cfg.people}
        key = {who: x.flatten(1).sum(1, keepdim=True) for who, x in self.truth.items()}

        def nearest(z, who):
            source = min(key, key=lambda name: float((z[:1] - key[name].T).abs().min()))
            index = (z - key[source].T).abs().argmin(1)
            return self.truth[source if wrong else who][index]

        class Draw(nn.Module):
            def __init__(self, who):
                super().__init__()
                self.who = who

            def forward(self, z):
                return nearest(z, self.who).clamp(-0.999999, 0.999999).atanh()

        class Sum(nn.Module):
            def forward(self, x):
                return x.flatten(1).sum(1, keepdim=True)

        self.encoder = Sum()
        self.norms = nn.ModuleDict({who: nn.Identity() for who in self.cfg.people})
        self.decoders = nn.ModuleDict({who: Draw(who) for who in self.cfg.people})


def test_perfect_swaps_score_perfectly_and_pictures_left_as_they_were_keep_the_wrong_identity():
    scores = {key: score["value"] for key, score in swaps.score_deepfake(Perfect(), 60).items()}
    assert scores["identity"] == 1
    assert min(scores[f"{key} kept"] for key in data.EXPRESSION) > 0.95
    assert scores["MSE of swaps"] < 1e-8
    scores = {key: score["value"] for key, score in swaps.score_deepfake(Perfect(wrong=True), 60).items()}
    assert scores["identity"] == 0
    assert min(scores[f"{key} kept"] for key in data.EXPRESSION) > 0.95
    assert scores["MSE of swaps"] > 0.1


def test_nobody_is_trained_on_in_a_moment_of_another_use():
    seeds = (swaps._OF_ANN, swaps._OF_BOB, swaps._HELD_OUT, swaps._OF_JUDGE)
    assert len(set(seeds)) == 4
    x, columns = swaps._both(3, 2)
    assert x.shape == (6, 3, 64, 64)
    assert columns["who"].tolist() == ["ann"] * 3 + ["bob"] * 3
    assert (columns["mouth"][:3] == columns["mouth"][3:]).all()
    assert np.array_equal(columns["mouth"][:3], data.character("ann", 3, seed=2, progress=False)[1]["mouth"])
