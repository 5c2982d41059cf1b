"""What the adversarial recipes watch and score: progress that survives an interruption, and discs that are discs."""

import dataclasses

import pytest
import torch

from course_lib import data, features, metrics
from course_lib.gans import GAN, GANConfig
from course_lib.gans.losses import Verdict, wasserstein
from course_lib.recipes import discs, gans
from course_lib.training import EMA, Runtime
from course_lib.training.duelling import duel
from course_lib.training.resume import Snapshots
from tests.unit.proof import generator


def verdict(gap):
    zero = torch.zeros(())
    return Verdict(zero, zero, zero, torch.tensor([gap, gap]), torch.zeros(2))


@pytest.fixture
def gan():
    torch.manual_seed(0)
    return GAN(GANConfig(width=2, latent=3, normalise=False))


def test_progress_averages_the_gap_between_marks_and_measures_the_same_codes(gan):
    progress = gans.Progress(gan, 20 * gans.MARKS, EMA(gan.G, 100))  # a mark every 20 images
    for seen, gap in ((10, 1.0), (20, 3.0), (30, 5.0), (40, 9.0)):
        progress(seen, verdict(gap))
    first, second = progress.rows
    assert (first["images"], second["images"]) == (20, 40)
    assert (first["gap"], second["gap"]) == (2.0, 7.0)
    assert first["frechet"] == second["frechet"]  # the generator did not move
    judge = features.digit_classifier()
    expected = metrics.frechet(
        judge.features(data.mnist("test")[0]),
        judge.features(gan.sample(2_000, generator(0))),
        extractor=judge.name,
    )
    assert first["frechet"] == pytest.approx(expected.value, rel=1e-9)
    assert 0 < first["ci95"] == pytest.approx(expected.ci95, rel=1e-6)


def test_progress_is_resumed_with_the_rest(gan, tmp_path, monkeypatch):
    """A run cut in the middle ends with the same rows as one in one piece."""
    monkeypatch.setattr(gans, "MARKS", 4)
    x = torch.rand(40, 1, 28, 28, generator=generator(1)) * 2 - 1

    def run(folder, resume=False, stop=None):
        rt = Runtime(
            "gpu", "cpu", seed=0, snapshots=Snapshots(tmp_path / folder, {"recipe": "t"}, resume=resume)
        )
        model = rt.place(GAN(GANConfig(width=2, latent=3, normalise=False)))
        average = EMA(model.G, 100)
        watch = gans.Progress(model, 320, average)
        state = {"watch": watch}

        class Watch:
            state_dict, load_state_dict = watch.state_dict, watch.load_state_dict

            def __call__(self, seen, verdict):
                if seen == stop:
                    raise KeyboardInterrupt
                watch(seen, verdict)

        stream = data.Stream(x, batch=8, generator=rt.generator(1))
        settings = {"loss": wasserstein, "images": 320, "batch": 8, "lr": (1e-3, 1e-3)}
        duel(rt, model, stream, what="t", quiet=True, average=average, watch=Watch(), **settings)
        return state["watch"].rows

    whole = run("one")
    with pytest.raises(KeyboardInterrupt):
        run("two", stop=200)
    assert run("two", resume=True) == whole
    assert [row["images"] for row in whole] == [80, 160, 240, 320]


def test_the_nearest_disc_is_the_nearest_and_is_counted_only_if_it_is_one():
    x, which = data.discs(50, seed=3)
    distance, found, is_disc = discs.nearest_disc(x)
    assert torch.equal(found, which)
    assert distance.max() == 0
    assert is_disc.all()
    grey = torch.zeros_like(x[:1])  # as near to one colour as to the other
    assert not discs.nearest_disc(grey)[2]
    spoilt = x[:1].clone()
    spoilt.flatten()[:: int(1 / (1.5 * discs.FEW))] *= -1  # one pixel in 33: more than one in 50
    assert not discs.nearest_disc(spoilt)[2]
    faint = 0.6 * x[:1]  # off by 0.4 everywhere: the colours are right
    distance, found, is_disc = discs.nearest_disc(faint)
    assert is_disc
    assert distance.item() == pytest.approx(0.4 * 64, rel=1e-6)


def test_scores_of_discs_count_radii_among_real_discs_only(monkeypatch):
    templates = data.discs()[0]

    class Three:
        cfg = GANConfig(resolution=64)

        def sample(self, n, generator):
            x = templates[torch.arange(n) % 4].clone()
            x[3::4] = 0.0  # every fourth is no disc
            return x

    scores = discs.score_discs(Three())
    assert scores["radii of 32"]["value"] == 3
    assert scores["share of discs"]["value"] == 0.75


def test_clipped_and_penalised_critics_have_the_same_networks_data_and_images():
    """The pairs that chapter 10 compares."""
    for pair in (("wgan_mnist", "wgan_gp_mnist"), ("wgan_discs", "wgan_gp_discs")):
        clip, penalty = (dict(gans.RECIPES[name].settings) for name in pair)
        assert clip.pop("clip") is True
        assert penalty.pop("clip") is False
        if "discs" not in clip:
            assert penalty.pop("refine") == 2  # in which a clipped critic hardly learns
        assert clip == penalty


def test_asked_class_is_scored_with_the_labels_that_were_asked(monkeypatch):
    """A generator that draws a real digit of the class it is asked for scores what the judge says of real digits."""
    x, y = data.mnist("train")
    by_class = [x[y == digit] for digit in range(10)]

    class Real:
        cfg = dataclasses.replace(GANConfig(), classes=10)

        def sample(self, n, generator, y=None):
            return torch.stack(
                [by_class[digit][i % len(by_class[digit])] for i, digit in enumerate(y.tolist())]
            )

    scores = gans.score_digits(Real())
    assert scores["asked class"]["value"] > 0.99
    assert scores["Fréchet distance, digits"]["value"] < 0.3
