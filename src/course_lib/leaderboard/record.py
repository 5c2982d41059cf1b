"""The record behind the leaderboard: every generator that ships, every metric, the same data, the same n (chapter 15).

A board is a kind of data with its real pictures, its extractor and its scores. ``ENTRIES`` says how to sample from a
checkpoint, ``NO_GENERATOR`` why there is nothing to sample from; every checkpoint is in one of them. A row keeps the
sha256 of all weights behind it, and a board its numbers of samples and a `probe` of its scores, so that it is known
when they are out of date; only such rows are computed again.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import data, features, metrics, zoo
from course_lib.autoencoders import ProbabilisticPCA
from course_lib.data.files import checksums
from course_lib.metrics.result import Z95, Result
from course_lib.precision import float64
from course_lib.progress import progress
from course_lib.recipes.discs import nearest_disc
from course_lib.recipes.recipe import Facts
from course_lib.training import Runtime, batched

Sampler = Callable[[int, torch.Generator], Tensor]  # how many, randomness -> images in [-1, 1]

_SHARES = ("precision", "recall", "density", "coverage", "classifier", "is disc")
REAL = "TEST"  # the row of real pictures, scored against other real ones
SEED = 0
AT_ONCE = 250  # samples in one timed call
REPEATS = 5
PROBED = 200  # pictures of each set
FITTED = 10_000  # training pictures from which models without a checkpoint are fitted


@dataclass(frozen=True)
class Entry:
    """One row: which board, the name that is shown, the checkpoints it needs, and how to make its sampler."""

    board: str
    label: str
    weights: tuple[str, ...]
    sampler: Callable[..., Sampler]  # the loaded checkpoints, in this order -> its sampler


class Board(NamedTuple):
    """What all rows of a board share."""

    judges: tuple[str, ...]  # checkpoints of the extractors
    n: int  # generated pictures, and as many real ones
    n_matching: int  # of them for the matching score
    real: Callable[[int], tuple[Tensor, Tensor]]  # n -> (n real pictures, n others)
    features: Callable[[Tensor], Tensor]  # pictures (N, C, H, W) -> (N, d)
    source: str | None  # what the features come from; None if they are the pixels
    scores: Callable[[Sets], dict[str, Result]]


class Sets(NamedTuple):
    """What a row is scored from."""

    board: Board
    real: Tensor  # pictures (n, C, H, W)
    x: Tensor  # generated ones, as many
    r: Tensor  # their features, (n, d)
    g: Tensor


# ---- how to sample


def _own(model: Any) -> Sampler:
    return model.sample


def _by_class(model: Any) -> Sampler:
    """Classes drawn evenly at random."""
    return lambda n, g: model.sample(n, g, torch.randint(model.cfg.classes, (n,), generator=g))


def _tokens(prior: Any, tokenizer: Any) -> Sampler:
    return lambda n, g: batched(tokenizer.decode, prior.sample(n, g))


def _gaussian_codes(model: Any) -> Sampler:
    """An autoencoder with codes from the Gaussian that fits those of training pictures (chapter 4)."""
    z = float64(batched(model.encode, data.mnist("train")[0][:FITTED]))
    factor = torch.linalg.cholesky(torch.cov(z.T))

    def sample(n: int, g: torch.Generator) -> Tensor:
        codes = z.mean(0) + torch.randn(n, z.shape[1], generator=g, dtype=torch.float64) @ factor.T
        return batched(model.decode, codes.float()).clamp(-1, 1)

    return sample


def _pca() -> Sampler:
    model = ProbabilisticPCA.fit(data.mnist("train")[0][:FITTED], 50)
    return lambda n, g: model.sample(n, g, noise=False).clamp(-1, 1).float()


ENTRIES: dict[str, Entry] = {
    "vae_mnist_20": Entry("digits", "VAE, 20 latents", ("vae_mnist_20",), _own),
    "vae_mnist_2": Entry("digits", "VAE, 2 latents", ("vae_mnist_2",), _own),
    "vae_one_level": Entry("digits", "VAE, one level", ("vae_one_level",), _own),
    "vae_two_level": Entry("digits", "VAE, two levels", ("vae_two_level",), _own),
    "token_prior": Entry("digits", "VQ-VAE, token prior", ("token_prior", "vq_mnist"), _tokens),
    "dcgan_mnist": Entry("digits", "DCGAN", ("dcgan_mnist",), _own),
    "cdcgan_mnist": Entry("digits", "DCGAN, by class", ("cdcgan_mnist",), _by_class),
    "wgan_mnist": Entry("digits", "WGAN, clipped", ("wgan_mnist",), _own),
    "wgan_gp_mnist": Entry("digits", "WGAN-GP", ("wgan_gp_mnist",), _own),
    "ae_mnist_8": Entry("digits", "AE, Gaussian codes", ("ae_mnist_8",), _gaussian_codes),
    "ppca": Entry("digits", "pPCA, 50 components", (), _pca),
    "vae_discs": Entry("discs", "VAE", ("vae_discs",), _own),
    "wgan_discs": Entry("discs", "WGAN, clipped", ("wgan_discs",), _own),
    "wgan_gp_discs": Entry("discs", "WGAN-GP", ("wgan_gp_discs",), _own),
    "beta_vae_discs": Entry("moving discs", "β-VAE, β = 4", ("beta_vae_discs",), _own),
    "dcgan_avatars": Entry("avatars", "DCGAN", ("dcgan_avatars",), _own),
}
NO_GENERATOR: dict[str, str] = {
    "digit_classifier": "a classifier; the judge of the digits",
    "avatar_classifier": "a classifier; the judge of the avatars",
    "vq_mnist": "a tokeniser; it generates together with `token_prior`",
    "ae_mnist_2": "an autoencoder; `ae_mnist_8` stands for its kind",
    "ae_mnist_32": "an autoencoder; `ae_mnist_8` stands for its kind",
    "ae_cifar10": "an autoencoder; chapter 4 shows that random codes decode to no picture",
    "vae_mnist_2_reconstruction": "trained on the reconstruction only, to show that codes then do not follow the prior",
    "vae_mnist_2_kl": "trained on the divergence only, to show that it then draws one grey picture",
}


# ---- what is scored


def _shuffled_digits(n: int) -> tuple[Tensor, Tensor]:
    x = data.mnist("test")[0]
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(SEED))]
    return x[:n], x[n : 2 * n]


def _score_digits(sets: Sets) -> dict[str, Result]:
    judge = features.digit_classifier()
    p = batched(judge.net.head, sets.g).softmax(1)
    training = F.one_hot(data.mnist("train")[1], 10).float()
    validation = data.mnist("train")[0][:1_000].flatten(1)  # only for the width of the windows
    m, source = sets.board.n_matching, {"extractor": judge.name}
    return {
        **_of_features(sets),
        "inception": metrics.inception_score(p, **source),
        "mode": metrics.mode_score(p, training, variant="marginal", **source),
        "m-is": metrics.modified_inception_score(p, **source),
        "entropy": class_entropy(p, **source),
        "confidence": metrics.mean("mean confidence", p.max(1).values, **source),
        "parzen": metrics.parzen(
            sets.real[:m].flatten(1), sets.x[:m].flatten(1), validation=validation, extractor=None
        ),
        **_of_pixels(sets),
    }


def _score_discs(sets: Sets) -> dict[str, Result]:
    """All discs of one radius are the same picture, so neighbours say nothing; but all pictures are known."""
    distance, which, is_disc = nearest_disc(sets.x)
    found, n = len(which[is_disc].unique()), len(sets.x)
    return {
        "nearest": metrics.mean("distance to the nearest disc", distance),
        "is disc": metrics.proportion("share of discs", int(is_disc.sum()) / n, n),
        "radii": Result("radii of 32", float(found), math.nan, n),
        **_of_pixels(sets),
    }


def _score_moving_discs(sets: Sets) -> dict[str, Result]:
    return {**_of_features(sets), **_of_pixels(sets)}


def _score_avatars(sets: Sets) -> dict[str, Result]:
    judge, natural = features.avatar_attributes(), features.imagenet(64)
    r, g = natural.features(sets.real), natural.features(sets.x)
    p, source = judge.probabilities(sets.x)["head"], {"extractor": judge.name}
    return {
        **_of_features(sets),
        "frechet natural": metrics.frechet(r, g, extractor=natural.name),
        "kernel natural": metrics.kernel_distance(r, g, extractor=natural.name),
        "inception": metrics.inception_score(p, **source),
        "entropy": class_entropy(p, **source),
        "confidence": metrics.mean("mean confidence", p.max(1).values, **source),
        **_of_pixels(sets),
    }


def _of_features(sets: Sets) -> dict[str, Result]:
    pair, source = (sets.r, sets.g), {"extractor": sets.board.source}
    near = metrics.precision_recall(*pair, **source)
    return {
        "frechet": metrics.frechet(*pair, **source),
        "kernel": metrics.kernel_distance(*pair, **source),
        "sliced": metrics.sliced_wasserstein(*pair, generator=_seeded(1), **source),
        "classifier": metrics.classifier_two_sample(
            *pair, generator=_seeded(2), classifier="neighbours", **source
        ),
        "precision": near.precision,
        "recall": near.recall,
        "density": near.density,
        "coverage": near.coverage,
    }


def _of_pixels(sets: Sets) -> dict[str, Result]:
    m = sets.board.n_matching
    return {"matching": metrics.matching_score(sets.real[:m], sets.x[:m], extractor=None)}


def class_entropy(probabilities: Tensor, *, extractor: str) -> Result:
    """Entropy H(p̄) of the mean class probabilities of (N, C), in nats: log C if all classes are equally frequent.

    The interval is that of the delta method; where the classes are equally frequent it shrinks towards 0.
    """
    p = float64(probabilities.detach())
    marginal = p.mean(0)
    influence = -torch.xlogy(p, marginal).sum(1)
    error = float(influence.std()) / math.sqrt(len(p))
    value = float(torch.special.entr(marginal).sum())
    return Result("class entropy", value, Z95 * error, len(p), extractor=extractor)


def _halves(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2).flatten(1)


BOARDS: dict[str, Board] = {
    "digits": Board(
        ("digit_classifier",),
        5_000,
        2_000,
        _shuffled_digits,
        lambda x: features.digit_classifier().features(x),
        "digit_classifier (MNIST CNN)",
        _score_digits,
    ),
    "discs": Board(
        (),
        2_000,
        1_000,
        lambda n: (data.discs(n, seed=1)[0], data.discs(n, seed=2)[0]),
        lambda x: x.flatten(1),
        None,
        _score_discs,
    ),
    "moving discs": Board(
        (),
        2_000,
        1_000,
        lambda n: (data.moving_discs(n, seed=1)[0], data.moving_discs(n, seed=2)[0]),
        _halves,
        "pixels, averaged to 16 x 16",
        _score_moving_discs,
    ),
    "avatars": Board(
        ("avatar_classifier",),
        2_000,
        1_000,
        lambda n: data.avatars(2 * n, 64, seed=1, progress=False)[0].split(n),
        lambda x: features.avatar_attributes().features(x),
        "avatar_classifier (Open Peeps CNN)",
        _score_avatars,
    ),
}


# ---- the record


def record_leaderboard(rt: Runtime, quiet: bool = False) -> Facts:
    """Score every shipped generator; rows whose weights are still those of the last record are taken from it.

    Seconds per sample are measured anew for all rows, so that they come from one machine: `seconds_per_sample`.
    """
    before = _last()
    present = {name: entry for name, entry in ENTRIES.items() if shipped(*entry.weights)}
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    with progress(len(present) + len(BOARDS), "leaderboard", unit=" rows", quiet=quiet) as bar:
        for title, board in BOARDS.items():
            of_board = {name: entry for name, entry in present.items() if entry.board == title}
            if not of_board:
                continue
            pictures: list[Tensor] = []  # real ones, others, features; only if something is to be scored
            rows[title] = {}
            if differs(before.get(title, {}), board):
                before[title] = {}
            for name, entry in {**of_board, REAL: None}.items():
                weights = _weights(board, entry)
                row = before.get(title, {}).get("rows", {}).get(name, {})
                if row.get("weights") != weights:
                    if not pictures:
                        real, others = board.real(board.n)
                        pictures = [real, others, board.features(real)]
                    row = _row(board, entry, weights, *pictures)
                rows[title][name] = {**row, "label": entry.label if entry else "real, held out"}
                if entry:
                    rows[title][name]["seconds"] = seconds_per_sample(_sampler(entry))
                bar.update(1)
    return {
        "no_generator": NO_GENERATOR,
        "boards": {title: {**terms(BOARDS[title]), "rows": of_board} for title, of_board in rows.items()},
    }


def shipped(*names: str) -> bool:
    """Whether all of these checkpoints are in the data folder."""
    return all(f"{zoo.FOLDER}/{name}.safetensors" in checksums() for name in names)


def defects(card: Facts) -> list[str]:
    """What a record lacks: a checkpoint nobody has classified, one that is not on the board, a row of other weights."""
    known = set(ENTRIES) | {name for entry in ENTRIES.values() for name in entry.weights} | set(NO_GENERATOR)
    found = [
        f"{name} is neither among ENTRIES nor among NO_GENERATOR of course_lib/recipes/leaderboard.py"
        for name in zoo.names()
        if name not in known
    ]
    for name, entry in ENTRIES.items():
        if not shipped(*entry.weights):
            continue
        board = BOARDS[entry.board]
        row = card["boards"].get(entry.board, {"rows": {}})["rows"].get(name)
        if row is None:
            found.append(f"{name} is shipped, but not on the board of {entry.board}")
        elif row["weights"] != _weights(board, entry):
            found.append(f"the row of {name} is that of other weights")
    for title, of_board in card["boards"].items():
        if reason := differs(of_board, BOARDS[title]):
            found.append(f"the board of {title} {reason}")
    return found


def terms(board: Board) -> dict[str, Any]:
    """What all rows of a board have in common: the numbers of samples, the seed, and the `probe` of its scores."""
    return {"n": board.n, "n_matching": board.n_matching, "seed": SEED, "probe": probe(board)}


def probe(board: Board) -> dict[str, float]:
    """The board's scores of `PROBED` real pictures against as many others: they change when a metric does."""
    real, others = board.real(PROBED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few samples
        scores = board.scores(Sets(board, real, others, board.features(real), board.features(others)))
    return {key: score.value for key, score in scores.items()}


def differs(of_board: Mapping[str, Any], board: Board) -> str:
    """Why the rows of a recorded board would come out otherwise today; empty if they would not."""
    today = terms(board)
    for key in ("n", "n_matching", "seed"):
        if of_board.get(key) != today[key]:
            return f"was scored with {key} = {of_board.get(key)}, now it is {today[key]}"
    was = of_board.get("probe", {})
    for key, value in today["probe"].items():
        # Shares move in steps of one sample, and the rest by rounding.
        allowed = max(5e-3 * abs(value), 2.5 / PROBED if key in _SHARES else 1e-6)
        if key not in was or not abs(was[key] - value) <= allowed:
            return f"was scored by another {key}: {PROBED} real pictures scored {was.get(key)}, now {value}"
    return ""


def seconds_per_sample(sample: Sampler, n: int = AT_ONCE, repeats: int = REPEATS) -> float:
    """The shortest of several calls of ``sample(n, generator)``, over n, on one thread of the processor.

    Processor time: with one thread, that is the time on the wall of a machine that does nothing else, and what else
    runs beside a record does not change it.
    """
    times = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for k in range(repeats + 1):  # the first only warms up
            start = time.process_time()
            sample(n, _seeded(k))
            times.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    return min(times[1:]) / n


def _row(
    board: Board, entry: Entry | None, weights: dict[str, str], real: Tensor, others: Tensor, r: Tensor
) -> dict[str, Any]:
    if entry is None:
        x, parameters = others, 0
    else:
        with torch.no_grad():
            x = _sampler(entry)(board.n, _seeded(0))
        parameters = sum(w.numel() for name in entry.weights for w in zoo.load(name).parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.IdenticalSets)  # discs are all alike
        scores = board.scores(Sets(board, real, x, r, board.features(x)))
    return {
        "weights": weights,
        "n": board.n,
        "parameters": parameters,
        "scores": {
            key: {
                "value": r.value,
                "ci95": r.ci95 if math.isfinite(r.ci95) else None,
                "n": r.n,
                "extractor": r.extractor,
            }
            for key, r in scores.items()
        },
    }


def _sampler(entry: Entry) -> Sampler:
    return entry.sampler(*(zoo.load(name) for name in entry.weights))


def _weights(board: Board, entry: Entry | None) -> dict[str, str]:
    """sha256 of all checkpoints that a row depends on, its judges' too."""
    names = (*(entry.weights if entry else ()), *board.judges)
    table = checksums()
    return {name: table[f"{zoo.FOLDER}/{name}.safetensors"] for name in names}


def _last() -> dict[str, Any]:
    """The boards of the last record, or nothing if there is none."""
    try:
        return dict(zoo.recorded("leaderboard")["boards"])
    except data.DataFileError:
        return {}


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(SEED + seed)


RECORDS = {"leaderboard": record_leaderboard}
