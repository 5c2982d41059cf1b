"""StyleGAN and StyleGAN2 on drawn faces (chapter 11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import data, features, metrics
from course_lib.cards import Facts, Score, card
from course_lib.evaluation import device_of
from course_lib.gans import losses
from course_lib.gans.stylegan import Growing, PathLength, StyleGAN, StyleGANConfig
from course_lib.recipes.recipe import Recipe
from course_lib.training import EMA, Runtime, duel

FADE = 0.2  # share of a stage in which its layers are faded in
FULL = 64  # resolution for which γ is given


def r1(D: losses.Logits, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """R1 with a weight in proportion to the resolution, as short trials at 16 x 16 and 32 x 32 preferred: (N,).

    A pixel of a small image stands for several of a large one, so that a logit's slope there is several times as large.
    """
    resolution = real[0, 0].numel() ** 0.5  # of a pyramid about the largest one
    return losses.r1(D, real, fake, generator) * (resolution / FULL)


def train_stylegan(
    rt: Runtime,
    quiet: bool = False,
    *,
    stages: Sequence[tuple[int, int]],
    gamma: float = 20.0,
    lr: float = 1.2e-2,
    every: int = 8,
    decay: float = 0.4,
    path: float = 0.0,
    faces: int = 20_000,
    half_life: float | None = 10_000,
    **config: Any,
) -> tuple[nn.Module, Facts]:
    """A StyleGAN on drawn faces (Open Peeps, colour), the first `faces` of seed 0, in growing resolutions.

    Differs from Karras et al.: the networks are small; StyleGAN2 grows too, for that saves most of the work; the
    half-life of the averaged weights is 10,000 images. `path` is the weight of path length regularisation, `config`
    goes to `StyleGANConfig`.
    """
    gan = rt.place(StyleGAN(StyleGANConfig(**config)))
    x, _ = data.avatars(faces, gan.cfg.resolution, seed=0, progress=not quiet)
    total = sum(images for _, images in stages)
    images = rt.images(total, step=32)
    stages = [(resolution, max(32, part * images // total)) for resolution, part in stages]
    stream = data.Stream(rt.place(x), batch=32, generator=rt.generator(1))
    facts = duel(
        rt,
        gan,
        Growing(stream, gan, stages, fade=FADE),
        loss=losses.nonsaturating,
        penalties=[(r1, gamma / 2)],
        every=every,
        smooth=PathLength(path) if path else None,
        images=images,
        batch=32,
        lr=(lr, lr),
        betas=(0.0, 0.99),
        decay=decay,
        what="StyleGAN",
        quiet=quiet,
        average=None if half_life is None else EMA(gan.G, half_life),
    )
    gan.grow(gan.cfg.resolution)
    gan.measure(rt.generator(3))
    size = f"{gan.cfg.resolution} x {gan.cfg.resolution}"
    return gan, {"data": f"{faces:,} open-peeps avatars, {size}, seed 0", **facts}


def score_stylegan(gan: StyleGAN, n: int = 10_000) -> dict[str, Score]:
    """`n` samples of seed 0 and `n` faces of seed 1: Fréchet distance and recall in ImageNet features, and attributes.

    Of the attributes, the largest total variation between what the classifier says of samples and of faces.
    """
    device = device_of(gan)
    natural, judge = features.imagenet(64, device), features.avatar_attributes(device)
    faces = data.avatars(n, 64, seed=1, progress=False)[0]
    x = gan.sample(n, torch.Generator().manual_seed(0))
    pair = natural.features(faces), natural.features(x)
    found = metrics.frechet(*pair, extractor=natural.name)
    near = metrics.precision_recall(*(part[:2_000] for part in pair), extractor=natural.name)
    variations = attribute_variation(judge, faces, x)
    return {
        "Fréchet distance, ImageNet": card(found, "distance"),
        "recall, ImageNet": card(near.recall, "share"),
        "largest total variation of an attribute": card(max(variations.values(), key=float), "share"),
    }


def attribute_variation(
    judge: features.AvatarAttributes, faces: Tensor, x: Tensor
) -> dict[str, metrics.Result]:
    """Attribute -> total variation between the classes that `judge` sees in real `faces` and in samples `x`."""
    pairs = zip(judge.logits(faces).items(), judge.logits(x).values(), strict=True)
    return {
        name: metrics.total_variation(a.argmax(1), b.argmax(1), classes=a.shape[1], extractor=judge.name)
        for (name, a), b in pairs
    }


# Most images small: at 64 x 64 one costs eight times as much as at 8 x 8.
_STAGES = ((8, 30_000), (16, 100_000), (32, 200_000), (64, 300_000))
_FIRST = {"style": "adain", "outputs": "last", "residual": False}
RECIPES = {
    "stylegan_avatars": Recipe(train_stylegan, score_stylegan, {"stages": _STAGES, **_FIRST}),
    "stylegan2_avatars": Recipe(train_stylegan, score_stylegan, {"stages": _STAGES}),
}
