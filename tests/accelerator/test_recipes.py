"""Every recipe on a GPU: a few steps of its training, its scores, and what ``zoo train`` does after the training."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings

import pytest
import torch

from course_lib import data, evaluation, precision
from course_lib.commands.zoo import main
from course_lib.recipes import RECIPES, verify
from course_lib.training import Runtime
from tests.accelerator import small


@pytest.fixture(autouse=True)
def few(monkeypatch):
    small.install(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few samples that scores mean nothing
        yield


@pytest.fixture
def brief(monkeypatch):
    """At most two minibatches in every loop."""
    small.two_minibatches(monkeypatch)


def trained(name, kind):
    recipe = small.shortened(RECIPES[name])
    rt = Runtime("smoke", kind, seed=0)
    model, facts = recipe.train(rt, True, **recipe.settings)
    assert evaluation.device_of(model).type == kind
    return recipe, model, facts


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_two_minibatches_and_the_scores(name, kind, brief):
    recipe, model, facts = trained(name, kind)
    assert facts["images_seen"] > 0
    was = {part: part.training for part in model.modules()}
    scores = recipe.score(model, 200)
    assert scores
    assert all(torch.tensor(float(score["value"])).isfinite() for score in scores.values())
    assert evaluation.device_of(model).type == kind  # left where it was, and as it was
    assert all(part.training == mode for part, mode in was.items())


@pytest.mark.parametrize("name", ["digit_classifier", "cdcgan_mnist", "vae_discs"])
def test_the_command_line_trains_to_the_end(name, kind, brief, tmp_path, monkeypatch):
    """Training, rounding, scoring on the CPU, both files, their checksums, and the file loads again."""
    source = data.data_folder()
    shutil.copytree(source, tmp_path / "data")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    recipe = small.shortened(RECIPES[name])
    score = recipe.score
    monkeypatch.setitem(RECIPES, name, dataclasses.replace(recipe, score=lambda model: score(model, 200)))
    assert main(["train", name]) == 0
    card = json.loads((tmp_path / "data/checkpoints" / f"{name}.json").read_text())
    assert card["hardware"].lower().startswith(("pretended", "mps"))
    assert verify(name).keys() == card["scores"].keys()
    assert not (tmp_path / "cache/training" / name).exists()


# ---- the two faults that these tests were written for, planted again


def test_a_scorer_that_forgets_the_device_is_found(kind, brief, monkeypatch):
    """The model is on the GPU, the test images are not: 17 of 23 recipes had that."""
    recipe, model, _ = trained("digit_classifier", kind)
    monkeypatch.setattr(evaluation, "device_of", lambda model: torch.device("cpu"))
    with pytest.raises(RuntimeError, match=r"same device|mps|cuda|[Ii]nput type"):
        recipe.score(model, 200)


def test_double_precision_on_an_apple_gpu_is_found(kind, monkeypatch):
    """Float64 on the device, as four chapters had it."""
    if kind != "mps":
        pytest.skip("CUDA has float64")
    from course_lib.metrics import result

    for module in (precision, result):
        monkeypatch.setattr(module, "float64", lambda x: x.double())
    with pytest.raises(TypeError, match="float64"):
        result.mean("mean", torch.ones(4, device=kind))
