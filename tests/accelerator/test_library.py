"""What the library computes of tensors on a GPU is what it computes of the same tensors on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from course_lib import data, features, metrics, training, vae, zoo
from course_lib.autoencoders import PCA, ProbabilisticPCA, principal_angles
from course_lib.classifiers import GaussianClassifier
from course_lib.disentanglement import mutual_information_gap
from course_lib.gans import losses
from course_lib.leaderboard.boards import BOARDS, Sets, class_entropy
from course_lib.leaderboard.entries import ENTRIES
from course_lib.real_or_generated import Panel
from course_lib.recipes.discs import nearest_disc
from course_lib.vq import perplexity

On = Callable[[Any], Any]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


A, B = (torch.randn(60, 5, generator=seeded(k)) for k in (0, 1))
WIDE_A, WIDE_B = (torch.randn(40, 30, generator=seeded(k)) for k in (0, 1))
P = torch.randn(60, 4, generator=seeded(2)).softmax(1)
LABELS = torch.arange(60) % 4
FACTORS = torch.randint(4, (60, 2), generator=seeded(3))
X, Y = (part[:40] for part in data.mnist("test"))
WITH_NAME = {"extractor": "judge"}


def games(on: On) -> metrics.Games:
    fake = {"G": {"D": A[:, 0], "E": A[:, 1]}, "H": {"D": B[:, 0], "E": B[:, 1]}}
    real = {"D": on(A[:, 2]), "E": on(B[:, 2])}
    return metrics.play({g: {d: on(x) for d, x in row.items()} for g, row in fake.items()}, real)


SCORES: dict[str, Callable[[On], Any]] = {
    "mean": lambda on: metrics.mean("m", on(A[:, 0])).value,
    "frechet": lambda on: metrics.frechet(on(A), on(B), **WITH_NAME).value,
    "frechet of moments": lambda on: metrics.frechet(metrics.Moments(5).add(on(A)), on(B), **WITH_NAME).value,
    "frechet, infinitely many": lambda on: (
        metrics.frechet_infinity(on(A), on(B), generator=seeded(), **WITH_NAME).value
    ),
    "frechet bias": lambda on: metrics.frechet_bias(on(A), 50, 50),
    "precision and recall": lambda on: [r.value for r in metrics.precision_recall(on(A), on(B), **WITH_NAME)],
    "kernel distance": lambda on: metrics.kernel_distance(on(A), on(B), **WITH_NAME).value,
    "parzen": lambda on: metrics.parzen(on(A[:30]), on(B), validation=on(A[30:]), **WITH_NAME).value,
    "sliced": lambda on: metrics.sliced_wasserstein(on(A), on(B), generator=seeded(), **WITH_NAME).value,
    "kolmogorov": lambda on: metrics.kolmogorov_smirnov(on(A), on(B), generator=seeded(), **WITH_NAME).p,
    "classifier": lambda on: (
        metrics.classifier_two_sample(on(A), on(B), generator=seeded(), **WITH_NAME).value
    ),
    "inception": lambda on: metrics.inception_score(on(P), splits=2, generator=seeded(), **WITH_NAME).value,
    "m-IS": lambda on: metrics.modified_inception_score(on(P), labels=on(LABELS), **WITH_NAME).value,
    "mode": lambda on: metrics.mode_score(on(P), on(P), **WITH_NAME).value,
    "class entropy": lambda on: class_entropy(on(P), **WITH_NAME).value,
    "matching": lambda on: metrics.matching_score(on(A), on(B), **WITH_NAME).value,
    "matching of pixels": lambda on: metrics.matching_score(on(X[:20]), on(X[20:]), extractor=None).value,
    "sparse matching": lambda on: metrics.sparse_matching_score(on(A), on(B), 9, **WITH_NAME).value,
    "baseline": lambda on: metrics.real_baseline(on(A), 20, seeded(), **WITH_NAME).value,
    "cost by class": lambda on: [
        r.value
        for r in metrics.cost_by_class(metrics.matching_score(on(A), on(B), **WITH_NAME), on(LABELS), 4)
    ],
    "neighbours": lambda on: metrics.neighbours(on(A), on(B), 3)[1],
    "cost matrix": lambda on: metrics.cost_matrix(on(A), on(B)),
    "cost matrix, wide": lambda on: metrics.cost_matrix(on(WIDE_A), on(WIDE_B)),
    "pair distances": lambda on: metrics.pair_distances(on(A), on(B), torch.arange(60), torch.arange(60)),
    "ratings": lambda on: metrics.bradley_terry(games(on)).rating,
    "sum of games": lambda on: (games(on) + games(on)).wins,
    "glicko": lambda on: metrics.glicko2(
        1500, 200, 0.06, on(A[:3, 0] * 100 + 1500), on(torch.ones(3)), on(P[:3, 0])
    ),
    "battle": lambda on: (
        metrics.adversarial_metric(*(on(t) for t in (A[:, 0], A[:, 1], B[:, 0], B[:, 1]))).samples.value
    ),
    "modes": lambda on: metrics.count_modes(on(A[:, :2]), on(data.grid_centres()), std=0.1).counts,
    "mse": lambda on: metrics.mse(on(X[:20]), on(X[20:])),
    "ssim": lambda on: metrics.ssim(on(X[:20]), on(X[20:]), window=on(metrics.uniform_window().float())),
    "ssim maps": lambda on: metrics.ssim_maps(on(X[:20]), on(X[20:])).contrast,
    "PCA": lambda on: PCA.fit(on(A), 2).encode(on(B)),
    "PCA of the CPU": lambda on: PCA.fit(A, 2).reconstruct(on(B)),
    "probabilistic PCA": lambda on: ProbabilisticPCA.fit(on(A), 2).log_prob(on(B)),
    "principal angles": lambda on: principal_angles(on(A[:2]), on(B[:3])),
    "Gaussian classifier": lambda on: GaussianClassifier.fit(on(A), on(LABELS)).log_joint(on(B)),
    "information gap": lambda on: mutual_information_gap(on(A), on(FACTORS)),
    "perplexity": lambda on: perplexity(on(LABELS), 8),
    "nearest disc": lambda on: nearest_disc(on(data.discs(5)[0]))[0],
    "binarised ink": lambda on: vae.binarize(on(X), seeded()).mean(),
}


def plain(value: Any) -> torch.Tensor:
    return torch.as_tensor(value).detach().cpu().double()


@pytest.mark.parametrize("name", SCORES)
def test_scores_do_not_depend_on_where_the_numbers_are(name, kind):
    found = plain(SCORES[name](lambda x: x.to(kind)))
    torch.testing.assert_close(found, plain(SCORES[name](lambda x: x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("judge", [features.digit_classifier, features.avatar_attributes, features.imagenet])
def test_extractors_take_images_from_anywhere_and_answer_there(judge, kind):
    x = X[:4] if judge is features.digit_classifier else data.photo("chelsea", 64).expand(3, -1, -1, -1)
    on_cpu = judge(device="cpu").features(x)
    for of_net, of_images in ((kind, "cpu"), ("cpu", kind), (kind, kind)):
        found = judge(device=of_net).features(x.to(of_images))
        assert found.device.type == of_images
        torch.testing.assert_close(found.cpu(), on_cpu, rtol=1e-3, atol=1e-4)


def test_bounds_samples_and_accuracy_where_the_model_is(kind):
    model, judge = zoo.load("vae_mnist_20", kind), zoo.load("digit_classifier", kind)
    x = vae.binarize(X, seeded())
    torch.testing.assert_close(
        vae.elbo(model, x, seeded()).elbo,
        vae.elbo(zoo.load("vae_mnist_20"), x, seeded()).elbo,
        rtol=1e-4,
        atol=1e-2,
    )
    assert vae.iwae(model, x[:3], 5, seeded()).device.type == "cpu"
    assert model.sample(2, seeded()).device.type == kind
    assert training.accuracy(judge, X, Y) == training.accuracy(zoo.load("digit_classifier"), X, Y)
    assert 0 <= losses.clipped_share(zoo.load("wgan_mnist", kind).D, 0.01) <= 1


def test_the_panel_takes_pictures_from_the_device(kind):
    panel = Panel({"G": X[:3].to(kind)}, X[3:6].to(kind), each=3, generator=seeded())
    panel.answer_by(lambda pictures: pictures.mean((1, 2, 3)))
    assert panel.answered == 6


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_a_row_of_the_leaderboard_can_be_scored_with_the_model_on_the_device(name, kind, monkeypatch):
    entry = ENTRIES[name]
    board, n = BOARDS[entry.board], 200
    monkeypatch.setattr("course_lib.leaderboard.entries.FITTED", 300)
    x = entry.sampler(*(zoo.load(weights, kind) for weights in entry.weights))(n, seeded())
    real, _ = board.real(n)
    with torch.no_grad():
        scores = board.scores(Sets(board, real, x, board.features(real), board.features(x)))
    assert all(torch.tensor(score.value).isfinite() for score in scores.values())


def test_a_seeded_stretch_leaves_the_readers_numbers_alone(kind):
    """Dropout on the device draws from the device's own generator: it too goes on where it was."""
    rt = training.Runtime("smoke", kind, seed=5).with_seed(7)
    torch.manual_seed(1)
    expected = torch.rand(3), torch.rand(3, device=kind)
    torch.manual_seed(1)
    with rt.seeded():
        inside = torch.rand(3), torch.rand(3, device=kind)
    found = torch.rand(3), torch.rand(3, device=kind)
    for a, b, c in zip(found, expected, inside):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
