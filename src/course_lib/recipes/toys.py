"""GANs of points on the line and in the plane, and chapter 8's experiment on mode collapse.

A point is a handful of numbers, so both networks are small multilayer perceptrons, and a whole game takes seconds.
The loop is the one that the GANs of images use.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import checks, data
from course_lib.adversarial import Verdict, nonsaturating, r1, r2, relativistic
from course_lib.evaluation import evaluating
from course_lib.gans import GAN
from course_lib.metrics import count_modes
from course_lib.progress import progress
from course_lib.recipes.duelling import duel
from course_lib.recipes.recipe import Facts
from course_lib.training import Runtime

LEAK = 0.2  # slope of the discriminator's leaky ReLUs for negative numbers


@dataclass(frozen=True)
class PointGANConfig:
    """Architecture of `PointGAN`."""

    dimensions: int = 2  # numbers per point
    latent: int = 2  # k, length of z
    width: int = 128  # units per hidden layer
    depth: int = 2  # hidden layers, of both networks
    scale: float = 1.0  # the size of the data: inside the networks, points are divided by it

    def __post_init__(self) -> None:
        for name in ("dimensions", "latent", "width", "depth"):
            checks.whole(name, getattr(self, name))
        checks.real("scale", self.scale, positive=True)


class PointGAN(nn.Module):
    """A generator `G`, codes (N, k) -> points (N, D), and a discriminator `D`, points -> logits (N,)."""

    def __init__(self, cfg: PointGANConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or PointGANConfig()
        self.G = nn.Sequential(
            *_layers(cfg.latent, cfg.width, cfg.depth, cfg.dimensions, nn.ReLU), _Times(cfg.scale)
        )
        self.D = nn.Sequential(
            _Times(1 / cfg.scale),
            *_layers(cfg.dimensions, cfg.width, cfg.depth, 1, lambda: nn.LeakyReLU(LEAK)),
            nn.Flatten(0),
        )

    codes = GAN.codes  # z ~ N(0, I) of length k, whatever G makes of it

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Points (n, D) of codes from the prior; no gradients.

        Raises:
            TypeError, ValueError: n is no integer of at least 1, or no generator.
        """
        with evaluating(self):
            return self.G(self.codes(n, generator))


class _Times(nn.Module):
    """Multiplies by a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def _layers(
    inputs: int, width: int, depth: int, outputs: int, activation: Callable[[], nn.Module]
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise((inputs, *[width] * depth)):
        layers += [nn.Linear(a, b), activation()]
    return [*layers, nn.Linear(width, outputs)]


def train_points(
    rt: Runtime,
    points: Tensor,
    cfg: PointGANConfig | None = None,
    *,
    seed: int = 0,
    steps: int,
    batch: int = 256,
    quiet: bool = True,
    what: str = "points",
    watch: Callable[[int, PointGAN, Verdict], None] | None = None,
    **settings: Any,
) -> PointGAN:
    """A `PointGAN` trained on points (N, D) by `duel`, which gets `settings`.

    Args:
        rt: has the device and the generators.
        points: the data.
        cfg: of the model, by default that of points in the plane.
        seed: of the weights, the minibatches and the codes, together with ``rt.seed``.
        steps: of the generator.
        batch: points in each minibatch.
        quiet: no progress bar.
        what: name on the progress bar.
        watch: called after each generator step with the points seen, the model and the last verdict, detached.
        settings: `loss`, `lr` and whatever else `duel` takes.

    Raises:
        TypeError, ValueError: points that do not fit `cfg`; as `duel`.
        TrainingDiverged: as `duel`.
    """
    cfg = cfg or PointGANConfig()
    x = checks.tensor("points", points, f"(N, {cfg.dimensions})")
    own = rt.with_seed(rt.seed + checks.seed_number("seed", seed))
    with own.seeded():
        gan = own.place(PointGAN(cfg))
    batches = data.Stream(own.place(x), batch=batch, generator=own.generator(1))
    images = checks.whole("steps", steps) * batch * settings.get("critics", 1)
    tell = None if watch is None else (lambda seen, verdict: watch(seen, gan, verdict))
    duel(own, gan, batches, images=images, batch=batch, what=what, quiet=quiet, watch=tell, **settings)
    return gan


# ---- chapter 8's experiment: the same networks, optimizers, steps and batches; only the game differs

SIDE, SPACING, STD = 5, 2.0, 0.05  # of the grid
GRID = PointGANConfig(width=128, depth=3, scale=4.0)
STEPS, SEEDS, BATCH = 6_000, 5, 256
TRAINING, SAMPLES, SHOWN = 50_000, 10_000, 500  # points
PENALTY = 0.32  # γ/2
ADAM: dict[str, Any] = {"lr": (2e-3, 2e-3), "betas": (0.0, 0.99), "decay": 0.9}
GAMES: dict[str, dict[str, Any]] = {
    "plain": {"loss": nonsaturating},
    "cured": {"loss": relativistic, "penalties": ((r1, PENALTY), (r2, PENALTY))},  # Huang et al. 2024
}


def record_grid(
    rt: Runtime, quiet: bool = False, *, steps: int = STEPS, seeds: int = SEEDS, looks: int = 12
) -> Facts:
    """Modes and quality of a plain GAN and of a relativistic one with R1 and R2 on the grid of 25 (chapter 8).

    `looks`: how often in the training the modes are counted, the last time at its end.
    """
    centres = data.grid_centres(side=SIDE, spacing=SPACING)
    every = checks.whole("steps", steps, at_least=checks.whole("looks", looks)) // looks
    runs: dict[str, dict[str, list[Any]]] = {}
    shown: dict[str, list[list[float]]] = {}
    with progress(seeds * len(GAMES), "grid of 25", unit=" runs", quiet=quiet) as bar:
        for name, settings in GAMES.items():
            found = runs[name] = {"captured": [], "quality": [], "counts": [], "quality_along": []}
            for seed in range(seeds):
                x, _ = data.grid(TRAINING, side=SIDE, spacing=SPACING, std=STD, seed=seed)
                along: list[float] = []

                def look(seen: int, gan: PointGAN, _: Verdict, along: list[float] = along) -> None:
                    if seen % (every * BATCH) == 0:
                        few = gan.sample(2_000, rt.generator(3))
                        along.append(round(float(count_modes(few, centres, std=STD).quality), 4))

                gan = train_points(
                    rt, x, GRID, seed=seed, steps=steps, batch=BATCH, watch=look, **ADAM, **settings
                )
                samples = gan.sample(SAMPLES, rt.generator(4))
                modes = count_modes(samples, centres, std=STD)
                found["captured"].append(modes.captured)
                found["quality"].append(float(modes.quality))
                found["counts"].append(modes.counts.tolist())
                found["quality_along"].append(along)
                if seed == 0:
                    shown[name] = [[round(v, 3) for v in point] for point in samples[:SHOWN].tolist()]
                bar.update(1)
    return {
        "data": f"{TRAINING:,} points of a {SIDE} x {SIDE} grid, {SPACING:g} apart, standard deviation {STD:g}",
        "images_seen": steps * BATCH,
        "batch": BATCH,
        "steps": steps,
        "seeds": seeds,
        "n": SAMPLES,
        "steps_along": [every * (i + 1) for i in range(looks)],
        "penalty": PENALTY,
        "runs": runs,
        "samples": shown,
    }


RECORDS = {"grid_of_25": record_grid}
