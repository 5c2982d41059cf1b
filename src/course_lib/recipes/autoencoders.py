"""The deep autoencoders of chapter 4."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data
from course_lib.autoencoders import Autoencoder, AutoencoderConfig
from course_lib.cards import Facts, Score, mean
from course_lib.draws import rows
from course_lib.precision import course_defaults
from course_lib.recipes.recipe import Recipe, learn
from course_lib.training import Runtime, batched

CIFAR10 = {"resolution": 32, "colours": 3, "channels": (32, 64, 128), "hidden": (), "latent": 128}


def train_ae_mnist(rt: Runtime, quiet: bool = False, *, latent: int) -> tuple[nn.Module, Facts]:
    """`Autoencoder` of `latent` numbers on the 60,000 MNIST training images: mean squared error, 40 epochs."""
    x, _ = data.mnist("train")
    model = rt.place(Autoencoder(AutoencoderConfig(latent=latent)))

    def loss(images: Tensor) -> Tensor:
        return F.mse_loss(model(images), images)

    what = f"autoencoder, k = {latent}"
    facts = learn(rt, model, [x], loss, images=40 * len(x), batch=200, lr=2e-3, what=what, quiet=quiet)
    return model, {"data": "MNIST train", **facts}


def train_ae_cifar10(rt: Runtime, quiet: bool = False) -> tuple[nn.Module, Facts]:
    """`Autoencoder` of 128 numbers on 50,000 CIFAR-10 images, half of them mirrored: mean squared error, 30 epochs."""
    x, _ = data.cifar10("train")
    model = rt.place(Autoencoder(AutoencoderConfig(**CIFAR10)))
    mirror = rt.noise(2)

    def loss(images: Tensor) -> Tensor:
        images = random_mirror(images, mirror)
        return F.mse_loss(model(images), images)

    what = "CIFAR-10 autoencoder"
    facts = learn(rt, model, [x], loss, images=30 * len(x), batch=100, lr=1.5e-3, what=what, quiet=quiet)
    return model, {"data": "CIFAR-10 train", **facts}


@course_defaults()
def random_mirror(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image of x (N, C, H, W) mirrored left to right with probability one half."""
    coin = rows(torch.rand, len(x), 1, 1, 1, generator=generator).to(x.device) < 0.5
    return torch.where(coin, x.flip(3), x)


def score_ae_mnist(model: nn.Module, n: int = 10_000) -> dict[str, Score]:
    """Mean squared error per pixel, in units of [-1, 1], on the 10,000 MNIST test images."""
    return {"test MSE": mean(_squared_error(model, data.mnist("test")[0][:n]))}


def score_ae_cifar10(model: nn.Module, n: int = 500) -> dict[str, Score]:
    """Mean squared error per number, in units of [-1, 1], on the 500 CIFAR-10 test images that are shipped."""
    return {"test MSE": mean(_squared_error(model, data.cifar10_sample()[0][:n]))}


def _squared_error(model: nn.Module, x: Tensor) -> Tensor:
    return (batched(model, x) - x).square().flatten(1).mean(1)


RECIPES = {
    **{f"ae_mnist_{k}": Recipe(train_ae_mnist, score_ae_mnist, {"latent": k}) for k in (2, 8, 32)},
    "ae_cifar10": Recipe(train_ae_cifar10, score_ae_cifar10),
}
