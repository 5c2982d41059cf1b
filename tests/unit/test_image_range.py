"""Images in [0, 1] or [0, 255] where the course's are in [-1, 1]: whoever scores or trains hears of it, in one line."""

import warnings

import pytest
import torch

from course_lib import checks, data, features, metrics, show, training, vae, zoo
from course_lib.gans import GAN, GANConfig, losses
from course_lib.training import Runtime, duel, fit
from tests.unit.proof import generator

UNIT = (data.mnist("test")[0][:200] + 1) / 2  # in [0, 1]
Y = data.mnist("test")[1][:200]


def play_a_little(x):
    rt = Runtime("smoke", "cpu", seed=0)
    gan = GAN(GANConfig(width=2, latent=3))
    settings = {"loss": losses.nonsaturating, "images": 8, "batch": 4, "lr": (1e-3, 1e-3), "what": "t"}
    duel(rt, gan, data.Stream(x, batch=4), quiet=True, **settings)


def fit_a_little(x):
    rt = Runtime("smoke", "cpu", seed=0)
    model = zoo.load("ae_mnist_2").requires_grad_(True)
    loss = lambda x: (model(x) - x).square().mean()  # noqa: E731
    fit(rt, model, data.Stream(x, batch=4), loss, images=80, batch=4, lr=1e-4, what="t", quiet=True)


USES = {
    "features of digits": lambda x: features.digit_classifier().features(x),
    "matching of pixels": lambda x: metrics.matching_score(x[:50], x[50:100], extractor=None),
    "binarising": lambda x: vae.binarize(x, generator()),
    "accuracy": lambda x: training.accuracy(zoo.load("digit_classifier"), x, Y[: len(x)]),
    "an adversarial game": play_a_little,
    "fitting": fit_a_little,
    "comparing pairs": lambda x: metrics.mse(x[:5], x[5:10]),
}


@pytest.mark.parametrize("use", USES)
def test_images_in_the_unit_interval_are_told_of(use):
    with pytest.warns(checks.ImageRangeWarning, match=r"2\*x - 1") as told:
        USES[use](UNIT)
    assert all("\n" not in str(line.message) for line in told)


@pytest.mark.parametrize("use", USES)
def test_images_in_bytes_are_refused_or_told_of(use):
    with warnings.catch_warnings():
        warnings.simplefilter("error", checks.ImageRangeWarning)
        with pytest.raises((ValueError, checks.ImageRangeWarning), match=r"127\.5"):
            USES[use](255 * UNIT)


@pytest.mark.parametrize("use", USES)
def test_the_courses_images_pass_in_silence(use):
    with warnings.catch_warnings():
        warnings.simplefilter("error", checks.ImageRangeWarning)
        USES[use](2 * UNIT - 1)


def test_binary_pixels_may_be_fitted_and_bright_pictures_shown():
    with warnings.catch_warnings():
        warnings.simplefilter("error", checks.ImageRangeWarning)
        fit_a_little((UNIT > 0.5).float())
        show.images(UNIT[:3])
        checks.images("grey", torch.zeros(2, 1, 3, 3))


def test_python_says_it_once_for_each_place():
    judge = features.digit_classifier()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            judge.features(UNIT[:10])
    assert len(told) == 1
