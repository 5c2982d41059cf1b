"""Flow matching and DDPM on digits (chapter 17): one network and one budget, two paths and two targets."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from course_lib import data
from course_lib.cards import Facts
from course_lib.diffusion import Diffusion, DiffusionConfig, UNetConfig
from course_lib.recipes.gans import score_digits
from course_lib.recipes.recipe import Recipe, learn
from course_lib.training import Averaging, Runtime

NETWORK = UNetConfig(widths=(32, 64), classes=10)


def train_diffusion(
    rt: Runtime,
    quiet: bool = False,
    *,
    images: int,
    half_life: float = 20_000,
    network: UNetConfig = NETWORK,
    **config: Any,
) -> tuple[nn.Module, Facts]:
    """`Diffusion` on the 60,000 training digits with their labels, of which a tenth is left out; averaged weights.

    `config` goes to `DiffusionConfig`. Differs from Ho et al. 2020: a small network, no attention, continuous times.
    """
    x, y = data.mnist("train")
    model = rt.place(Diffusion(DiffusionConfig(network=network, **config)))
    generator, average = rt.generator(2), Averaging(model, half_life)

    def loss(minibatch: tuple[Tensor, Tensor]) -> Tensor:
        return model.losses(minibatch[0], generator, minibatch[1]).mean()

    numbers: dict[str, Any] = {"images": images, "batch": 64, "lr": 2e-3, "clip": 1.0, "warm": 0.05}
    facts = learn(rt, model, [x, y], loss, **numbers, what=model.cfg.path, quiet=quiet, watch=average)
    average.copy()
    return model, {"data": "60,000 MNIST digits", "half_life": half_life, **facts}


RECIPES = {
    "flow_mnist": Recipe(train_diffusion, score_digits, {"images": 900_000}),
    "ddpm_mnist": Recipe(
        train_diffusion, score_digits, {"images": 900_000, "path": "cosine", "predicts": "noise"}
    ),
}
