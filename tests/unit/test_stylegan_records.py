"""What is recorded of the StyleGANs: which layers decide what, how separable attributes are, and the ablation."""

import math
from typing import ClassVar

import pytest
import torch

from course_lib import data, features
from course_lib.cards import full_name
from course_lib.disentanglement import linear_separability
from course_lib.experiments import EXPERIMENTS, stylegan, stylegan_ablation
from course_lib.gans.stylegan import StyleGAN, StyleGANConfig
from course_lib.training import Runtime
from tests.accelerator import small
from tests.unit.proof import generator


def test_a_plane_separates_what_one_separates_and_nothing_else():
    x = torch.randn(4_000, 5, generator=generator(0))
    flat = linear_separability(x, x[:, 0] > 0.3)
    assert flat.accuracy.value > 0.97
    assert flat.entropy < 0.15
    assert flat.guessing == pytest.approx(0.618, abs=0.04)  # Φ(0.3)
    assert float(flat.hits.double().mean()) == flat.accuracy.value
    assert len(flat.hits) == 1_000
    ring = linear_separability(x, x[:, :2].norm(dim=1) > 1.18)  # half of the codes
    assert abs(ring.accuracy.value - 0.5) < 0.08
    assert ring.entropy == pytest.approx(0.69, abs=0.03)


def test_separability_does_not_depend_on_the_units_of_the_codes():
    x = torch.randn(1_000, 3, generator=generator(1))
    label = x[:, 0] + 0.5 * torch.randn(1_000, generator=generator(2)) > 0
    a = linear_separability(x, label)
    b = linear_separability(x * torch.tensor([1e4, 1.0, 1e-4]) + 7, label)
    assert a.accuracy.value == pytest.approx(b.accuracy.value, abs=0.005)


def test_labels_of_one_kind_are_refused():
    x = torch.randn(40, 3, generator=generator(0))
    for labels in (
        torch.ones(40, dtype=torch.bool),
        torch.arange(40) < 30,
    ):  # everywhere, in the held-out part
        with pytest.raises(ValueError, match="labels: expected both"):
            linear_separability(x, labels)


class Judge:
    """Sees in an image whether its left half is bright, and whether its mean is."""

    names: ClassVar = {"left": ("none", "bright"), "mean": ("none", "bright")}
    name = "test"

    def logits(self, x):
        values = {"left": x[..., : x.shape[-1] // 2].mean((1, 2, 3)), "mean": x.mean((1, 2, 3))}
        return {key: torch.stack([-v, v], 1) for key, v in values.items()}


def test_mixing_counts_what_follows_the_layers_that_decide_it():
    """In a generator whose last layers alone are heard, the first never decide."""
    torch.manual_seed(0)
    gan = StyleGAN(StyleGANConfig(resolution=16, width=4, widest=4, latent=6, outputs="last", noise=False))
    for layer in gan.G.layers[:3]:
        layer.affine.weight.data.zero_()
    gan.G.colours[-1].affine.weight.data.mul_(5)
    found = stylegan.mixing(gan, Judge(), pairs=200)
    for key in Judge.names:
        assert found["layers"]["4"][key] == found["layers"]["8"][key] == 0
        assert found["layers"]["16"][key] == found["layers"]["fine"][key] == 1
        assert found["layers"]["coarse"][key] == 0  # of 4 x 4
    assert 0 < found["pairs"]["mean"] <= 200


def test_separability_is_of_equally_many_faces_of_both_sides(monkeypatch):
    """A style that decides by its sign alone is separable in W, and in Z only if the mapping network is straight."""
    torch.manual_seed(0)
    gan = StyleGAN(StyleGANConfig(resolution=8, width=4, widest=4, latent=4, outputs="last", noise=False))
    monkeypatch.setattr(stylegan, "HALVES", {"mean": ("none",)})
    gan.G.images = lambda w: (w[:, :1] - 0.5)[..., None, None].expand(-1, 3, 8, 8)
    found = stylegan.separability(gan, Judge(), codes=4_000)["mean"]
    w = gan.G.styles(gan.codes(4_000, generator(1)))[:, 0]
    above = int((w > 0.5).sum())
    assert found["codes"] == 2 * min(above, 4_000 - above)
    assert found["W"]["accuracy"][0] > 0.97
    assert 0.5 < found["Z"]["accuracy"][0] < found["W"]["accuracy"][0]
    assert found["W"]["entropy"] < found["Z"]["entropy"] < math.log(2)
    gain, half = found["gain"]
    assert gain == pytest.approx(found["W"]["accuracy"][0] - found["Z"]["accuracy"][0])
    assert 0 <= half < 0.05


def test_the_names_of_the_experiments_lead_to_them():
    assert EXPERIMENTS["stylegan"] == full_name(stylegan.record_stylegan)
    assert EXPERIMENTS["stylegan_ablation"] == full_name(stylegan_ablation.record_stylegan_ablation)


@pytest.mark.filterwarnings("ignore")
def test_the_ablation_takes_one_idea_away_at_a_time(monkeypatch):
    small.install(monkeypatch)
    monkeypatch.setattr(stylegan_ablation, "NEAR", 100)
    stages = ((16, 64), (32, 64))
    found = stylegan_ablation.record_stylegan_ablation(
        Runtime("smoke", "cpu"), True, seeds=2, n=200, stages=stages
    )
    assert set(found["runs"]) == set(stylegan_ablation.ARMS)
    for rows in found["runs"].values():
        assert [row["images_seen"] for row in rows] == [128, 128]
        assert rows[0]["frechet"] != rows[1]["frechet"]  # of two seeds
    first = {arm: rows[0]["frechet"] for arm, rows in found["runs"].items()}
    assert len(set(first.values())) == len(first)  # every switch switches something
    assert found["real"]["frechet"] < min(first.values())
    for arm, changes in stylegan_ablation.ARMS.items():
        assert len(changes) == (arm != "StyleGAN2")


def test_enlarged_faces_keep_their_flat_colours():
    x = torch.full((1, 3, 32, 32), 0.25)
    assert torch.equal(stylegan_ablation.enlarged(x), torch.full((1, 3, 64, 64), 0.25))
    faces = data.avatars(4, 64, progress=False)[0]
    assert torch.equal(stylegan_ablation.enlarged(faces), faces)


def test_both_sides_of_an_attribute_are_classes_of_the_judge():
    judge = features.avatar_attributes()
    for key, side in stylegan.HALVES.items():
        assert set(side) < set(judge.names[key])
