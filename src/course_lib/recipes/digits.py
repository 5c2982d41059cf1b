"""The digit classifier, and the small CNNs of chapter 1's learning curve."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data
from course_lib.cards import Score, proportion
from course_lib.classifiers import DigitCNN, DigitCNNConfig
from course_lib.precision import course_defaults
from course_lib.progress import progress
from course_lib.recipes.fitting import fit
from course_lib.recipes.recipe import Facts, Recipe
from course_lib.training import Runtime, accuracy


def train_digit_classifier(rt: Runtime, quiet: bool = False) -> tuple[nn.Module, Facts]:
    """`DigitCNN` on the 60,000 MNIST training images, slightly rotated, scaled and shifted at random.

    24 epochs of `fit`; the weights handed out are the last ones. The test set is not looked at before the end.
    """
    x, y = data.mnist("train")
    batches = data.Stream(rt.place(x), y.to(rt.device), batch=128, generator=rt.generator(1))
    augment = rt.generator(2)
    model = rt.place(DigitCNN())

    def loss(minibatch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = minibatch
        return F.cross_entropy(model(random_affine(images, augment)), labels, label_smoothing=0.05)

    facts = fit(
        rt,
        model,
        batches,
        loss,
        images=24 * len(x),
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

    Amounts are uniform: rotation within ±`degrees`, scale within 1 ± `scale`, shift within ±`shift` of the
    image's width, shear within ±`shear`. What comes from outside the image is background (-1).
    """
    r = (2 * torch.rand(5, len(x), generator=generator) - 1).to(x.device)
    angle, zoom, skew = r[0] * math.radians(degrees), 1 + r[1] * scale, r[2] * shear
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    rows = [
        torch.stack([cos, -sin + skew, 2 * shift * r[3]], 1),
        torch.stack([sin, cos, 2 * shift * r[4]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)  # (N, H, W, 2)
    # grid_sample fills with 0, which is grey here: move the background there and back
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


def score_digit_classifier(model: nn.Module, n: int = 10_000) -> dict[str, Score]:
    """Accuracy on the 10,000 MNIST test images with its 95 % interval (normal approximation)."""
    x, y = (part[:n] for part in data.mnist("test"))
    return {"test accuracy": proportion(accuracy(model, x, y), len(x))}


def record_cnn_learning_curve(rt: Runtime, quiet: bool = False) -> Facts:
    """Test accuracy of `DigitCNN` trained on few images: 5 seeds for each of 5 sizes (chapter 1).

    The same number of images of each class, no augmentation; Adam with a one-cycle learning rate and momentum for 600
    steps of 64 images (1,200 from n = 3,000 on), whatever n, so that small sets are seen many times.
    """
    sizes, seeds = (100, 300, 1000, 3000, 10000), 5
    x, y = data.mnist("train")
    x_test, y_test = data.mnist("test")
    runs: list[list[float]] = []
    with progress(seeds * len(sizes), "learning curve", unit=" runs", quiet=quiet) as bar:
        for seed in range(seeds):
            runs.append([])
            for n in sizes:
                keep = balanced_subset(y, n, torch.Generator().manual_seed(seed))
                model = train_small_cnn(rt, x[keep], y[keep], steps=600 if n < 3000 else 1200, seed=seed)
                runs[-1].append(accuracy(model, rt.place(x_test), y_test))
                bar.update(1)
    return {"data": "MNIST", "n_test": len(x_test), "sizes": sizes, "accuracy": runs}


def train_small_cnn(rt: Runtime, x: Tensor, y: Tensor, *, steps: int, seed: int = 0) -> DigitCNN:
    """A `DigitCNN` after `steps` batches of 64 of the images x (N, 1, 28, 28) with labels y (N,)."""
    torch.manual_seed(seed)
    model = rt.place(DigitCNN()).train()
    optimizer = torch.optim.Adam(model.parameters())  # the schedule sets its learning rate and its momentum
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    stream = data.Stream(
        rt.place(x), y.to(rt.device), batch=64, generator=torch.Generator().manual_seed(seed)
    )
    for _, (images, labels) in zip(range(steps), stream, strict=False):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@course_defaults()
def balanced_subset(y: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Indices (n,) of n samples drawn at random with equally many of each class of the labels y (N,).

    Raises:
        ValueError: n is not divisible by the number of classes, or a class has too few samples.
    """
    counts = torch.bincount(y)
    each, rest = divmod(n, len(counts))
    if rest or each < 1 or each > int(counts.min()):
        raise ValueError(
            f"n: expected a multiple of the {len(counts)} classes, with at most {int(counts.min())} of each, got {n}"
        )
    order = torch.randperm(len(y), generator=generator)
    return torch.cat([order[y[order] == k][:each] for k in range(len(counts))])


RECIPES = {
    "digit_classifier": Recipe(
        build=lambda config: DigitCNN(DigitCNNConfig(**{**config, "channels": tuple(config["channels"])})),
        train=train_digit_classifier,
        score=score_digit_classifier,
    ),
}
RECORDS = {"cnn_learning_curve": record_cnn_learning_curve}
