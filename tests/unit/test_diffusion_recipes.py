"""Chapter 17's recipes and its record: what is written on cards, what is decoded, and what is measured."""

import json

import pytest
import torch

from course_lib import data, zoo
from course_lib.cards import full_name
from course_lib.diffusion import CodeDiffusion, Diffusion, DiffusionConfig, PointNetConfig, UNetConfig
from course_lib.experiments import EXPERIMENTS, diffusion_steps
from course_lib.leaderboard.entries import ENTRIES
from course_lib.recipes import RECIPES
from course_lib.recipes.diffusion import AUTOENCODER, Decoded
from course_lib.training import Runtime, batched
from course_lib.zoo import architectures
from tests.unit.proof import generator

NAMES = ("flow_mnist", "ddpm_mnist", "flow_latents")
SMALL = PointNetConfig(dimensions=32, width=8, depth=1, classes=10)


@pytest.mark.parametrize("name", NAMES)
def test_settings_fit_on_a_card(name):
    """Found where a training would have ended in an error after an hour."""
    settings = RECIPES[name].all_settings()
    assert settings["images"] > 100_000
    assert json.loads(json.dumps(settings)).keys() == settings.keys()


def test_both_pixel_recipes_differ_in_path_and_target_alone():
    flow, ddpm = (RECIPES[name].all_settings() for name in NAMES[:2])
    assert {key: ddpm[key] for key in ddpm.keys() - flow.keys()} == {"path": "cosine", "predicts": "noise"}
    assert all(ddpm[key] == value for key, value in flow.items())


@pytest.mark.parametrize(
    ("model", "network"),
    [("Diffusion", UNetConfig(resolution=8, widths=(8,), classes=10)), ("CodeDiffusion", SMALL)],
)
def test_a_card_builds_the_same_model(model, network):
    import dataclasses

    first = {"Diffusion": Diffusion, "CodeDiffusion": CodeDiffusion}[model](DiffusionConfig(network=network))
    on_card = json.loads(json.dumps(dataclasses.asdict(first.cfg)))
    again = architectures.build(model, on_card)
    assert again.cfg == first.cfg
    again.load_state_dict(first.state_dict())


def test_decoded_are_the_autoencoders_pictures_of_the_codes():
    codes, autoencoder = CodeDiffusion(DiffusionConfig(network=SMALL)), zoo.load(AUTOENCODER)
    codes.measure(batched(autoencoder.encode, data.mnist("test")[0][:100]))
    y = torch.arange(6)
    x = Decoded(codes, autoencoder).sample(6, generator(1), y, steps=2)
    assert x.shape == (6, 1, 28, 28)
    z = codes.sample(6, generator(1), y, steps=2)
    torch.testing.assert_close(x, batched(autoencoder.decode, z))


def test_they_are_on_the_leaderboard_with_what_they_need():
    assert {name: ENTRIES[name].weights for name in NAMES} == {
        "flow_mnist": ("flow_mnist",),
        "ddpm_mnist": ("ddpm_mnist",),
        "flow_latents": ("flow_latents", AUTOENCODER),
    }


class Copier:
    """In the place of a model: it draws test digits of the asked classes, and remembers its settings."""

    def __init__(self, calls, name):
        self.calls, self.name = calls, name

    def sample(self, n, generator, y, **settings):
        self.calls.append({"name": self.name, **settings})
        x, labels = data.mnist("test")
        pools = [x[labels == c] for c in range(10)]
        return torch.stack([pools[int(c)][k // 10] for k, c in enumerate(y)])


def test_the_record_counts_looks_and_scores_what_was_asked(monkeypatch):
    assert EXPERIMENTS["diffusion_steps"] == full_name(diffusion_steps.record_diffusion_steps)
    calls, load = [], zoo.load

    def fake(name, device=None):
        return Copier(calls, name) if name in NAMES else load(name, device)

    monkeypatch.setattr(zoo, "load", fake)
    monkeypatch.setattr(diffusion_steps, "Decoded", lambda model, autoencoder: model)
    facts = diffusion_steps.record_diffusion_steps(
        Runtime("smoke", "cpu", seed=0), True, n=200, looks=(2, 9), scales=(0.0, 3.0)
    )
    assert set(facts["steps"]) == {f"{name} {sampler}" for name, sampler in diffusion_steps.RUNS}
    for rows in facts["steps"].values():
        assert [row["looks"] for row in rows] == [2, 9]
        assert all(row["asked"] > 0.9 and row["precision"] > 0.5 for row in rows)
    assert [row["scale"] for row in facts["guidance"]] == [0.0, 3.0]
    for call in calls[:-2]:
        looks = 2 * call["steps"] - 1 if call["sampler"] == "heun" else call["steps"]
        assert looks <= 9
    assert [call["guidance"] for call in calls[-2:]] == [0.0, 3.0]
    assert facts["n"] == 200
    assert facts["real"]["frechet"] > 0
