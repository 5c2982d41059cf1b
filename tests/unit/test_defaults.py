"""The course's data, weights and scores do not depend on the reader's default dtype or device."""

import pytest
import torch

from course_lib import data, metrics, vae, zoo
from course_lib.autoencoders import PCA, ProbabilisticPCA, principal_angles, recolour, warp
from course_lib.classifiers import GaussianClassifier
from course_lib.data.subsets import balanced_subset
from course_lib.disentanglement import mutual_information
from course_lib.gans import GAN, R3GAN, GANConfig, R3GANConfig
from course_lib.precision import course_defaults, float64
from course_lib.recipes import random_affine
from course_lib.recipes.autoencoders import random_mirror
from course_lib.recipes.avatars import imperfect
from course_lib.recipes.discs import nearest_disc
from course_lib.training import Runtime
from course_lib.vq import TokenPrior, TokenPriorConfig, VectorQuantizer
from tests.unit.proof import generator

A, B = (torch.randn(60, 5, generator=generator(k)) for k in (0, 1))
P = torch.randn(60, 4, generator=generator(2)).softmax(1)
LABELS = torch.arange(60) % 4
PICTURES = data.mnist("test")[0][:6]
WITH_NAME = {"extractor": "judge"}
GAMES = {"G": {"D": A[:, 0], "E": A[:, 1]}, "H": {"D": B[:, 0], "E": B[:, 1]}}
REAL = {"D": A[:, 2], "E": B[:, 2]}
SMALL_GAN = GAN(GANConfig(width=2, latent=3))
SMALL_R3GAN = R3GAN(R3GANConfig(width=16, latent=3))
SMALL_PRIOR = TokenPrior(TokenPriorConfig(codes=5, rows=2, columns=2, width=8, heads=2, layers=1))

