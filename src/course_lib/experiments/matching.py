"""Chapter 14's experiment: matching scores up to n = 5,000, and what they cost to compute."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib import data, metrics, zoo
from course_lib.cards import Facts
from course_lib.progress import progress
from course_lib.training import Runtime

Source = Callable[[int, torch.Generator], Tensor]  # n pictures, drawn with this generator

SIZES, REPEATS = (100, 200, 500, 1_000, 2_000, 5_000), (10, 8, 6, 4, 3, 2)
MNIST = {"VAE": "vae_mnist_20", "WGAN": "wgan_mnist", "WGAN-GP": "wgan_gp_mnist", "DCGAN": "dcgan_mnist"}
DISCS = {"VAE": "vae_discs", "WGAN": "wgan_discs", "WGAN-GP": "wgan_gp_discs"}
AVATARS = {"DCGAN": "dcgan_avatars"}
FACES = 10_000  # of either seed: training faces, and held-out ones
K = 15  # neighbours kept by the sparse variant


def record_matching(
    rt: Runtime, quiet: bool = False, *, sizes: Sequence[int] = SIZES, repeats: Sequence[int] = REPEATS
) -> Facts:
    """Matching scores (pixels) of generators and held-out pictures at rising n, and processor seconds (chapter 14)."""
    with progress(4, "matching scores", unit=" parts", quiet=quiet) as bar:
        train, test = data.mnist("train")[0], data.mnist("test")[0]
        facts: Facts = {"k": K}
        facts["mnist"] = rt.part("mnist", lambda: scores_by_size(train, sources(test, MNIST), sizes, repeats))
        bar.update(1)
        discs = {
            "TEST": lambda n, g: data.discs(n, seed=int(torch.randint(2**31, (), generator=g)))[0],
            **sources(None, DISCS),
        }
        real = data.discs(20_000, seed=0)[0]
        facts["discs"] = rt.part("discs", lambda: scores_by_size(real, discs, sizes, repeats))
        bar.update(1)
        faces, others = (data.avatars(FACES, 64, seed=seed, progress=False)[0] for seed in (0, 1))
        drawn = sources(others, AVATARS)
        facts["avatars"] = rt.part("avatars", lambda: scores_by_size(faces, drawn, sizes, repeats))
        bar.update(1)
        facts["seconds"] = rt.part("seconds", lambda: seconds(train, sizes[2:]))
        bar.update(1)
    return facts


def sources(test: Tensor | None, names: Mapping[str, str]) -> dict[str, Source]:
    """What is scored, by name: held-out pictures drawn without repetition ("TEST"), and the checkpoints `names`."""
    found: dict[str, Source] = {} if test is None else {"TEST": lambda n, g: draw(test, n, g)}
    for name, checkpoint in names.items():
        found[name] = zoo.load(checkpoint).sample
    return found


def draw(x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """`n` different ones of x (N, ...), in random order: MNIST's files are not in one, and their halves differ."""
    return x[torch.randperm(len(x), generator=generator)[:n]]


def scores_by_size(
    real: Tensor, made: Mapping[str, Source], sizes: Sequence[int], repeats: Sequence[int]
) -> dict[str, Any]:
    """Scores of each source against n of `real` drawn at random, the same for all sources, for each n in `sizes`.

    By source and size a list of `repeats`: ``scores`` and ``ci95``; ``above``: the first minus TEST's, with its ci95.
    """
    scores: dict[str, list[list[float]]] = {name: [] for name in made}
    errors: dict[str, list[list[float]]] = {name: [] for name in made}
    above: dict[str, list[list[float]]] = {name: [] for name in made if name != "TEST"}
    for i, (n, times) in enumerate(zip(sizes, repeats, strict=True)):
        for repeat in range(times):
            g = torch.Generator().manual_seed(1000 * i + repeat)
            x = draw(real, n, g)
            found = {key: metrics.matching_score(x, make(n, g), extractor=None) for key, make in made.items()}
            for name, score in found.items():
                if not repeat:
                    scores[name].append([])
                    errors[name].append([])
                    if name in above:
                        difference = metrics.score_difference(score, found["TEST"])
                        above[name].append([difference.value, difference.ci95])
                scores[name][-1].append(score.value)
                errors[name][-1].append(score.ci95)
    return {"sizes": list(sizes), "scores": scores, "ci95": errors, "above": above}


def seconds(x: Tensor, sizes: Sequence[int]) -> dict[str, Any]:
    """Processor seconds to match n of the pictures x with n others: dense, by SciPy and POT, and sparse."""
    import ot
    from scipy.optimize import linear_sum_assignment

    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))

    def two(n: int) -> tuple[Tensor, Tensor]:
        return x[order[:n]], x[order[n : 2 * n]]

    def costs(a: Tensor, b: Tensor) -> np.ndarray:
        return metrics.cost_matrix(a.flatten(1), b.flatten(1)).numpy()

    solvers: dict[str, Callable[[Tensor, Tensor], Any]] = {
        "dense": lambda a, b: metrics.matching_score(a, b, extractor=None),
        "scipy": lambda a, b: linear_sum_assignment(costs(a, b)),
        "pot": lambda a, b: ot.emd([], [], costs(a, b), numItermax=10**9),
        "sparse": lambda a, b: metrics.sparse_matching_score(a, b, K, extractor=None),
    }
    solvers["dense"](*two(sizes[0]))  # imports are not counted
    more = [*sizes, 2 * sizes[-1], 4 * sizes[-1]]
    found: dict[str, Any] = {"n": list(sizes), "n_sparse": more}
    for name, solve in solvers.items():
        found[name] = [timed(solve, *two(n)) for n in (more if name == "sparse" else sizes)]
    return found


def timed(work: Callable[[Tensor, Tensor], Any], a: Tensor, b: Tensor) -> float:
    """Processor seconds that `work` takes with two samples, to the millisecond."""
    start = time.process_time()
    work(a, b)
    return round(time.process_time() - start, 3)
