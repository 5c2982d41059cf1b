"""The averaged weights against the definition, written out; buffers, resuming, and what the loops do with them."""

import copy

import pytest
import torch
from torch import nn

from course_lib.data import Stream
from course_lib.gans import GAN, GANConfig
from course_lib.gans.losses import nonsaturating
from course_lib.training import EMA, Runtime, Snapshots, duel
from course_lib.training.ema import RISE
from tests.unit.proof import generator


def test_after_a_half_life_of_images_a_weight_counts_half():
    model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight)
    average = EMA(model, half_life=640)
    average.update(10**9)  # long ago: the rise of the half-life is over, and the average is of zeros
    nn.init.ones_(model.weight)
    for _ in range(20):
        average.update(32)
    assert average.average.weight.item() == pytest.approx(0.5, abs=1e-6)


def test_the_average_is_the_weighted_sum_of_all_weights_that_there_were():
    torch.manual_seed(0)
    model, weights = nn.Linear(3, 2).double(), []
    average = EMA(model, half_life=100)
    expected = model.weight.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            model.weight.normal_()
        average.update(7)
        keep = 0.5 ** (7 / min(100, RISE * 7 * step))
        expected = keep * expected + (1 - keep) * model.weight.detach()
        weights.append(model.weight.detach().clone())
    torch.testing.assert_close(average.average.weight, expected, rtol=1e-12, atol=0)
    assert not torch.equal(average.average.weight, weights[-1])


def test_buffers_are_copied_and_the_model_is_left_alone():
    model = nn.BatchNorm1d(2)
    average = EMA(model, half_life=1e6)
    model(torch.randn(8, 2, generator=generator()) + 5)
    before = copy.deepcopy(model.state_dict())
    average.update(8)
    assert torch.equal(average.average.running_mean, model.running_mean)
    assert average.average.num_batches_tracked == 1
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not average.average.training
    assert not any(weight.requires_grad for weight in average.average.parameters())


def test_within_applied_the_model_has_the_average_and_then_its_own_again():
    model = nn.Linear(2, 2)
    average = EMA(model, half_life=100)
    with torch.no_grad():
        model.weight.add_(1)
    own = model.weight.detach().clone()

    def look():
        with average.applied():
            assert torch.equal(model.weight, average.average.weight)
            raise RuntimeError("looking went wrong")

    with pytest.raises(RuntimeError, match="looking"):
        look()
    assert torch.equal(model.weight, own)
    average.copy()
    assert torch.equal(model.weight, average.average.weight)


def play(folder=None, *, resume=False, stop=None, averaged=True):
    kept = None if folder is None else Snapshots(folder, {"run": "t"}, resume=resume)
    rt = Runtime("gpu", "cpu", seed=0, snapshots=kept)
    gan = rt.place(GAN(GANConfig(resolution=8, width=2, latent=3)))
    average = EMA(gan.G, half_life=50) if averaged else None
    x = torch.rand(40, 1, 8, 8, generator=generator(1)) * 2 - 1
    raw = []

    def watch(seen, _):
        if seen == stop:
            raise KeyboardInterrupt
        raw.append(copy.deepcopy(gan.G.state_dict()))

    stream = Stream(x, batch=8, generator=rt.generator(1))
    settings = {"loss": nonsaturating, "images": 320, "batch": 8, "lr": (1e-2, 1e-2), "what": "t"}
    facts = duel(rt, gan, stream, quiet=True, average=average, watch=watch, **settings)
    return gan, raw, facts


def test_a_game_ends_with_the_averaged_generator_and_an_interruption_changes_nothing(tmp_path):
    gan, raw, facts = play()
    assert facts["half_life"] == 50
    key = "net.0.weight"
    assert not torch.equal(gan.G.state_dict()[key], raw[-1][key])
    last = torch.stack([weights[key] for weights in raw])[-20:]
    low, high = last.amin(0), last.amax(0)  # nearly all the weight of the average is in the last steps
    inside = (gan.G.state_dict()[key] >= low) & (gan.G.state_dict()[key] <= high)
    assert inside.float().mean() > 0.99
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path, stop=200)
    again, _, _ = play(tmp_path, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(gan.state_dict().values(), again.state_dict().values()))


def test_a_game_with_an_average_is_not_resumed_without_one(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path, stop=200)
    with pytest.raises(ValueError, match="expected half_life = None, found 50"):
        play(tmp_path, resume=True, averaged=False)


def test_another_half_life_is_not_resumed():
    average = EMA(nn.Linear(1, 1), half_life=10)
    with pytest.raises(ValueError, match="half_life: expected 10, found 20"):
        average.load_state_dict({**average.state_dict(), "half_life": 20.0})
    with pytest.raises(ValueError, match="half_life"):
        EMA(nn.Linear(1, 1), half_life=0)
