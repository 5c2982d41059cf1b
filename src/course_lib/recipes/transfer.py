"""The decoder of style transfer in one pass (chapter 16), on crops of photographs, drawn faces and drawn paintings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data, features
from course_lib.cards import Facts, Score, mean, share
from course_lib.data.images import from_uint8
from course_lib.data.paintings import PAINTINGS
from course_lib.evaluation import device_of
from course_lib.progress import progress
from course_lib.recipes.recipe import Recipe, learn
from course_lib.style import (
    LAYERS,
    AdaINTransfer,
    AdaINTransferConfig,
    blended,
    content_loss,
    gram,
    moment_loss,
    style_loss,
    transfer,
)
from course_lib.training import Runtime

PHOTOS = ("astronaut", "chelsea", "coffee")  # never trained on
_SIZE = 128  # of a crop
_HELD_OUT = 0  # the paintings' seed that no training sees


def train_adain_transfer(
    rt: Runtime,
    quiet: bool = False,
    *,
    images: int,
    crops: int = 2_400,
    seeds: int = 16,
    weight: float = 6.0,
    config: AdaINTransferConfig | None = None,
) -> tuple[nn.Module, Facts]:
    """`AdaINTransfer`, whose frozen network is EfficientNet-Lite0: `crops` contents and as many styles.

    The loss is that of Huang & Belongie 2017, Eq. (11): the relative content loss between the maps that the decoder got
    and those of its picture, in the decoder's layers, plus `weight` times `moment_loss` in `style.LAYERS`.
    """
    number = rt.budget(smoke=32, cpu=crops, gpu=crops)
    rng = np.random.default_rng(rt.seed)
    paintings = _paintings(rt.budget(smoke=1, cpu=seeds, gpu=seeds), quiet)
    contents = _cropped(_contents(paintings), number, rng)
    styles = _recoloured(_cropped([(1.0, paintings), (0.2, _photos())], number, rng), rng)
    network = features.imagenet(device=rt.device)
    seeing = LAYERS[type(network)][0]
    model = rt.place(AdaINTransfer(config))
    names = tuple(dict.fromkeys((*model.cfg.layers, *seeing)))

    def loss(minibatch: tuple[Tensor, Tensor]) -> Tensor:
        content, style = minibatch
        style = style.roll(1, 0)  # or every content would meet one style only
        style = torch.cat([content[:1], style[1:]])  # and one its own, which strength 0 stands for
        with torch.no_grad():
            of_style = network.layers(style, *names)
            wanted = blended(network.layers(content, *model.cfg.layers), of_style)
        found = network.layers(model(wanted, (_SIZE, _SIZE)), *names)
        return content_loss(found, wanted) + weight * moment_loss(found, {k: of_style[k] for k in seeing})

    numbers: dict[str, Any] = {"images": images, "batch": 8, "lr": 1e-3, "what": "AdaIN transfer"}
    facts = learn(rt, model, [contents, styles], loss, **numbers, quiet=quiet)
    what = f"{number:,} crops of photographs, CIFAR-10, avatars and paintings, and {number:,} of styles"
    return model, {"data": f"{what}, {_SIZE} x {_SIZE}", "network": network.name, **facts}


def _paintings(seeds: int, quiet: bool) -> list[Tensor]:
    """All manners, with seeds from 1 on: (3, 256, 256) each."""
    wanted = [(manner, 1 + seed) for seed in range(seeds) for manner in PAINTINGS]
    with progress(len(wanted), "paintings", unit=" pictures", quiet=quiet) as bar:
        found = []
        for manner, seed in wanted:
            found.append(data.painting(manner, 2 * _SIZE, seed)[0])
            bar.update()
    return found


def _photos() -> list[Tensor]:
    """The two photographs that scikit-learn brings (CC BY 2.0), (3, 427, 640) each."""
    from sklearn.datasets import load_sample_images

    return [from_uint8(np.asarray(image)[None])[0] for image in load_sample_images().images]


def _contents(paintings: list[Tensor]) -> list[tuple[float, Sequence[Tensor]]]:
    """Kinds of pictures with the share of crops that each gets."""
    faces = data.avatars(40, 2 * _SIZE, seed=5, progress=False)[0]
    return [(0.4, _photos()), (0.2, data.cifar10_sample()[0]), (0.2, faces), (0.2, paintings)]


def _cropped(
    kinds: Sequence[tuple[float, Sequence[Tensor]]], number: int, rng: np.random.Generator
) -> Tensor:
    """`number` random squares of random pictures, half of them mirrored, as (number, 3, 128, 128)."""
    shares = np.array([share for share, _ in kinds])
    found = []
    for kind in rng.choice(len(kinds), number, p=shares / shares.sum()):
        pictures = kinds[kind][1]
        x = pictures[rng.integers(len(pictures))]
        smallest = min(x.shape[1:])
        side = int(rng.integers(min(_SIZE // 2, smallest), smallest + 1))
        top, left = (int(rng.integers(length - side + 1)) for length in x.shape[1:])
        part = x[None, :, top : top + side, left : left + side]
        part = part.flip(3) if rng.random() < 0.5 else part
        found.append(F.interpolate(part, size=(_SIZE, _SIZE), mode="bicubic", antialias=True).clamp(-1, 1))
    return torch.cat(found)


def _recoloured(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of the images with their colour channels in another order, and half of those as negatives: more styles."""
    for picture in x:
        if rng.random() < 0.5:
            picture.copy_(picture[torch.from_numpy(rng.permutation(3))])
            if rng.random() < 0.5:
                picture.neg_()
    return x


