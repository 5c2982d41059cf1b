"""How fast the metrics are, beside torch-fidelity's and torchmetrics' on the same features.

Each case computes one score in several ways, one after the other in the same run, and prints seconds, the ratio to
ours and the value. With one thread (the default) the seconds are those of the processor, which other programs hardly
disturb; with more they are those of the clock. To add a case, write a function that returns a `Case` and list it in
`CASES`; it is called for small sizes first, as a warm-up.

    python -m benchmarks.metrics [--quick] [--threads N] [WORD ...]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from course_lib import metrics  # noqa: F401  (imported first, so that its time is nobody's)
from course_lib.metrics.class_scores import inception_score
from course_lib.metrics.distributions import frechet, precision_recall
from course_lib.metrics.matching import matching_score, sparse_matching_score
from course_lib.metrics.two_samples import kernel_distance

SHORT, REPEATS = 0.5, 7  # what takes less than so many seconds is timed so often, and the least is printed


@dataclass(frozen=True)
class Case:
    """One score by several paths; the first is ours, and the others are compared with it."""

    name: str
    size: str
    paths: dict[str, Callable[[], float]]


class Features(torch.nn.Identity):
    """What torchmetrics calls an extractor, for features that there are already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def features(n: int, d: int, *, seed: int) -> Tensor:
    """Two sets of them differ as those of a fair generator do: correlated, not negative, float32."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=torch.Generator().manual_seed(0)) / d**0.5
    return (torch.randn(n, d, generator=generator) @ mix * (1 + 0.1 * seed) + 0.3).relu()


def frechet_case(quick: bool) -> Case:
    """10,000 x 2048, as in the papers."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torchmetrics.image.fid import FrechetInceptionDistance

    n, d = (2000, 256) if quick else (10_000, 2048)
    x, y = features(n, d, seed=1), features(n, d, seed=2)

    def fidelity() -> float:
        statistics = [fid_features_to_statistics(z) for z in (x, y)]
        return fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]

    def torchmetrics() -> float:
        metric = FrechetInceptionDistance(feature=Features(d))
        metric.update(x, real=True)
        metric.update(y, real=False)
        return float(metric.compute())

    return Case(
        "Fréchet distance",
        f"{n:,} x {d}",
        {
            "ours, value only": lambda: frechet(x, y, extractor="benchmark", interval=False).value,
            "ours, with interval": lambda: frechet(x, y, extractor="benchmark").value,
            "torch-fidelity": fidelity,
            "torchmetrics": torchmetrics,
        },
    )


def kernel_case(quick: bool) -> Case:
    """Ours takes all pairs of samples, the peers 100 random subsets of 1,000."""
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torchmetrics.image.kid import KernelInceptionDistance

    n, d, subsets, size = (1000, 256, 20, 200) if quick else (5000, 2048, 100, 1000)
    x, y = features(n, d, seed=1), features(n, d, seed=2)

    def fidelity() -> float:
        found = kid_features_to_metric(
            x, y, kid_subsets=subsets, kid_subset_size=size, rng_seed=0, verbose=False
        )
        return found["kernel_inception_distance_mean"]

    def torchmetrics() -> float:
        metric = KernelInceptionDistance(feature=Features(d), subsets=subsets, subset_size=size)
        metric.update(x, real=True)
        metric.update(y, real=False)
        return float(metric.compute()[0])

    return Case(
        "kernel distance",
        f"{n:,} x {d}",
        {
            "ours": lambda: kernel_distance(x, y, extractor="benchmark").value,
            "torch-fidelity": fidelity,
            "torchmetrics": torchmetrics,
        },
    )


def inception_case(quick: bool) -> Case:
    """ImageNet's classes; one split, from logits."""
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torchmetrics.image.inception import InceptionScore

    n, classes = (2000, 100) if quick else (20_000, 1000)
    logits = 3 * torch.randn(n, classes, generator=torch.Generator().manual_seed(0))

    def torchmetrics() -> float:
        metric = InceptionScore(feature=Features(classes), splits=1)
        metric.update(logits)
        return float(metric.compute()[0])

    return Case(
        "Inception score",
        f"{n:,} x {classes}",
        {
            "ours": lambda: inception_score(logits.softmax(1), extractor="benchmark").value,
            "torch-fidelity": lambda: isc_features_to_metric(logits, splits=1)["inception_score_mean"],
            "torchmetrics": torchmetrics,
        },
    )


