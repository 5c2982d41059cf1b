"""GANs of points: their networks, their training, and what the recorded experiment counts."""

import pytest
import torch

from course_lib.cards import full_name
from course_lib.data import grid, grid_centres, ring
from course_lib.experiments import EXPERIMENTS, grid_of_25
from course_lib.gans import PointGAN, PointGANConfig
from course_lib.gans.losses import nonsaturating, relativistic
from course_lib.recipes import train_points
from course_lib.training import Runtime
from tests.unit.proof import generator

TINY = PointGANConfig(width=8, depth=1)
PLAIN = {"loss": nonsaturating, "lr": (1e-2, 1e-2)}


def tiny(seed=0, rt_seed=0, **changes):
    x, _ = ring(64, std=0.05)
    rt = Runtime("gpu", "cpu", seed=rt_seed)
    return train_points(rt, x, TINY, seed=seed, **{"steps": 5, "batch": 16, **PLAIN, **changes})


def weights(gan):
    return torch.cat([weight.detach().flatten() for weight in gan.parameters()])


# ---- networks


def test_shapes_of_both_networks():
    gan = PointGAN(PointGANConfig(dimensions=3, latent=5, width=7, depth=2))
    z = gan.codes(11, generator())
    assert z.shape == (11, 5) and gan.G(z).shape == (11, 3) and gan.D(gan.G(z)).shape == (11,)
    assert gan.sample(4, generator()).shape == (4, 3)


@pytest.mark.parametrize("depth", [1, 3])
def test_depth_counts_hidden_layers_of_both(depth):
    gan = PointGAN(PointGANConfig(depth=depth))
    for net in (gan.G, gan.D):
        assert sum(isinstance(layer, torch.nn.Linear) for layer in net) == depth + 1


def test_scale_is_the_size_of_the_data_inside_both_networks():
    torch.manual_seed(0)
    small = PointGAN(PointGANConfig(scale=1.0))
    large = PointGAN(PointGANConfig(scale=10.0))
    large.load_state_dict(small.state_dict())
    z = small.codes(50, generator())
    assert torch.allclose(large.G(z), 10 * small.G(z))
    assert torch.allclose(large.D(large.G(z)), small.D(small.G(z)), atol=1e-6)


def test_samples_come_without_gradients():
    assert not PointGAN(TINY).sample(3, generator()).requires_grad


@pytest.mark.parametrize("name", ["dimensions", "latent", "width", "depth", "scale"])
def test_config_names_what_is_wrong(name):
    with pytest.raises(ValueError, match=name):
        PointGANConfig(**{name: 0})


# ---- training


def test_a_seed_gives_the_same_networks_again_and_another_seed_others():
    first, again, other = tiny(seed=1), tiny(seed=1), tiny(seed=2)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_the_runtimes_seed_counts_too():
    assert torch.equal(weights(tiny(seed=2, rt_seed=1)), weights(tiny(seed=1, rt_seed=2)))
    assert not torch.equal(weights(tiny(seed=1, rt_seed=0)), weights(tiny(seed=1, rt_seed=1)))


def test_steps_are_those_of_the_generator_and_who_watches_sees_the_model():
    seen = []
    gan = tiny(steps=3, critics=2, watch=lambda points, model, verdict: seen.append((points, model)))
    assert [points for points, _ in seen] == [32, 64, 96]
    assert all(model is gan for _, model in seen)


def test_points_of_another_dimension_are_named():
    with pytest.raises(ValueError, match="points: expected shape"):
        train_points(Runtime("gpu", "cpu"), torch.zeros(8, 3), TINY, steps=1, batch=4, **PLAIN)


def test_a_game_moves_the_samples_to_the_data():
    x = torch.randn(2_000, 2, generator=generator(1)) * 0.3 + torch.tensor([1.5, -1.0])
    cfg = PointGANConfig(width=32, depth=1)
    settings = {
        "loss": relativistic,
        "lr": (5e-3, 5e-3),
        "penalties": ((grid_of_25.r1, 0.5), (grid_of_25.r2, 0.5)),
    }
    gan = train_points(Runtime("gpu", "cpu"), x, cfg, steps=300, batch=64, betas=(0.0, 0.99), **settings)
    samples = gan.sample(2_000, generator(2))
    assert torch.allclose(samples.mean(0), torch.tensor([1.5, -1.0]), atol=0.15)
    assert float(samples.std(0).mean()) == pytest.approx(0.3, abs=0.15)


# ---- the recorded experiment


def test_the_experiment_is_registered():
    assert EXPERIMENTS["grid_of_25"] == full_name(grid_of_25.record_grid)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(grid_of_25, "GRID", TINY)
    monkeypatch.setattr(grid_of_25, "TRAINING", 512)
    monkeypatch.setattr(grid_of_25, "SAMPLES", 200)
    monkeypatch.setattr(grid_of_25, "SHOWN", 7)
    return lambda: grid_of_25.record_grid(Runtime("gpu", "cpu"), True, steps=4, seeds=2, looks=2)


def test_a_record_holds_what_the_chapter_reads(short):
    facts = short()
    assert facts["steps_along"] == [2, 4] and facts["seeds"] == 2 and facts["n"] == 200
    assert set(facts["runs"]) == set(facts["samples"]) == {"plain", "cured"}
    for found in facts["runs"].values():
        assert len(found["captured"]) == len(found["quality"]) == len(found["counts"]) == 2
        assert [len(along) for along in found["quality_along"]] == [2, 2]
        for captured, quality, counts in zip(found["captured"], found["quality"], found["counts"]):
            assert len(counts) == 25 and sum(count > 0 for count in counts) == captured
            assert sum(counts) == round(200 * quality)
    assert [len(points) for points in facts["samples"].values()] == [7, 7]


def test_a_record_is_the_same_again(short):
    assert short() == short()


def test_both_games_have_the_same_networks_optimizers_and_data(short, monkeypatch):
    calls = []

    def spy(rt, points, cfg, **settings):
        calls.append((points, cfg, settings))
        return PointGAN(cfg)

    monkeypatch.setattr(grid_of_25, "train_points", spy)
    short()
    for (x, cfg, a), (y, other, b) in zip(calls[:2], calls[2:]):
        assert torch.equal(x, y) and cfg is other
        same = set(a) - {"loss", "penalties", "watch"}
        assert same == set(b) - {"loss", "penalties", "watch"} and all(a[key] == b[key] for key in same)
    assert torch.equal(calls[0][0], grid(512, seed=0)[0])
    assert not torch.equal(calls[0][0], calls[1][0])
    assert len(grid_centres()) == 25


def test_training_points_leaves_the_readers_random_numbers_and_snapshots_alone(tmp_path):
    from course_lib.training.resume import Snapshots

    kept = Snapshots(tmp_path, {"recipe": "t"})
    rt = Runtime("gpu", "cpu", seed=0, snapshots=kept)
    x = ring(64)[0]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_points(rt, x, seed=1, steps=3, batch=8, loss=nonsaturating, lr=(1e-3, 1e-3))
    assert torch.equal(torch.rand(3), expected)
    assert kept.kept()
