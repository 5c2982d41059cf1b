"""Flow matching and DDPM on digits (chapter 17): one network and budget, two paths and targets; and on codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from course_lib import data, zoo
from course_lib.cards import Facts, Score
from course_lib.diffusion import CodeDiffusion, Diffusion, DiffusionConfig, PointNetConfig, UNetConfig
from course_lib.evaluation import device_of
from course_lib.recipes.gans import score_digits
from course_lib.recipes.recipe import Recipe, learn
from course_lib.training import Averaging, Runtime, batched

AUTOENCODER = "ae_mnist_32"  # chapter 4's


def train_diffusion(
    rt: Runtime,
    quiet: bool = False,
    *,
    images: int,
    half_life: float = 20_000,
    widths: tuple[int, ...] = (32, 64),
    **config: Any,
) -> tuple[nn.Module, Facts]:
    """`Diffusion` on the 60,000 training digits with their labels, of which a tenth is left out; averaged weights.

    `widths` are the `UNet`'s, `config` goes to `DiffusionConfig`. Differs from Ho et al. 2020: a small network without
    attention, continuous times.
    """
    x, y = data.mnist("train")
    network = UNetConfig(widths=widths, classes=10)
    model = rt.place(Diffusion(DiffusionConfig(network=network, **config)))
    generator, average = rt.generator(2), Averaging(model, half_life)

    def loss(minibatch: tuple[Tensor, Tensor]) -> Tensor:
        return model.losses(minibatch[0], generator, minibatch[1]).mean()

    numbers: dict[str, Any] = {"images": images, "batch": 64, "lr": 2e-3, "clip": 1.0, "warm": 0.05}
    facts = learn(rt, model, [x, y], loss, **numbers, what=model.cfg.path, quiet=quiet, watch=average)
    average.copy()
    return model, {"data": "60,000 MNIST digits", "half_life": half_life, **facts}


def train_flow_of_codes(
    rt: Runtime,
    quiet: bool = False,
    *,
    images: int,
    half_life: float = 200_000,
    width: int = 256,
    depth: int = 3,
    **config: Any,
) -> tuple[nn.Module, Facts]:
    """`CodeDiffusion` on the codes that `AUTOENCODER` gives the 60,000 training digits, with their labels.

    As `train_diffusion`, with the two stages of Rombach et al. 2022: the autoencoder was trained before, and stays.
    """
    x, y = data.mnist("train")
    codes = batched(zoo.load(AUTOENCODER, rt.device).encode, rt.place(x))
    network = PointNetConfig(dimensions=codes.shape[1], width=width, depth=depth, classes=10)
    model = CodeDiffusion(DiffusionConfig(network=network, **config))
    model.measure(codes)
    model = rt.place(model)
    generator, average = rt.generator(2), Averaging(model, half_life)

    def loss(minibatch: tuple[Tensor, Tensor]) -> Tensor:
        return model.losses(minibatch[0], generator, minibatch[1]).mean()

    numbers: dict[str, Any] = {"images": images, "batch": 256, "lr": 2e-3, "clip": 1.0, "warm": 0.05}
    facts = learn(
        rt, model, [model.normal(codes), y], loss, **numbers, what="codes", quiet=quiet, watch=average
    )
    average.copy()
    return model, {"data": f"codes of 60,000 MNIST digits by {AUTOENCODER}", "half_life": half_life, **facts}


class Decoded(nn.Module):
    """A `CodeDiffusion` with its autoencoder's decoder: it samples pictures."""

    def __init__(self, codes: CodeDiffusion, autoencoder: Any) -> None:
        super().__init__()
        self.codes, self.autoencoder, self.cfg = codes, autoencoder, codes.cfg

    def sample(self, n: int, generator: torch.Generator, y: Tensor | None = None, **settings: Any) -> Tensor:
        """n pictures (n, C, R, R) in [-1, 1]; arguments and errors as those of `Diffusion.sample`."""
        codes = self.codes.sample(n, generator, y, **settings)
        return batched(self.autoencoder.decode, codes).cpu().clamp(-1, 1)


def score_decoded(model: nn.Module, n: int = 10_000) -> dict[str, Score]:
    """`score_digits` of the pictures that `AUTOENCODER` makes of the codes."""
    return score_digits(Decoded(model, zoo.load(AUTOENCODER, device_of(model))), n)


RECIPES = {
    "flow_mnist": Recipe(train_diffusion, score_digits, {"images": 900_000}),
    "ddpm_mnist": Recipe(
        train_diffusion, score_digits, {"images": 900_000, "path": "cosine", "predicts": "noise"}
    ),
    "flow_latents": Recipe(train_flow_of_codes, score_decoded, {"images": 8_000_000}),
}