def neighbours_case(quick: bool) -> Case:
    """Ours gives density and coverage too."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    n, d = (1000, 256) if quick else (5000, 2048)
    x, y = features(n, d, seed=1), features(n, d, seed=2)

    def fidelity() -> float:
        return prc_features_to_metric(
            y, x, prc_neighborhood=3, prc_batch_size=10_000, save_cpu_ram=True, verbose=False
        )["precision"]

    return Case(
        "precision and recall",
        f"{n:,} x {d}",
        {
            "ours": lambda: precision_recall(x, y, extractor="benchmark").precision.value,
            "torch-fidelity": fidelity,
        },
    )


def matching_case(n: int, d: int, *, plain: bool = False) -> Callable[[bool], Case]:
    """Distances are included; ours also finds the potentials and the interval."""

    def make(quick: bool) -> Case:
        import ot
        from scipy.optimize import linear_sum_assignment
        from scipy.spatial.distance import cdist

        size = 400 if quick else n
        if plain:  # normal in every coordinate
            x, y = (torch.randn(size, d, generator=torch.Generator().manual_seed(s)).double() for s in (1, 2))
        else:
            x, y = (features(size, d, seed=seed).double() for seed in (1, 2))

        def scipy() -> float:
            cost = cdist(x, y)
            return float(cost[linear_sum_assignment(cost)].mean())

        def pot() -> float:
            return float(ot.emd2([], [], ot.dist(x.numpy(), y.numpy(), metric="euclidean"), numItermax=10**8))

        return Case(
            "matching",
            f"{size:,} x {d}",
            {
                "ours, with interval": lambda: matching_score(x, y, extractor="benchmark").value,
                "SciPy": scipy,
                "POT": pot,
            },
        )

    return make


def sparse_matching_case(quick: bool) -> Case:
    """k = 15. The dense problem would take SciPy a quarter of an hour at full size."""
    n, d = (1000, 64) if quick else (20_000, 784)
    x, y = (features(n, d, seed=seed) for seed in (1, 2))
    ours = lambda: sparse_matching_score(x, y, 15, extractor="benchmark").value  # noqa: E731
    return Case("sparse matching", f"{n:,} x {d}", {"ours": ours})


CASES = [
    frechet_case,
    kernel_case,
    inception_case,
    neighbours_case,
    *(matching_case(n, 784) for n in (1000, 2000, 5000)),
    # in the plane, ours is POT's solver with all edges; the rest is the time for distances
    *(matching_case(n, d, plain=True) for d in (2, 4) for n in (1000, 5000)),
    sparse_matching_case,
]


def main(arguments: list[str] | None = None) -> None:
    """Time every case, or those whose name contains one of the given words, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", metavar="WORD", help="cases whose name contains it (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds in all")
    parser.add_argument("--threads", type=int, default=1, help="threads of every library (default: 1)")
    chosen = parser.parse_args(arguments)
    clock = time.process_time if chosen.threads == 1 else time.perf_counter
    torch.set_num_threads(chosen.threads)
    print(
        f"torch {torch.__version__}, {chosen.threads} thread(s); ratio: seconds over ours, above 1 is slower"
    )
    print(f"{'score':<22}{'size':<16}{'by':<22}{'seconds':>9}{'ratio':>8}  value")
    with threadpool_limits(chosen.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers tell of their memory use
        for make in CASES:
            case = make(chosen.quick)
            if chosen.only and not any(word.lower() in case.name.lower() for word in chosen.only):
                continue
            for compute in make(True).paths.values():
                with contextlib.redirect_stderr(io.StringIO()):
                    compute()
            ours = None
            for path, compute in case.paths.items():
                taken: list[float] = []
                while len(taken) < (1 if taken and taken[0] > SHORT else REPEATS):
                    with contextlib.redirect_stderr(io.StringIO()):
                        start = clock()
                        value = compute()
                        taken.append(clock() - start)
                seconds = min(taken)
                ours = ours or seconds
                row = f"{case.name:<22}{case.size:<16}{path:<22}{seconds:>9.2f}{seconds / ours:>8.2f}  {value:.8g}"
                print(row, flush=True)


if __name__ == "__main__":
    main()
