"""Chapter 8's experiment on mode collapse: the same networks, optimizers, steps and batches; only the game differs."""

from functools import partial
from typing import Any

from course_lib import checks, data
from course_lib.cards import Facts
from course_lib.gans import PointGAN, PointGANConfig
from course_lib.gans.losses import Verdict, nonsaturating, r1, r2, relativistic
from course_lib.metrics import count_modes
from course_lib.progress import progress
from course_lib.recipes.points import train_points
from course_lib.training import Runtime

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
    """Modes and quality of a plain GAN and of a relativistic one with R1 and R2 on the grid of 25, at `looks` times."""
    centres = data.grid_centres(side=SIDE, spacing=SPACING)
    every = checks.whole("steps", steps, at_least=checks.whole("looks", looks)) // looks
    runs: dict[str, dict[str, list[Any]]] = {}
    shown: dict[str, list[list[float]]] = {}

    def one(name: str, seed: int) -> dict[str, Any]:
        x, _ = data.grid(TRAINING, side=SIDE, spacing=SPACING, std=STD, seed=seed)
        along: list[float] = []

        def look(seen: int, gan: PointGAN, _: Verdict) -> None:
            if seen % (every * BATCH) == 0:
                few = gan.sample(2_000, rt.generator(3))
                along.append(round(float(count_modes(few, centres, std=STD).quality), 4))

        settings: dict[str, Any] = {**ADAM, **GAMES[name]}
        gan = train_points(rt, x, GRID, seed=seed, steps=steps, batch=BATCH, watch=look, **settings)
        samples = gan.sample(SAMPLES, rt.generator(4))
        modes = count_modes(samples, centres, std=STD)
        return {
            "captured": modes.captured,
            "quality": float(modes.quality),
            "counts": modes.counts.tolist(),
            "quality_along": along,
            "shown": [[round(v, 3) for v in point] for point in samples[:SHOWN].tolist()],
        }

    with progress(seeds * len(GAMES), "grid of 25", unit=" runs", quiet=quiet) as bar:
        for name in GAMES:
            found = [rt.part(f"{name}-{seed}", partial(one, name, seed)) for seed in range(seeds)]
            shown[name] = found[0]["shown"]
            keys = ("captured", "quality", "counts", "quality_along")
            runs[name] = {key: [run[key] for run in found] for key in keys}
            bar.update(seeds)
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
