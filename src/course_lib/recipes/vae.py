"""The variational autoencoders of chapters 5 to 7, and chapter 6's experiment on disentanglement."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import data
from course_lib.cards import Facts, Score, mean
from course_lib.disentanglement import mutual_information_gap
from course_lib.evaluation import device_of, evaluating
from course_lib.recipes.discs import score_discs
from course_lib.recipes.recipe import Recipe, learn
from course_lib.training import Runtime, fit
from course_lib.vae import VAE, Terms, TwoLevelConfig, TwoLevelVAE, VAEConfig, binarize, elbo, iwae

Loss = Callable[[Terms, float], Tensor]  # of the terms and the weight of the divergence
DISCS = {"resolution": 32, "hidden": (256, 256), "latent": 8, "likelihood": "gaussian", "sigma": 0.3}


def train_vae_mnist(
    rt: Runtime,
    quiet: bool = False,
    *,
    epochs: int,
    reconstruction: float = 1.0,
    beta: float = 1.0,
    weight_decay: float = 0.02,
    phase_in: float = 0.1,
    lr: float = 5e-3,
    **config: Any,
) -> tuple[nn.Module, Facts]:
    """`VAE` of `config` on MNIST, binarised anew for every batch: maximises reconstruction · log p(x|z) - β · KL.

    The divergence is phased in over the share `phase_in` of the `epochs` (Bowman et al. 2016).
    """
    model = rt.place(VAE(VAEConfig(**config)))

    def loss(terms: Terms, weight: float) -> Tensor:
        return (weight * beta * terms.kl - reconstruction * terms.reconstruction).mean()

    return model, _on_binary_mnist(rt, model, loss, epochs, phase_in, quiet, lr=lr, weight_decay=weight_decay)


def train_two_level(rt: Runtime, quiet: bool = False, *, epochs: int) -> tuple[nn.Module, Facts]:
    """`TwoLevelVAE` on MNIST, binarised anew for every batch: the same recipe as the plain VAE's."""
    model = rt.place(TwoLevelVAE(TwoLevelConfig()))

    def loss(terms: Terms, weight: float) -> Tensor:
        return (weight * terms.kl - terms.reconstruction).mean()

    return model, _on_binary_mnist(rt, model, loss, epochs, 0.1, quiet, lr=5e-3, weight_decay=0.02)


def _on_binary_mnist(
    rt: Runtime, model: nn.Module, loss: Loss, epochs: int, phase_in: float, quiet: bool, **settings: float
) -> Facts:
    """Minimise ``loss(terms, weight)``; the divergence's weight rises from 0 to 1 in the share `phase_in` of images."""
    x, _ = data.mnist("train")
    batches = data.Stream(rt.place(x), batch=100, generator=rt.generator(1))
    noise = rt.noise(2)  # of the binarisation and of z
    images = rt.images(epochs * len(x), step=100)

    def step(batch: Tensor) -> Tensor:
        terms = model.terms(binarize(batch, noise), noise)
        weight = min(1.0, batches.images_seen / (phase_in * images)) if phase_in else 1.0
        return loss(terms, weight)

    what = type(model).__name__
    facts = fit(rt, model, batches, step, images=images, batch=100, what=what, quiet=quiet, **settings)
    return {"data": "MNIST train, dynamically binarised", "weight_decay": settings["weight_decay"], **facts}