def score_adain_transfer(model: AdaINTransfer, n: int = 15) -> dict[str, Score]:
    """The first `n` pairs of a photograph and a painting that were not trained on, at 256 x 256.

    Relative content and style losses (`style.content_loss`, `style_loss`) of the results, the photographs' own style
    loss before, and the shares of pairs in which a result is nearer to its own style, and its own content, than to the
    mean of the others.
    """
    network = features.imagenet(device=device_of(model))
    of_style, of_content = LAYERS[type(network)]
    pairs = [(photo, manner) for photo in PHOTOS for manner in sorted(PAINTINGS)][:n]
    photos = {name: data.photo(name) for name, _ in pairs}
    styles = {name: data.painting(name, seed=_HELD_OUT) for _, name in pairs}
    with torch.no_grad():
        maps = {k: network.layers(x, *of_content) for k, x in photos.items()}
        plain = {k: network.layers(x, *of_style) for k, x in photos.items()}
        grams = {k: {m: gram(f) for m, f in network.layers(x, *of_style).items()} for k, x in styles.items()}
    found: dict[str, list[float]] = {"content": [], "style": [], "before": []}
    nearer: dict[str, list[bool]] = {"content": [], "style": []}
    for photo, manner in pairs:
        made = transfer(photos[photo], styles[manner], model, network)
        with torch.no_grad():
            seen = network.layers(made, *dict.fromkeys(of_style + of_content))
        contents = {k: float(content_loss(seen, target)) for k, target in maps.items()}
        distances = {k: float(style_loss(seen, target)) for k, target in grams.items()}
        found["content"].append(contents[photo])
        found["style"].append(distances[manner])
        found["before"].append(float(style_loss(plain[photo], grams[manner])))
        nearer["content"].append(_least(contents, photo))
        nearer["style"].append(_least(distances, manner))
    scores = {f"{name} loss": mean(torch.tensor(found[name])) for name in ("content", "style")}
    scores["style loss of the photographs"] = mean(torch.tensor(found["before"]))
    return scores | {f"own {name} is nearest": share(torch.tensor(hits)) for name, hits in nearer.items()}


def _least(losses: dict[str, float], own: str) -> bool:
    return losses[own] <= min(losses.values())


RECIPES = {"adain_transfer": Recipe(train_adain_transfer, score_adain_transfer, {"images": 24_000})}
