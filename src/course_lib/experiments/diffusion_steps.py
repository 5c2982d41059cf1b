"""Chapter 17: how many looks at the network a digit needs, by sampler, and what guidance does to quality, variety."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_lib import checks, data, features, metrics, zoo
from course_lib.cards import Facts
from course_lib.progress import progress
from course_lib.recipes.diffusion import AUTOENCODER, Decoded
from course_lib.training import Runtime

RUNS = (  # checkpoint, sampler
    ("flow_mnist", "euler"),
    ("flow_mnist", "heun"),
    ("ddpm_mnist", "ddim"),
    ("ddpm_mnist", "ddpm"),
    ("flow_latents", "euler"),
    ("flow_latents", "heun"),
)
LOOKS = (2, 4, 8, 16, 32, 64, 100)  # at the network, for one sample
SCALES = (0.0, 1.0, 2.0, 4.0, 8.0)
N = 2_000  # samples, and as many real digits
GUIDED_STEPS = 16  # of "heun"


def record_diffusion_steps(
    rt: Runtime,
    quiet: bool = False,
    *,
    n: int = N,
    looks: Sequence[int] = LOOKS,
    scales: Sequence[float] = SCALES,
) -> Facts:
    """Fréchet distance, precision, recall and the share of asked classes, all of n samples and n test digits.

    All samples start from the same noise. A step of "heun" looks twice, but for the last one; so the samplers of a row
    look at most as often as the row says.
    """
    checks.whole("n", n, at_least=2)
    judge = features.digit_classifier(rt.device)
    real = judge.features(data.mnist("test")[0][: 2 * n]).cpu()
    ideal, other = real[:n], real[n : 2 * n]
    y = torch.arange(n) % 10

    def scored(x: Tensor) -> dict[str, float]:
        found = judge.features(x).cpu()
        near = metrics.precision_recall(ideal, found, extractor=judge.name)
        frechet = metrics.frechet(ideal, found, extractor=judge.name)
        asked = (judge.logits(x).argmax(1).cpu() == y).double().mean()
        return {
            "frechet": frechet.value,
            "frechet_ci95": frechet.ci95,
            "precision": near.precision.value,
            "recall": near.recall.value,
            "asked": float(asked),
        }

    def sampled(name: str, **settings: Any) -> dict[str, float]:
        model: Any = zoo.load(name, rt.device)
        if name == "flow_latents":
            model = Decoded(model, zoo.load(AUTOENCODER, rt.device))
        return scored(model.sample(n, torch.Generator().manual_seed(rt.seed), y, **settings))

    steps: dict[str, list[dict[str, float]]] = {}
    guidance: list[dict[str, float]] = []
    with progress(len(RUNS) * len(looks) + len(scales), "steps", unit=" runs", quiet=quiet) as bar:
        for name, sampler in RUNS:
            rows = steps.setdefault(f"{name} {sampler}", [])
            for count in looks:
                settings = {"sampler": sampler, "steps": max(1, count // 2) if sampler == "heun" else count}
                run = partial(sampled, name, **settings)
                rows.append({"looks": count, **rt.part(f"{name}-{sampler}-{count}", run)})
                bar.update(1)
        for scale in scales:
            run = partial(sampled, "flow_mnist", steps=GUIDED_STEPS, guidance=float(scale))
            guidance.append({"scale": float(scale), **rt.part(f"guidance-{scale}", run)})
            bar.update(1)
    between = metrics.frechet(ideal, other, extractor=judge.name)
    baseline = {"frechet": between.value, "frechet_ci95": between.ci95}
    return {"n": n, "extractor": judge.name, "real": baseline, "steps": steps, "guidance": guidance}