CALLS = {
    "ring": lambda: data.ring(5)[0],
    "grid": lambda: data.grid(5)[0],
    "two_moons": lambda: data.two_moons(5)[0],
    "ring_centres": data.ring_centres,
    "grid_centres": data.grid_centres,
    "discs": lambda: data.discs(3)[0],
    "disc_radii": data.disc_radii,
    "moving_discs": lambda: data.moving_discs(3)[0],
    "mnist": lambda: data.mnist("test")[0][:3],
    "stacked_mnist": lambda: data.stacked_mnist(3)[0],
    "cifar10_sample": lambda: data.cifar10_sample()[0][:3],
    "photo": lambda: data.photo("chelsea", 32),
    "Runtime.generator": lambda: torch.randperm(
        9, generator=Runtime("smoke", "cpu", seed=0).generator(1), device="cpu"
    ),
    "zoo.load": lambda: zoo.load("ae_mnist_2").decoder.net[0].weight,
    "VAE.sample": lambda: zoo.load("vae_mnist_2").sample(2, generator()),
    "TwoLevelVAE.sample": lambda: zoo.load("vae_two_level").sample(2, generator()),
    "GAN.sample": lambda: SMALL_GAN.sample(2, generator()),
    "R3GAN.sample": lambda: SMALL_R3GAN.sample(2, generator()),
    "warp": lambda: warp(PICTURES, generator()),
    "recolour": lambda: recolour(PICTURES, generator()),
    "TokenPrior.sample": lambda: SMALL_PRIOR.sample(2, generator()),
    "iwae": lambda: vae.iwae(zoo.load("vae_mnist_2"), (PICTURES > 0).float(), 3, generator()),
    "PCA": lambda: PCA.fit(A, 2).encode(B).abs(),
    "ProbabilisticPCA": lambda: ProbabilisticPCA.fit(A, 2).sample(3, generator()),
    "principal_angles": lambda: principal_angles(A[:2], B[:3]),
    "GaussianClassifier": lambda: GaussianClassifier.fit(A, LABELS).log_joint(B),
    "mutual_information": lambda: mutual_information(A, LABELS[:, None]),
    "balanced_subset": lambda: balanced_subset(LABELS, 8, generator()),
    "random_affine": lambda: random_affine(PICTURES, generator()),
    "random_mirror": lambda: random_mirror(PICTURES, generator()),
    "imperfect": lambda: imperfect(PICTURES, generator()),
    "nearest_disc": lambda: nearest_disc(data.discs(3)[0])[0],
    "frechet": lambda: metrics.frechet(A, B, **WITH_NAME).value,
    "frechet_infinity": lambda: metrics.frechet_infinity(A, B, generator=generator(), **WITH_NAME).value,
    "frechet_bias": lambda: metrics.frechet_bias(A, 50, 50),
    "precision_recall": lambda: metrics.precision_recall(A, B, **WITH_NAME).recall.value,
    "kernel_distance": lambda: metrics.kernel_distance(A, B, **WITH_NAME).value,
    "parzen": lambda: metrics.parzen(A[:30], B, validation=A[30:], **WITH_NAME).value,
    "sliced": lambda: metrics.sliced_wasserstein(A, B, generator=generator(), permutations=9, **WITH_NAME).p,
    "ks": lambda: metrics.kolmogorov_smirnov(A, B, generator=generator(), permutations=9, **WITH_NAME).p,
    "classifier": lambda: metrics.classifier_two_sample(A, B, generator=generator(), **WITH_NAME).value,
    "inception": lambda: metrics.inception_score(P, splits=2, generator=generator(), **WITH_NAME).value,
    "m-is": lambda: metrics.modified_inception_score(P, **WITH_NAME).value,
    "mode": lambda: metrics.mode_score(P, P, **WITH_NAME).value,
    "matching": lambda: metrics.matching_score(A, B, **WITH_NAME).value,
    "sparse matching": lambda: metrics.sparse_matching_score(A, B, 9, both=True, **WITH_NAME).value,
    "baseline": lambda: metrics.real_baseline(A, 20, generator(), **WITH_NAME).value,
    "neighbours": lambda: metrics.neighbours(A, B, 3)[0],
    "cost_matrix": lambda: metrics.cost_matrix(A, B),
    "ratings": lambda: metrics.bradley_terry(metrics.play(GAMES, REAL)).rating,
    "sum of games": lambda: (metrics.play(GAMES, REAL) + metrics.play(GAMES, REAL)).wins,
    "win rates": lambda: metrics.win_rates(metrics.play(GAMES, REAL))[0].value,
    "ssim": lambda: metrics.ssim(PICTURES[:3], PICTURES[3:]),
    "classes": lambda: metrics.count_classes(LABELS, 4).divergence.value,
    "modes": lambda: metrics.count_modes(A[:, :2], data.grid_centres(), std=0.1).counts,
}


@pytest.fixture(params=["float64", "meta"])
def strange(request):
    """Another default dtype; a default device on which nothing has a value."""
    if request.param == "float64":
        torch.set_default_dtype(torch.float64)
    else:
        torch.set_default_device("meta")
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


EXPECTED = {name: call() for name, call in CALLS.items()}


@pytest.mark.parametrize("name", CALLS)
def test_results_are_those_of_a_fresh_session(name, strange):
    found = CALLS[name]()
    if isinstance(found, torch.Tensor):
        assert found.device.type == "cpu"
        assert found.dtype == EXPECTED[name].dtype
        assert torch.equal(found, EXPECTED[name])
    else:
        assert found == EXPECTED[name]


def test_a_quantiser_can_be_made_where_the_default_device_is_another(strange):
    VectorQuantizer(4, 3)


def test_the_defaults_come_back_after_an_error():
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(ValueError, match="n must be"), course_defaults():
            data.ring(-1)
        assert torch.zeros(1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_double_precision_keeps_gradients():
    x = torch.ones(3, requires_grad=True)
    float64(x).sum().backward()
    assert float64(x).dtype == torch.float64
    assert x.grad.tolist() == [1.0, 1.0, 1.0]