def score_bound(model: nn.Module, n: int = 10_000) -> dict[str, Score]:
    """-ELBO on the 10,000 MNIST test images, binarised once with seed 0, and -IWAE-500 on a tenth of them."""
    x = binarize(data.mnist("test")[0], torch.Generator().manual_seed(0))[:n]
    bound = iwae(model, x[: n // 10], 500, torch.Generator().manual_seed(2))
    return {**score_elbo(model, n), "test -IWAE-500": mean(-bound)}


def score_elbo(model: nn.Module, n: int = 10_000) -> dict[str, Score]:
    """-ELBO and its divergence on the 10,000 MNIST test images, binarised once with seed 0."""
    x = binarize(data.mnist("test")[0], torch.Generator().manual_seed(0))[:n]
    terms = elbo(model, x, torch.Generator().manual_seed(1))
    return {"test -ELBO": mean(-terms.elbo), "test KL": mean(terms.kl)}


def train_vae_discs(
    rt: Runtime, quiet: bool = False, *, images: int, lr: float = 2e-3, **config: Any
) -> tuple[nn.Module, Facts]:
    """`VAE`, of `config`, on 20,000 discs (`data.discs`), whose pixels are black or white: maximises the ELBO."""
    x, _ = data.discs(20_000, seed=0)
    model = rt.place(VAE(VAEConfig(resolution=x.shape[-1], **config)))
    noise = rt.noise(2)

    def loss(pixels: Tensor) -> Tensor:
        return -model.terms(pixels, noise).elbo.mean()

    numbers = {"images": images, "batch": 64, "lr": lr}
    facts = learn(rt, model, [(x + 1) / 2], loss, **numbers, what="VAE, discs", quiet=quiet)
    return model, {"data": "20,000 discs, 64 x 64, seed 0", **facts}


def train_beta_vae_discs(
    rt: Runtime, quiet: bool = False, *, beta: float, seed: int = 0, images: int = 600_000
) -> tuple[nn.Module, Facts]:
    """β-VAE with a Gaussian decoder (σ = 0.3) on 20,000 moving discs: maximises log p(x|z) - β · KL."""
    x, _ = data.moving_discs(20_000, seed=0)
    torch.manual_seed(seed)
    model = rt.place(VAE(VAEConfig(**DISCS)))
    noise = rt.generator(11 + 2 * seed)

    def loss(x: Tensor) -> Tensor:
        terms = model.terms(x, noise)
        return (beta * terms.kl - terms.reconstruction).mean()

    numbers = {"images": images, "batch": 128, "lr": 1e-3, "stream": 10 + 2 * seed}
    facts = learn(rt, model, [x], loss, **numbers, what=f"β-VAE, β = {beta:g}, seed {seed}", quiet=quiet)
    return model, {"data": "20,000 moving discs, 32 x 32", "beta": beta, **facts}


def score_beta_vae_discs(model: nn.Module, n: int = 5_000) -> dict[str, Score]:
    """Mutual information gap (mean over the four factors) and squared error on 5,000 discs of another seed."""
    x, factors = data.moving_discs(n, seed=1)
    with evaluating(model):
        x = x.to(device_of(model))
        means, _ = model.encode(x)
        error = (model.images(means) - x).square().flatten(1).mean(1)
    gap = float(mutual_information_gap(means, factors).mean())
    return {"MIG": {"value": gap, "ci95": 0.0, "n": n, "kind": "distance"}, "test MSE": mean(error)}


_PLANE = {"latent": 2, "hidden": (256, 256), "normalise": True}
RECIPES = {
    "vae_mnist_20": Recipe(
        train_vae_mnist,
        score_bound,
        {"epochs": 110, "lr": 8e-3, "latent": 20, "channels": (16, 32), "hidden": (320,), "normalise": True},
    ),
    # The same latents, width, images and steps as the two-level model, to compare it with.
    "vae_one_level": Recipe(
        train_vae_mnist, score_bound, {"epochs": 80, "latent": 20, "hidden": (320, 320), "normalise": True}
    ),
    "vae_mnist_2": Recipe(train_vae_mnist, score_elbo, {"epochs": 25, **_PLANE}),
    "vae_mnist_2_reconstruction": Recipe(train_vae_mnist, score_elbo, {"epochs": 25, "beta": 0.0, **_PLANE}),
    "vae_mnist_2_kl": Recipe(train_vae_mnist, score_elbo, {"epochs": 3, "reconstruction": 0.0, **_PLANE}),
    "vae_two_level": Recipe(train_two_level, score_bound, {"epochs": 80}),
    "vae_discs": Recipe(
        train_vae_discs,
        score_discs,
        {"images": 480_000, "latent": 4, "channels": (8, 16, 32, 64), "hidden": (64,)},
    ),
    "beta_vae_discs": Recipe(train_beta_vae_discs, score_beta_vae_discs, {"beta": 4.0}),
}
