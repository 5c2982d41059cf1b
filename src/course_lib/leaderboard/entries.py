"""The generators that ship and how to sample from them, ``ENTRIES``; all other checkpoints are in ``NO_GENERATOR``."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib import data, zoo
from course_lib.autoencoders import ProbabilisticPCA
from course_lib.precision import float64
from course_lib.recipes.diffusion import Decoded
from course_lib.training import batched

Sampler = Callable[[int, torch.Generator], Tensor]  # how many, randomness -> images in [-1, 1]

SEED = 0
AT_ONCE = 250  # samples in one timed call
REPEATS = 5
FITTED = 10_000  # training pictures from which models without a checkpoint are fitted


@dataclass(frozen=True)
class Entry:
    """One row: which board, the name that is shown, the checkpoints it needs, and how to make its sampler."""

    board: str
    label: str
    weights: tuple[str, ...]
    sampler: Callable[..., Sampler]  # the loaded checkpoints, in this order -> its sampler


def _own(model: Any) -> Sampler:
    return model.sample


def _by_class(model: Any) -> Sampler:
    """Classes drawn evenly at random."""
    return lambda n, g: model.sample(n, g, torch.randint(model.cfg.classes, (n,), generator=g))


def _tokens(prior: Any, tokenizer: Any) -> Sampler:
    return lambda n, g: batched(tokenizer.decode, prior.sample(n, g))


def _decoded(model: Any, autoencoder: Any) -> Sampler:
    """Codes of all classes, evenly at random, and what the autoencoder makes of them."""
    return _by_class(Decoded(model, autoencoder))


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
    "flow_mnist": Entry("digits", "flow matching", ("flow_mnist",), _by_class),
    "ddpm_mnist": Entry("digits", "DDPM", ("ddpm_mnist",), _by_class),
    "flow_latents": Entry("digits", "flow of codes", ("flow_latents", "ae_mnist_32"), _decoded),
    "ae_mnist_8": Entry("digits", "AE, Gaussian codes", ("ae_mnist_8",), _gaussian_codes),
    "ppca": Entry("digits", "pPCA, 50 components", (), _pca),
    "vae_discs": Entry("discs", "VAE", ("vae_discs",), _own),
    "wgan_discs": Entry("discs", "WGAN, clipped", ("wgan_discs",), _own),
    "wgan_gp_discs": Entry("discs", "WGAN-GP", ("wgan_gp_discs",), _own),
    "beta_vae_discs": Entry("moving discs", "β-VAE, β = 4", ("beta_vae_discs",), _own),
    "dcgan_avatars": Entry("avatars", "DCGAN", ("dcgan_avatars",), _own),
    "stylegan_avatars": Entry("avatars", "StyleGAN", ("stylegan_avatars",), _own),
    "stylegan2_avatars": Entry("avatars", "StyleGAN2", ("stylegan2_avatars",), _own),
    "r3gan_avatars": Entry("avatars", "R3GAN", ("r3gan_avatars",), _own),
}
NO_GENERATOR: dict[str, str] = {
    "digit_classifier": "a classifier; the judge of the digits",
    "avatar_classifier": "a classifier; the judge of the avatars",
    "expression_classifier": "a classifier; the judge of face swaps",
    "adain_transfer": "it repaints pictures and draws none of its own",
    "deepfake_avatars": "a face swap; it repaints pictures and draws none of its own",
    "r3gan_stacked": "of stacked digits, which have no board; chapter 12 counts its modes",
    "vq_mnist": "a tokeniser; it generates together with `token_prior`",
    "vq_avatars": "a tokeniser without a prior of its own",
    "vqgan_avatars": "a tokeniser without a prior of its own",
    "ae_mnist_2": "an autoencoder; `ae_mnist_8` stands for its kind",
    "ae_mnist_32": "an autoencoder; it generates together with `flow_latents`",
    "ae_cifar10": "an autoencoder; chapter 4 shows that random codes decode to no picture",
    "vae_mnist_2_reconstruction": "trained on the reconstruction only, to show that codes then do not follow the prior",
    "vae_mnist_2_kl": "trained on the divergence only, to show that it then draws one grey picture",
}


def sampler(entry: Entry) -> Sampler:
    """What samples for a row; a checkpoint behind it is loaded."""
    return entry.sampler(*(zoo.load(name) for name in entry.weights))


def seconds_per_sample(sample: Sampler, n: int = AT_ONCE, repeats: int = REPEATS) -> float:
    """The shortest of several calls of ``sample(n, generator)``, over n, in processor time on one thread."""
    times = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for k in range(repeats + 1):  # the first only warms up
            start = time.process_time()
            sample(n, seeded(k))
            times.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    return min(times[1:]) / n


def seeded(seed: int) -> torch.Generator:
    """The `seed`-th of the leaderboard's generators."""
    return torch.Generator().manual_seed(SEED + seed)
