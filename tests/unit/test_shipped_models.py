"""The shipped checkpoints keep what their cards claim, and the cards what the course promises."""

import dataclasses

import pytest
import torch
from scipy.stats import spearmanr

from course_lib import data, features, zoo
from course_lib.autoencoders import PCA
from course_lib.gans.losses import (
    Objective,
    clip_weights,
    clipped_share,
    gradients,
    interpolates,
    wasserstein,
)
from course_lib.recipes import verify
from course_lib.recipes.gans import CLIP
from course_lib.training import batched
from course_lib.vae import active_units, binarize, elbo


@pytest.mark.parametrize("name", [name for name in zoo.names() if name != "digit_classifier"])
def test_scores_are_those_on_the_card(name):
    """`verify` raises if recomputing any score gives another value (the classifier has its own test)."""
    found = verify(name)
    assert set(found) == set(zoo.info(name)["scores"])


@pytest.fixture(scope="module")
def pca():
    return PCA.fit(data.mnist("train")[0], 32)


@pytest.mark.parametrize("k", [2, 8, 32])
def test_deep_autoencoders_beat_pca(pca, k):
    x, _ = data.mnist("test")
    linear = float((pca.truncated(k).reconstruct(x) - x).square().mean())
    deep = zoo.info(f"ae_mnist_{k}")["scores"]["test MSE"]["value"]
    assert deep < (0.65 if k == 8 else 1.0) * linear


def test_one_level_and_two_level_models_are_fairly_compared():
    """Not more parameters, the same images, and a better bound by over two standard errors of the difference."""
    one, two = zoo.load("vae_one_level"), zoo.load("vae_two_level")
    size = [sum(p.numel() for p in model.parameters()) for model in (one, two)]
    assert 0.98 * size[0] <= size[1] <= size[0]
    assert zoo.info("vae_one_level")["images_seen"] == zoo.info("vae_two_level")["images_seen"]
    x = binarize(data.mnist("test")[0], torch.Generator().manual_seed(0))
    bounds = [elbo(model, x, torch.Generator().manual_seed(3)).elbo for model in (one, two)]
    difference = bounds[1] - bounds[0]
    assert difference.mean() > 2 * difference.std() / len(x) ** 0.5


def test_plain_vae_has_the_bound_that_chapter_6_reports():
    scores = zoo.info("vae_mnist_20")["scores"]
    assert scores["test -ELBO"]["n"] == 10_000
    assert scores["test -ELBO"]["value"] <= 91
    assert zoo.info("vae_two_level")["scores"]["test -ELBO"]["value"] <= 91
    assert scores["test -IWAE-500"]["n"] >= 1_000
    assert scores["test -IWAE-500"]["value"] < scores["test -ELBO"]["value"]


def test_latents_are_used_only_where_they_should_be():
    x = binarize(data.mnist("test")[0][:2000], torch.Generator().manual_seed(0))
    active = {
        name: int(active_units(zoo.load(name).encode(x)[0]).sum())
        for name in ("vae_mnist_2", "vae_mnist_2_reconstruction", "vae_mnist_2_kl", "vae_mnist_20")
    }
    assert active["vae_mnist_2"] == active["vae_mnist_2_reconstruction"] == 2
    assert active["vae_mnist_2_kl"] == 0
    assert active["vae_mnist_20"] >= 15


def test_token_prior_writes_digits_that_are_recognised():
    """More confidently than the plain VAE's, all ten about equally often; and the codebook is half used or more."""
    tokenizer, prior = zoo.load("vq_mnist"), zoo.load("token_prior")
    judge, generator = features.digit_classifier(), torch.Generator().manual_seed(0)
    written = judge.probabilities(batched(tokenizer.decode, prior.sample(1000, generator)))
    plain = judge.probabilities(zoo.load("vae_mnist_20").sample(1000, generator))
    confidence = [p.max(1).values for p in (written, plain)]
    error = (confidence[0].var() / 1000 + confidence[1].var() / 1000) ** 0.5
    assert confidence[0].mean() - confidence[1].mean() > 2 * error
    share = torch.bincount(written.argmax(1), minlength=10) / 1000
    assert torch.special.entr(share).sum() >= 0.95 * torch.log(torch.tensor(10.0))
    assert zoo.info("vq_mnist")["scores"]["perplexity"]["value"] >= tokenizer.cfg.codes / 2


def test_digits_are_of_the_class_that_was_asked_for():
    """Recomputed by `test_scores_are_those_on_the_card`."""
    asked = zoo.info("cdcgan_mnist")["scores"]["asked class"]
    assert asked["n"] == 10_000
    assert asked["value"] >= 0.97


