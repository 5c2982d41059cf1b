"""The digit classifier, and the small CNNs of chapter 1's learning curve."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data
from course_lib.cards import Facts, Score, proportion
from course_lib.classifiers import DigitCNN
from course_lib.draws import rows
from course_lib.precision import course_defaults
from course_lib.recipes.recipe import Recipe
from course_lib.training import Runtime, accuracy, fit


def train_digit_classifier(rt: Runtime, quiet: bool = False) -> tuple[nn.Module, Facts]:
    """`DigitCNN` on the 60,000 MNIST training images, slightly rotated, scaled and shifted at random: 24 epochs."""
    x, y = data.mnist("train")
    batches = data.Stream(rt.place(x), y.to(rt.device), batch=128, generator=rt.generator(1))
    augment = rt.noise(2)
    model = rt.place(DigitCNN())

    def loss(minibatch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = minibatch
        return F.cross_entropy(model(random_affine(images, augment)), labels, label_smoothing=0.05)

    facts = fit(
        rt,
        model,
        batches,
        loss,
        images=rt.images(24 * len(x), step=128),
        batch=128,
        lr=4e-3,
        what="digit classifier",
        warm=0.2,
        weight_decay=0.01,
        quiet=quiet,
    )
    return model, {"data": "MNIST train", **facts}


@course_defaults()
def random_affine(
    x: Tensor,
    generator: torch.Generator,
    *,
    degrees: float = 12.0,
    scale: float = 0.12,
    shift: float = 0.09,
    shear: float = 0.15,
) -> Tensor:
    """Each image of x (N, C, H, W) in [-1, 1] rotated, scaled, sheared and shifted by its own random amount.

    Uniform within ±`degrees`, 1 ± `scale`, ±`shift` of the width, ±`shear`. What comes from outside is background (-1).
    """
    r = (2 * rows(torch.rand, len(x), 5, generator=generator).T - 1).to(x.device)
    angle, zoom, skew = r[0] * math.radians(degrees), 1 + r[1] * scale, r[2] * shear
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    matrix = [
        torch.stack([cos, -sin + skew, 2 * shift * r[3]], 1),
        torch.stack([sin, cos, 2 * shift * r[4]], 1),
    ]
    grid = F.affine_grid(torch.stack(matrix, 1), list(x.shape), align_corners=False)  # (N, H, W, 2)
    # grid_sample fills with 0, which is grey here: move the background there and back
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


def score_digit_classifier(model: nn.Module, n: int = 10_000) -> dict[str, Score]:
    """Accuracy on the 10,000 MNIST test images with its 95 % interval (normal approximation)."""
    x, y = (part[:n] for part in data.mnist("test"))
    return {"test accuracy": proportion(accuracy(model, x, y), len(x))}


RECIPES = {
    "digit_classifier": Recipe(
        train=train_digit_classifier,
        score=score_digit_classifier,
    ),
}
