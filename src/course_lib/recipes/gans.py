"""The adversarial models of chapters 9 and 10: digits, digits by class, avatars, and critics on digits and on discs."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from course_lib import data, features, metrics
from course_lib.cards import Facts, Score, card, share
from course_lib.checks import ImageRangeWarning
from course_lib.evaluation import device_of
from course_lib.gans import GAN, GANConfig, losses
from course_lib.recipes.discs import score_discs
from course_lib.recipes.recipe import Recipe
from course_lib.training import EMA, Runtime, duel

MARKS = 20  # how often `Progress` looks at the generator
CLIP, LAMBDA = 0.01, 10.0  # Arjovsky et al. 2017; Gulrajani et al. 2017
HALF_LIFE = 10_000  # of a weight in the average, in images
DIGITS = {"normalise": False, "refine": 2}  # the networks of DCGAN, WGAN and WGAN-GP on digits
CRITICS = {  # (clip, discs): learning rates of generator and critic, and critic steps
    (True, False): ((1.5e-4, 1.5e-4), 5),
    (False, False): ((1e-3, 1e-3), 1),
    (True, True): ((1e-3, 3e-4), 5),
    (False, True): ((1e-3, 1e-3), 2),
}


class Progress:
    """What the critic says, and how good the samples are, at `MARKS` moments of a training: a ``watch`` of `duel`.

    The samples are those of the averaged weights. The gap is the mean over all generator steps since the mark before;
    the Fréchet distance is that of 2,000 samples from the same codes each time, in digit features, to the 10,000 test
    images.
    """

    def __init__(self, gan: GAN, images: int, average: EMA | None, marks: int | None = None) -> None:
        self.rows: list[dict[str, float]] = []
        self._average = average
        self._gan, self._every = gan, images / (marks or MARKS)
        self._gap, self._steps = torch.zeros(()), 0
        self._judge = features.digit_classifier(next(gan.parameters()).device)
        self._real = self._judge.features(data.mnist("test")[0])

    def __call__(self, images_seen: int, verdict: losses.Verdict) -> None:
        """After a generator step: `images_seen` so far, and the discriminator's last `verdict`."""
        self._gap, self._steps = self._gap.to(verdict.gap) + verdict.gap, self._steps + 1
        if images_seen < self._every * (len(self.rows) + 1):
            return
        with self._average.applied() if self._average else contextlib.nullcontext():
            x = self._gan.sample(2_000, torch.Generator().manual_seed(0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageRangeWarning)  # the first samples are grey
            features_ = self._judge.features(x)
        found = metrics.frechet(self._real, features_, extractor=self._judge.name)
        gap = float(self._gap) / self._steps
        self.rows.append({"images": images_seen, "gap": gap, "frechet": found.value, "ci95": found.ci95})
        self._gap, self._steps = torch.zeros(()), 0

    def state_dict(self) -> dict[str, Any]:
        """What has been seen so far."""
        return {"rows": self.rows, "gap": self._gap, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.rows, self._gap, self._steps = list(state["rows"]), state["gap"], state["steps"]


def train_dcgan_mnist(
    rt: Runtime, quiet: bool = False, *, images: int, half_life: float | None = HALF_LIFE
) -> tuple[nn.Module, Facts]:
    """DCGAN on the 60,000 MNIST training images, its discriminator with R1 instead of batch normalisation.

    Differs from Radford et al. 2016: the discriminator has no batch normalisation but the penalty R1 (Mescheder et al.
    2018, γ = 0.1), and either network two further convolutions, without which the Fréchet distance stayed above 1.
    """
    x, _ = data.mnist("train")
    gan = rt.place(GAN(GANConfig(**DIGITS)))
    average, images = _average(gan, half_life), rt.images(images, step=32)
    watch = Progress(gan, images, average, MARKS if rt.judged else 2)
    facts = duel(
        rt,
        gan,
        data.Stream(rt.place(x), batch=32, generator=rt.generator(1)),
        loss=losses.nonsaturating,
        penalties=[(losses.r1, 0.05)],
        images=images,
        batch=32,
        lr=(1e-3, 1e-3),
        betas=(0.0, 0.99),
        what="DCGAN",
        quiet=quiet,
        average=average,
        watch=watch,
    )
    return gan, {"data": "MNIST train", **facts, "progress": watch.rows}


def train_conditional_dcgan(
    rt: Runtime, quiet: bool = False, *, epochs: int, half_life: float | None = HALF_LIFE
) -> tuple[nn.Module, Facts]:
    """Conditional DCGAN on the 60,000 MNIST training images and their labels, with the settings of Radford et al."""
    x, y = data.mnist("train")
    gan = rt.place(GAN(GANConfig(classes=10)))
    facts = duel(
        rt,
        gan,
        data.Stream(rt.place(x), y.to(rt.device), batch=64, generator=rt.generator(1)),
        loss=losses.nonsaturating,
        images=rt.images(epochs * len(x), step=64),
        batch=64,
        lr=(2e-4, 2e-4),
        what="conditional DCGAN",
        quiet=quiet,
        average=_average(gan, half_life),
    )
    return gan, {"data": "MNIST train", **facts}


def train_dcgan_avatars(
    rt: Runtime, quiet: bool = False, *, images: int, faces: int = 20_000, half_life: float | None = HALF_LIFE
) -> tuple[nn.Module, Facts]:
    """DCGAN on drawn faces (Open Peeps, 64 x 64, colour), the first `faces` of seed 0.

    Differs from Radford et al. 2016: with batch normalisation the discriminator soon won, because a drawing's flat
    colours are hard to hit and easy to check. It has none here, but the penalty R1 (Mescheder et al. 2018, γ = 0.1).
    """
    x, _ = data.avatars(faces, 64, seed=0, progress=not quiet)
    gan = rt.place(GAN(GANConfig(resolution=64, colours=3, width=16, normalise=False)))
    facts = duel(
        rt,
        gan,
        data.Stream(rt.place(x), batch=32, generator=rt.generator(1)),
        loss=losses.nonsaturating,
        penalties=[(losses.r1, 0.05)],
        images=rt.images(images, step=32),
        batch=32,
        lr=(5e-4, 5e-4),
        betas=(0.0, 0.99),
        what="DCGAN, avatars",
        quiet=quiet,
        average=_average(gan, half_life),
    )
    return gan, {"data": f"{faces:,} open-peeps avatars, 64 x 64, seed 0", **facts}


def train_critic(
    rt: Runtime,
    quiet: bool = False,
    *,
    clip: bool,
    images: int,
    discs: bool = False,
    decay: float = 0.25,
    critics: int | None = None,
    half_life: float | None = HALF_LIFE,
    **config: Any,
) -> tuple[nn.Module, Facts]:
    """WGAN, its critic kept Lipschitz by clipping or by the gradient penalty, on MNIST or on 20,000 `data.discs`.

    Both have the same minibatches and images (on discs the same networks too), and Adam with the betas of Gulrajani et
    al. 2017. Short trials chose the learning rates and critic steps for each: a clipped critic needs smaller steps than
    a penalised one, for its weights have only from -c to c to go. The learning rates fall in the last share `decay` of
    the training; `critics` sets other critic steps than the usual ones;
    `config` goes to `GANConfig`.
    """
    lr, usual = CRITICS[clip, discs]
    x = data.discs(20_000, seed=0)[0] if discs else data.mnist("train")[0]
    gan = rt.place(GAN(GANConfig(**{"normalise": False, "resolution": x.shape[-1], **config})))
    critics = critics or usual
    average, images = _average(gan, half_life), rt.images(images, step=32 * critics)
    watch = None if discs else Progress(gan, images, average, MARKS if rt.judged else 2)
    facts = duel(
        rt,
        gan,
        data.Stream(rt.place(x), batch=32, generator=rt.generator(1)),
        loss=losses.wasserstein,
        penalties=[] if clip else [(losses.gradient_penalty, LAMBDA)],
        clip=CLIP if clip else None,
        images=images,
        batch=32,
        lr=lr,
        betas=(0.0, 0.9),
        critics=critics,
        decay=decay,
        what="WGAN" if clip else "WGAN-GP",
        quiet=quiet,
        average=average,
        watch=watch,
    )
    source = "20,000 discs, 64 x 64, seed 0" if discs else "MNIST train"
    return gan, {"data": source, **facts, **({"progress": watch.rows} if watch else {})}


def _average(gan: GAN, half_life: float | None) -> EMA | None:
    return None if half_life is None else EMA(gan.G, half_life)


def score_digits(gan: GAN, n: int = 10_000) -> dict[str, Score]:
    """10,000 samples of seed 0 and the 10,000 MNIST test images: Fréchet distance; the asked class if there is one."""
    judge = features.digit_classifier(device_of(gan))
    y = torch.arange(n) % 10 if gan.cfg.classes else None
    x = gan.sample(n, torch.Generator().manual_seed(0), y)
    real = judge.features(data.mnist("test")[0][:n])
    found = metrics.frechet(real, judge.features(x), extractor=judge.name)
    scores = {"Fréchet distance, digits": card(found, "distance")}
    if y is not None:
        scores["asked class"] = share(judge.logits(x).argmax(1).cpu() == y)
    return scores


def score_avatars(gan: GAN, n: int = 2_000) -> dict[str, Score]:
    """2,000 samples of seed 0 and 2,000 faces of seed 1: Fréchet distance in ImageNet features (EfficientNet-Lite0)."""
    judge = features.imagenet(64, device_of(gan))
    real = judge.features(data.avatars(n, 64, seed=1, progress=False)[0])
    samples = judge.features(gan.sample(n, torch.Generator().manual_seed(0)))
    return {
        "Fréchet distance, ImageNet": card(metrics.frechet(real, samples, extractor=judge.name), "distance")
    }


_DIGITS = {"images": 1_200_000}
# Without an average, as they were trained before there was one.
_DISCS = {"half_life": None, "discs": True, "images": 480_000, "decay": 0.5, "width": 8, "widest": 64}
RECIPES = {
    "dcgan_mnist": Recipe(train_dcgan_mnist, score_digits, _DIGITS),
    "cdcgan_mnist": Recipe(train_conditional_dcgan, score_digits, {"epochs": 15}),
    "dcgan_avatars": Recipe(train_dcgan_avatars, score_avatars, {"images": 420_000, "half_life": None}),
    "wgan_mnist": Recipe(train_critic, score_digits, {"clip": True, **_DIGITS}),
    "wgan_gp_mnist": Recipe(
        train_critic, score_digits, {"clip": False, **_DIGITS, "refine": DIGITS["refine"]}
    ),
    "wgan_discs": Recipe(train_critic, score_discs, {"clip": True, **_DISCS}),
    "wgan_gp_discs": Recipe(train_critic, score_discs, {"clip": False, **_DISCS}),
}
