"""The digit classifier, and the small CNNs of chapter 1's learning curve."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data
from course_lib.cards import Facts, Score, proportion
from course_lib.classifiers import DigitCNN
from course_lib.draws import rows
from course_lib.precision import course_defaults
from course_lib.recipes.recipe import Recipe, learn
from course_lib.training import Runtime, accuracy


def train_digit_classifier(rt: Runtime, quiet: bool = False) -> tuple[nn.Module, Facts]:
    """`DigitCNN` on the 60,000 MNIST training images, slightly rotated, scaled and shifted at random: 24 epochs."""
    x, y = data.mnist("train")
    augment = rt.noise(2)
    model = rt.place(DigitCNN())

    def loss(minibatch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = minibatch
        return F.cross_entropy(model(random_affine(images, augment)), labels, label_smoothing=0.05)

    numbers = {"images": 24 * len(x), "batch": 128, "lr": 4e-3, "warm": 0.2, "weight_decay": 0.01}
    facts = learn(rt, model, [x, y], loss, **numbers, what="digit classifier", quiet=quiet)
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
    right = torch.stack([cos, -sin + skew, 2 * shift * r[3]], 1)
    down = torch.stack([sin, cos, 2 * shift * r[4]], 1)
    grid = F.affine_grid(torch.stack([right, down], 1), list(x.shape), align_corners=False)  # (N, H, W, 2)
    # grid_sample fills with 0, which is grey here: move the background there and back
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


def score_digit_classifier(model: nn.Module, n: int = 10_000) -> dict[str, Score]:
    """Accuracy on the 10,000 MNIST test images with its 95 % interval (normal approximation)."""
    x, y = (part[:n] for part in data.mnist("test"))
    return {"test accuracy": proportion(accuracy(model, x, y), len(x))}


RECIPES = {"digit_classifier": Recipe(train_digit_classifier, score_digit_classifier)}
