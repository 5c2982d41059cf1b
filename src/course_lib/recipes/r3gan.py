"""R3GAN (chapter 12) on stacked digits, whose 1,000 modes can be counted, and on drawn faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import data, features, metrics
from course_lib.cards import Facts, Score, card, count
from course_lib.evaluation import device_of
from course_lib.gans import GAN, R3GAN, R3GANConfig, losses
from course_lib.recipes.gans import HALF_LIFE, score_avatars
from course_lib.recipes.recipe import Recipe
from course_lib.training import EMA, Runtime, duel

MODES, STACKED = 1_000, 50_000  # modes, and pictures to train on
GAMES: dict[str, tuple[losses.Loss, tuple[losses.Penalty, ...]]] = {
    "non-saturating": (losses.nonsaturating, ()),
    "non-saturating, R1": (losses.nonsaturating, (losses.r1,)),
    "relativistic": (losses.relativistic, ()),
    "relativistic, R1, R2": (losses.relativistic, (losses.r1, losses.r2)),  # R3GAN's
}
R3 = "relativistic, R1, R2"


def play(
    rt: Runtime, gan: GAN, x: Tensor, game: str = R3, *, images: int, gamma: float, **settings: Any
) -> Facts:
    """One of `GAMES` between the networks of `gan` on pictures x (N, C, R, R): only the losses differ.

    Penalties have the weight `gamma` / 2; `settings` go to `duel`. With ``half_life``, the generator gets averaged
    weights at the end.
    """
    loss, penalties = GAMES[game]
    half_life = settings.pop("half_life", None)
    return duel(
        rt,
        gan,
        data.Stream(rt.place(x), batch=32, generator=rt.generator(1)),
        loss=loss,
        penalties=[(penalty, gamma / 2) for penalty in penalties],
        images=images,
        batch=32,
        lr=(1e-3, 1e-3),
        betas=(0.0, 0.99),
        average=None if half_life is None else EMA(gan.G, half_life),
        **{"what": game, **settings},
    )


def train_stacked(
    rt: Runtime,
    quiet: bool = False,
    *,
    images: int,
    game: str = R3,
    gamma: float = 1.0,
    half_life: float | None = HALF_LIFE,
    watch: Callable[[int, GAN, losses.Verdict], None] | None = None,
) -> tuple[nn.Module, Facts]:
    """`R3GAN` on 50,000 stacked digits of seed 0, with one of `GAMES`; `watch` is called as by `duel`, with the model.

    The settings were found by short trials with R3GAN's own loss. Differs from Huang et al. 2024: few channels, no
    decay of γ and β₂, and averaged weights.
    """
    x, _ = data.stacked_mnist(STACKED, seed=0)
    gan = rt.place(R3GAN(R3GANConfig(colours=3)))
    tell = None if watch is None else (lambda seen, verdict: watch(seen, gan, verdict))
    settings = {"images": rt.images(images, step=32), "gamma": gamma, "half_life": half_life}
    facts = play(rt, gan, x, game, **settings, quiet=quiet, watch=tell)
    return gan, {"data": f"{STACKED:,} stacked MNIST digits, seed 0", **facts}


def train_r3gan_avatars(
    rt: Runtime,
    quiet: bool = False,
    *,
    images: int,
    faces: int = 20_000,
    gamma: float = 1.0,
    half_life: float | None = HALF_LIFE,
) -> tuple[nn.Module, Facts]:
    """`R3GAN` on drawn faces (Open Peeps, 64 x 64, colour), the first `faces` of seed 0, as `dcgan_avatars`."""
    x, _ = data.avatars(faces, 64, seed=0, progress=not quiet)
    gan = rt.place(R3GAN(R3GANConfig(resolution=64, colours=3, width=16)))
    settings = {"images": rt.images(images, step=32), "gamma": gamma, "half_life": half_life}
    facts = play(rt, gan, x, **settings, quiet=quiet, what="R3GAN, avatars")
    return gan, {"data": f"{faces:,} open-peeps avatars, 64 x 64, seed 0", **facts}


def stacked_shares() -> Tensor:
    """How frequent each of the 1,000 is in `data.stacked_mnist`: of three independent digits of MNIST, (1000,)."""
    share = torch.bincount(data.mnist("train")[1], minlength=10).float()
    share = share / share.sum()
    return (share[:, None, None] * share[:, None] * share).flatten()


def stacked_modes(gan: GAN, n: int = 26_000, shares: Tensor | None = None) -> metrics.ClassModes:
    """Modes among `n` samples of seed 0 (26,000 as in PacGAN), each channel named by the digit classifier.

    Their histogram is compared with `shares`, by default `stacked_shares`.
    """
    judge = features.digit_classifier(device_of(gan))
    x = gan.sample(n, torch.Generator().manual_seed(0))
    digits = judge.logits(x.reshape(-1, 1, *x.shape[2:])).argmax(1).cpu().view(n, 3)
    number = digits @ torch.tensor([100, 10, 1])
    shares = stacked_shares() if shares is None else shares
    return metrics.count_classes(number, MODES, shares=shares, extractor=judge.name)


def score_stacked(gan: GAN, n: int = 26_000) -> dict[str, Score]:
    """How many of the 1,000 modes 26,000 samples of seed 0 have, and how far their histogram is from the data's."""
    found = stacked_modes(gan, n)
    scores = {"modes of 1,000": count(found.captured, n)}
    return {**scores, "KL(samples ‖ data)": card(found.divergence, "distance")}


RECIPES = {
    "r3gan_stacked": Recipe(train_stacked, score_stacked, {"images": 200_000}),
    "r3gan_avatars": Recipe(train_r3gan_avatars, score_avatars, {"images": 420_000}),
}
