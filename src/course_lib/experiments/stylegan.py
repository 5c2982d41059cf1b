"""What chapter 11 measures of the two shipped StyleGANs, with more samples than a page has time for."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_lib import data, features, metrics, zoo
from course_lib.cards import Facts
from course_lib.disentanglement import linear_separability
from course_lib.evaluation import batched
from course_lib.gans.stylegan import StyleGAN
from course_lib.gans.stylegan.generator import mixed
from course_lib.recipes.stylegan import attribute_variation
from course_lib.training import Runtime

NAMES = ("dcgan_avatars", "stylegan_avatars", "stylegan2_avatars")
N, NEAR, PAIRS, CODES = 10_000, 2_000, 1_000, 20_000
PSIS = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
HALVES = {  # attribute -> the classes of one side; all others are on the other
    "glasses": ("none",),
    "facial_hair": ("none",),
    "skin_color": ("#ffdbb4", "#edb98a", "#d08b5b"),  # light ones
}


def record_stylegan(rt: Runtime, quiet: bool = False, *, names: Any = NAMES, n: int = N) -> Facts:
    """Quality of each generator beside that of real faces; of the StyleGANs, truncation, mixing and separability."""
    natural, judge = features.imagenet(64, rt.device), features.avatar_attributes(rt.device)
    faces, others = data.avatars(2 * n, 64, seed=1, progress=not quiet)[0].split(n)
    real = natural.features(faces)

    def quality(x: Tensor) -> dict[str, Any]:
        found = natural.features(x)
        near = metrics.precision_recall(real[:NEAR], found[:NEAR], extractor=natural.name)
        distance = metrics.frechet(real, found, extractor=natural.name)
        return {
            "frechet": [distance.value, distance.ci95],
            "precision": [near.precision.value, near.precision.ci95],
            "recall": [near.recall.value, near.recall.ci95],
            "variation": {key: float(v) for key, v in attribute_variation(judge, faces, x).items()},
        }

    def one(name: str) -> dict[str, Any]:
        gan = rt.place(zoo.load(name))
        facts = quality(gan.sample(n, torch.Generator().manual_seed(0)))
        if isinstance(gan, StyleGAN):
            facts |= {
                "truncation": truncation(gan, natural, real[:NEAR]),
                "mixing": mixing(gan, judge),
                "separability": separability(gan, judge),
            }
        return facts

    return {
        "data": "open-peeps avatars, 64 x 64",
        "n": n,
        "n_near": NEAR,
        "n_pairs": PAIRS,
        "n_codes": CODES,
        "extractor": natural.name,
        "judge": judge.name,
        "real": rt.part("real", lambda: quality(others)),
        "generators": {name: rt.part(name, partial(one, name)) for name in names},
    }


def truncation(gan: StyleGAN, natural: features.ImageNetFeatures, real: Tensor) -> list[dict[str, float]]:
    """Precision, recall and Fréchet distance for each of `PSIS`, of as many samples as `real` (N, d) has rows."""
    rows = []
    for psi in PSIS:
        found = natural.features(gan.sample(len(real), torch.Generator().manual_seed(0), psi=psi))
        near = metrics.precision_recall(real, found, extractor=natural.name)
        distance = metrics.frechet(real, found, extractor=natural.name)
        rows.append({"psi": psi, "precision": near.precision.value, "recall": near.recall.value})
        rows[-1]["frechet"] = distance.value
    return rows


def mixing(gan: StyleGAN, judge: features.AvatarAttributes, pairs: int = PAIRS) -> dict[str, Any]:
    """Which layers decide what: resolution, or all coarse or fine ones -> attribute -> share of pairs that follow.

    Of two faces a and b, whose attribute differs, a takes the styles of these layers from b. Counted are the pairs in
    which it then has b's attribute. Coarse is what is smaller than half of the picture.
    """
    generator = torch.Generator().manual_seed(0)
    w, v = (gan.G.styles(gan.codes(pairs, generator)).detach() for _ in range(2))
    draw = gan.G.images

    def classes(styles: Tensor) -> dict[str, Tensor]:
        images = batched(draw, styles.cpu()).clamp(-1, 1)
        return {key: logits.argmax(1) for key, logits in judge.logits(images).items()}

    depth, layers = gan.G.depth, gan.cfg.layers
    own, other = classes(mixed(w, v, depth, depth)), classes(mixed(v, w, depth, depth))
    differ = {key: own[key] != other[key] for key in own}
    rows: dict[str, dict[str, float]] = {}
    groups = {str(r): (r,) for r in gan.cfg.resolutions}
    coarse = tuple(r for r in gan.cfg.resolutions if 4 * r <= gan.cfg.resolution)
    groups |= {"coarse": coarse, "fine": tuple(r for r in gan.cfg.resolutions if r not in coarse)}
    for group, sizes in groups.items():
        taken = torch.tensor([size in sizes for size in layers], device=w.device)
        both = torch.where(taken[None, :, None], v[:, None], w[:, None])  # (pairs, L, k)
        found = classes(both)
        rows[group] = {k: float((found[k] == other[k])[differ[k]].double().mean()) for k in own}
    return {"layers": rows, "pairs": {key: int(value.sum()) for key, value in differ.items()}}


def separability(
    gan: StyleGAN, judge: features.AvatarAttributes, codes: int = CODES
) -> dict[str, dict[str, Any]]:
    """Attribute -> space, Z or W -> accuracy of a plane with its interval, and the entropy left; and their difference.

    Of as many faces of one side of `HALVES` as of the other, so that guessing is right half of the time. Half of them
    are held out; both spaces are asked about the same.
    """
    z = gan.codes(codes, torch.Generator().manual_seed(1))
    w = gan.G.styles(z).detach()
    predicted = judge.logits(batched(gan.G.images, w.cpu()).clamp(-1, 1))
    found: dict[str, dict[str, Any]] = {}
    for key, side in HALVES.items():
        of_side = torch.tensor([list(judge.names[key]).index(name) for name in side])
        label = ~torch.isin(predicted[key].argmax(1).cpu(), of_side)
        fewer = min(int(label.sum()), int((~label).sum()))
        sides = [part.nonzero()[:fewer, 0] for part in (label, ~label)]
        kept = torch.stack(sides, 1).flatten()  # in turn, so that both halves have as many of either
        results = {
            space: linear_separability(points[kept], label[kept], held_out=0.5)
            for space, points in (("Z", z), ("W", w))
        }
        more = results["W"].hits.double() - results["Z"].hits.double()
        gain = metrics.mean("W - Z", more)
        found[key] = {
            "codes": len(kept),
            "gain": [gain.value, gain.ci95],
            **{
                space: {"accuracy": [r.accuracy.value, r.accuracy.ci95], "entropy": r.entropy}
                for space, r in results.items()
            },
        }
    return found
