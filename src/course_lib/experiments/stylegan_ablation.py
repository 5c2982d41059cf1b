"""Chapter 11's ablation: StyleGAN2 with one idea taken away at a time, same images, same seeds, at 32 x 32."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import data, features, metrics
from course_lib.cards import Facts
from course_lib.progress import progress
from course_lib.recipes.stylegan import attribute_variation, train_stylegan
from course_lib.training import Runtime

SEEDS, N, NEAR = 3, 5_000, 2_000
BASE: dict[str, Any] = {"resolution": 32, "width": 16, "widest": 32, "latent": 64}
STAGES = ((8, 30_000), (16, 30_000), (32, 40_000))
ARMS: dict[str, dict[str, Any]] = {
    "StyleGAN2": {},
    "AdaIN for modulation": {"style": "adain"},
    "no noise": {"noise": False},
    "no mapping network": {"mapping": 0},
    "no mixing": {"mixing": 0.0},
    "with path length": {"path": 2.0},
}


def record_stylegan_ablation(
    rt: Runtime, quiet: bool = False, *, seeds: int = SEEDS, n: int = N, stages: Any = STAGES
) -> Facts:
    """Fréchet distance, precision, recall and attributes of each arm for each seed, on faces of 32 x 32.

    The judge is the classifier of faces of 64 x 64, so that samples and reals are enlarged for it.
    """
    judge = features.avatar_attributes(rt.device)
    faces = enlarged(data.avatars(n, 32, seed=1, progress=not quiet)[0])
    real = judge.features(faces)

    def score(x: Tensor) -> dict[str, float]:
        x = enlarged(x)
        found = judge.features(x)
        near = metrics.precision_recall(real[:NEAR], found[:NEAR], extractor=judge.name)
        variations = attribute_variation(judge, faces, x)
        return {
            "frechet": metrics.frechet(real, found, extractor=judge.name).value,
            "precision": near.precision.value,
            "recall": near.recall.value,
            "variation": max(float(value) for value in variations.values()),
        }

    def one(arm: str, seed: int) -> dict[str, float]:
        own = rt.with_seed(seed)
        with own.seeded():
            gan, facts = train_stylegan(own, True, stages=stages, **{**BASE, **ARMS[arm]})
        scores = score(gan.sample(n, torch.Generator().manual_seed(seed)))
        return {**scores, "images_seen": facts["images_seen"]}

    runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    with progress(seeds * len(ARMS), "ablation", unit=" runs", quiet=quiet) as bar:
        for seed in range(seeds):  # seeds outside, so that an interrupted experiment still compares all arms
            for arm in ARMS:
                runs[arm].append(rt.part(f"{arm}-{seed}", partial(one, arm, seed)))
                bar.update(1)
    others = data.avatars(n, 32, seed=2, progress=not quiet)[0]
    return {
        "data": "open-peeps avatars, 32 x 32",
        "n": n,
        "extractor": judge.name,
        "settings": BASE,
        "stages": stages,
        "real": score(others),
        "runs": runs,
    }


def enlarged(x: Tensor) -> Tensor:
    """Images (N, 3, R, R) as (N, 3, 64, 64), for the judge."""
    return F.interpolate(x, size=(64, 64), mode="bilinear", align_corners=False).clamp(-1, 1)
