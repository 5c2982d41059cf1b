"""Every recipe on the CPU: two minibatches of its training, and its scores (on a GPU: `tests/accelerator`)."""

import dataclasses
import warnings

import pytest
import torch

from course_lib import evaluation
from course_lib.gans import GAN
from course_lib.gans.stylegan import StyleGAN
from course_lib.recipes import RECIPES
from course_lib.training import Runtime
from course_lib.vq import VQVAE
from tests.accelerator import small


@pytest.fixture(autouse=True)
def few(monkeypatch):
    small.install(monkeypatch)
    small.two_minibatches(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few samples that scores mean nothing
        yield


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_two_minibatches_and_the_scores(name):
    recipe = small.shortened(RECIPES[name])
    model, facts = recipe.train(Runtime("smoke", "cpu", seed=0), True, **recipe.settings)
    assert facts["images_seen"] > 0
    was = {part: part.training for part in model.modules()}
    scores = recipe.score(model, 200)
    assert scores
    assert all(torch.tensor(float(score["value"])).isfinite() for score in scores.values())
    assert all(part.training == mode for part, mode in was.items())


@pytest.mark.parametrize("name", sorted(name for name in RECIPES if "gan" in name))
def test_every_adversarial_recipe_can_average_its_weights(name):
    recipe = small.shortened(RECIPES[name])
    recipe = dataclasses.replace(recipe, settings={**recipe.settings, "half_life": 64.0})
    gan, facts = recipe.train(Runtime("smoke", "cpu", seed=0), True, **recipe.settings)
    assert isinstance(gan, (GAN, StyleGAN, VQVAE))
    assert facts["half_life"] == 64.0
    assert evaluation.device_of(gan).type == "cpu"
