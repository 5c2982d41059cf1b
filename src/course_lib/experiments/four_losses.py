"""Chapter 12's ablation: R3GAN's networks, data, optimizer and budget, and four losses; what each makes of 1,000 modes.

After table 1 of Huang et al. 2024, which has modes of stacked MNIST too, with other networks.
"""

from functools import partial
from typing import Any

from course_lib import checks
from course_lib.cards import Facts
from course_lib.gans import GAN
from course_lib.gans.losses import Verdict
from course_lib.progress import progress
from course_lib.recipes.r3gan import GAMES, MODES, stacked_modes, stacked_shares, train_stacked
from course_lib.training import Runtime

IMAGES, SEEDS, LOOKS = 200_000, 3, 10
SAMPLES, FEW = 26_000, 5_000  # at the end, and along the training


def record_four_losses(
    rt: Runtime, quiet: bool = False, *, images: int = IMAGES, seeds: int = SEEDS, looks: int = LOOKS
) -> Facts:
    """Modes, and divergence of their histogram, of each of `GAMES` and `seeds`, at the end and at `looks` times.

    The samples at the end are those of the averaged weights, those along the training of the weights as they are. A
    training that comes to nothing is a result: then few modes are left, or none that was there before.
    """
    every = checks.whole("images", images, at_least=32 * checks.whole("looks", looks)) // looks
    facts: Facts = {}
    shares = stacked_shares()

    def one(game: str, seed: int) -> dict[str, Any]:
        along: list[dict[str, float]] = []

        def look(seen: int, gan: GAN, verdict: Verdict) -> None:
            if seen >= every * (len(along) + 1):
                modes, gap = stacked_modes(gan, FEW, shares), float(verdict.gap)
                along.append({"images": seen, "captured": modes.captured, "gap": round(gap, 4)})

        own = rt.with_seed(rt.seed + seed)
        with own.seeded():
            gan, found = train_stacked(own, True, images=images, game=game, watch=look)
        modes = stacked_modes(gan, SAMPLES, shares)
        divergence = {"divergence": float(modes.divergence), "ci95": modes.divergence.ci95}
        return {"captured": modes.captured, **divergence, "along": along, "facts": found}

    runs: dict[str, list[dict[str, Any]]] = {}
    with progress(seeds * len(GAMES), "four losses", unit=" runs", quiet=quiet) as bar:
        for game in GAMES:
            runs[game] = []
            for seed in range(seeds):
                found = rt.part(f"{game}-{seed}", partial(one, game, seed))
                facts = found.pop("facts")
                runs[game].append(found)
                bar.update(1)
    return {**facts, "seeds": seeds, "modes": MODES, "n": SAMPLES, "n_along": FEW, "runs": runs}