@pytest.mark.parametrize("what", ["mnist", "discs"])
def test_clipping_and_penalty_do_what_chapter_10_says(what):
    """The slope of the penalised critic is near 1 between the sets, that of the clipped one is not."""
    clip, penalty = zoo.load(f"wgan_{what}"), zoo.load(f"wgan_gp_{what}")
    images = [zoo.info(name)["images_seen"] for name in (f"wgan_{what}", f"wgan_gp_{what}")]
    assert images[0] == pytest.approx(images[1], rel=1e-3)  # whole rounds of five and of two critic steps
    deeper = (
        {"refine": 2} if what == "mnist" else {}
    )  # a clipped critic that is so deep hardly learns (chapter 10)
    assert dataclasses.replace(clip.cfg, **deeper) == penalty.cfg
    assert clipped_share(clip.D, 1.01 * CLIP) == 0
    real = data.mnist("test")[0][:512] if what == "mnist" else data.discs(512, seed=5)[0]
    norms = []
    for gan in (clip, penalty):
        generator = torch.Generator().manual_seed(0)
        between = interpolates(real, gan.sample(len(real), generator), generator)
        norms.append(float(gradients(gan.D, between).detach().norm(dim=1).mean()))
    assert 0.9 <= norms[1] <= 1.1
    assert not 0.9 <= norms[0] <= 1.1


def test_a_clipped_critic_that_sees_a_difference_has_most_weights_at_the_bounds():
    """Trained on alone, against pictures that stay as they are; in the game it is far from that."""
    gan, x = zoo.load("wgan_mnist"), data.mnist("train")[0]
    assert clipped_share(gan.D, CLIP) < 0.5
    D, draw = gan.D.requires_grad_(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        fixed = zoo.load("vae_mnist_20").sample(3_000, draw)
    optimizer, objective = torch.optim.Adam(D.parameters(), 3e-4, (0.0, 0.9)), Objective(D, wasserstein)
    for _ in range(150):
        real, fake = (part[torch.randint(len(part), (256,), generator=draw)] for part in (x, fixed))
        optimizer.zero_grad()
        objective(real, fake, draw).total.backward()
        optimizer.step()
        clip_weights(D, CLIP)
    assert clipped_share(D, CLIP) >= 0.5


def test_the_critics_estimate_follows_the_quality_of_the_samples():
    """Spearman's correlation of gap and Fréchet distance along WGAN-GPs, while their learning rates are constant."""
    shipped = zoo.info("wgan_gp_mnist")
    constant = round(20 * (1 - shipped["settings"]["decay"]))
    for rows in (
        shipped["progress"][:constant],
        zoo.recorded("critic_progress")["runs"]["5 critic steps"],
    ):
        assert len(rows) >= 15
        assert spearmanr([row["gap"] for row in rows], [row["frechet"] for row in rows]).statistic >= 0.8


@pytest.mark.parametrize("name", ["dcgan_mnist", "wgan_gp_mnist"])
def test_the_two_games_of_digits_are_near_the_data_after_the_same_training(name):
    card = zoo.info(name)
    score = card["scores"]["Fréchet distance, digits"]
    assert score["n"] == 10_000
    assert score["value"] + score["ci95"] <= 0.6
    both = [zoo.info(one) for one in ("dcgan_mnist", "wgan_gp_mnist")]
    for key in ("config", "images_seen", "batch", "critic_steps", "half_life", "data"):
        assert both[0][key] == both[1][key], key


def test_discs_come_out_as_discs():
    scores = zoo.info("wgan_gp_discs")["scores"]
    assert scores["share of discs"]["value"] >= 0.9
    assert scores["radii of 32"]["value"] >= 28
    clipped = zoo.info("wgan_discs")[
        "scores"
    ]  # ragged, but of all sizes; one picture for all codes had 75, 0 and 0
    assert clipped["distance to the nearest disc"]["value"] < 25
    assert clipped["share of discs"]["value"] > 0.15
    assert clipped["radii of 32"]["value"] > 4


def test_the_penalty_ranks_before_clipping():
    """Digits by Fréchet distance, intervals apart."""
    scores = [
        zoo.info(name)["scores"]["Fréchet distance, digits"] for name in ("wgan_gp_mnist", "wgan_mnist")
    ]
    assert scores[0]["value"] + scores[0]["ci95"] < scores[1]["value"] - scores[1]["ci95"]


def test_the_cured_grid_of_chapter_8_is_whole_in_every_seed():
    runs = zoo.recorded("grid_of_25")["runs"]
    assert runs["cured"]["captured"] == [25] * 5
    assert min(runs["cured"]["quality"]) >= 0.9
