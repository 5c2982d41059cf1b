"""Chapter 12's ablation: what differs between its games, how modes are counted, and what is recorded."""

import pytest
import torch

from course_lib import data, features, zoo
from course_lib.cards import full_name
from course_lib.experiments import EXPERIMENTS, four_losses
from course_lib.gans import R3GAN, R3GANConfig
from course_lib.gans.losses import nonsaturating, r1, r2, relativistic
from course_lib.recipes import r3gan
from course_lib.training import Runtime


def test_it_is_registered_and_its_last_game_is_r3gans():
    assert EXPERIMENTS["four_losses"] == full_name(four_losses.record_four_losses)
    assert {
        "non-saturating": (nonsaturating, ()),
        "non-saturating, R1": (nonsaturating, (r1,)),
        "relativistic": (relativistic, ()),
        "relativistic, R1, R2": (relativistic, (r1, r2)),
    } == r3gan.GAMES
    assert list(r3gan.GAMES)[-1] == r3gan.R3


@pytest.fixture
def spied(monkeypatch):
    """The arguments with which `duel` is called."""
    calls = []

    def spy(rt, gan, batches, **settings):
        calls.append({"cfg": gan.cfg, "first": next(gan.G.parameters()).clone(), **settings})
        return {"images_seen": settings["images"]}

    stacked = data.stacked_mnist
    monkeypatch.setattr(r3gan, "duel", spy)
    monkeypatch.setattr(data, "stacked_mnist", lambda n, seed: stacked(64, seed))
    return calls


def test_only_the_losses_differ_and_the_weight_is_half_of_gamma(spied):
    for game in r3gan.GAMES:
        rt = Runtime("gpu", "cpu", seed=3)
        r3gan.train_stacked(rt, True, images=640, game=game, gamma=0.3)
    weights = [call.pop("first") for call in spied]
    assert all(torch.equal(weight, weights[0]) for weight in weights)
    for call, (loss, penalties) in zip(spied, r3gan.GAMES.values(), strict=True):
        assert call.pop("loss") == loss
        assert call.pop("penalties") == [(penalty, 0.15) for penalty in penalties]
        assert call.pop("average").half_life == 10_000
        assert call.pop("what") in r3gan.GAMES
    assert all(call == spied[0] for call in spied)


class Digits:
    """A generator that draws real digits of the training set: all modes, or those of one red digit."""

    def __init__(self, red=None):
        self.red = red

    def sample(self, n, generator):
        x, y = data.stacked_mnist(12 * n if self.red is not None else n, seed=9)
        return x[y // 100 == self.red][:n] if self.red is not None else x


def test_real_digits_have_all_modes_and_a_collapsed_generator_few():
    found = r3gan.stacked_modes(Digits(), 5_000)
    assert found.captured > 980  # 1000 (1 - e^-5) = 993, were all equally frequent
    assert float(found.divergence) == pytest.approx(999 / 10_000, rel=0.25)  # its bias
    found = r3gan.stacked_modes(Digits(7), 1_000)
    assert 95 <= found.captured <= 130  # a hundred, and what the classifier misreads
    _, labels = data.stacked_mnist(1_000, seed=9)
    found = r3gan.stacked_modes(Digits(), 1_000)
    assert int((found.counts - torch.bincount(labels, minlength=1_000)).abs().sum()) < 40
    assert found.divergence.extractor == features.digit_classifier().name


def test_scores_say_how_many_and_how_evenly():
    scores = r3gan.score_stacked(Digits(), 2_000)
    assert list(scores) == ["modes of 1,000", "KL(samples ‖ data)"]
    assert scores["modes of 1,000"]["n"] == 2_000


@pytest.fixture
def tiny(monkeypatch):
    stacked = data.stacked_mnist
    monkeypatch.setattr(data, "stacked_mnist", lambda n, seed: stacked(64, seed))
    monkeypatch.setattr(r3gan, "R3GANConfig", lambda **_: R3GANConfig(colours=3, width=4, widest=4, group=4))
    monkeypatch.setattr(four_losses, "SAMPLES", 60)
    monkeypatch.setattr(four_losses, "FEW", 30)
    return lambda: four_losses.record_four_losses(
        Runtime("gpu", "cpu", seed=0), True, images=64, seeds=2, looks=2
    )


def test_every_game_and_seed_is_recorded(tiny):
    found = tiny()
    assert list(found["runs"]) == list(r3gan.GAMES)
    for runs in found["runs"].values():
        assert len(runs) == 2
        assert runs[0] != runs[1]
        for run in runs:
            assert set(run) == {"captured", "divergence", "ci95", "along"}
            assert [mark["images"] for mark in run["along"]] == [32, 64]
            assert 1 <= run["captured"] <= 60
    assert (found["images_seen"], found["seeds"], found["n"], found["n_along"]) == (64, 2, 60, 30)


def test_the_model_is_one_that_the_zoo_can_load():
    assert zoo.architectures.ARCHITECTURES["R3GAN"][0] == "course_lib.gans"
    assert isinstance(zoo.build("R3GAN", {"colours": 3, "width": 16}), R3GAN)
