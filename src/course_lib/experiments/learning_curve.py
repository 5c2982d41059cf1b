"""How much better a digit classifier gets with more pictures (chapter 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import data
from course_lib.cards import Facts
from course_lib.classifiers import DigitCNN
from course_lib.progress import progress
from course_lib.training import Runtime, accuracy


def record_cnn_learning_curve(rt: Runtime, quiet: bool = False) -> Facts:
    """Test accuracy of `DigitCNN` trained on few images, as many of each class: 5 seeds for each of 5 sizes."""
    sizes, seeds = (100, 300, 1000, 3000, 10000), 5
    x, y = data.mnist("train")
    x_test, y_test = data.mnist("test")
    runs: list[list[float]] = []
    with progress(seeds * len(sizes), "learning curve", unit=" runs", quiet=quiet) as bar:
        for seed in range(seeds):
            runs.append([])
            for n in sizes:

                def one(n: int = n, seed: int = seed) -> float:
                    keep = data.balanced_subset(y, n, torch.Generator().manual_seed(seed))
                    model = train_small_cnn(rt, x[keep], y[keep], steps=600 if n < 3000 else 1200, seed=seed)
                    return accuracy(model, rt.place(x_test), y_test)

                runs[-1].append(rt.part(f"{n}-{seed}", one))
                bar.update(1)
    return {"data": "MNIST", "n_test": len(x_test), "sizes": sizes, "accuracy": runs}


def train_small_cnn(rt: Runtime, x: Tensor, y: Tensor, *, steps: int, seed: int = 0) -> DigitCNN:
    """A `DigitCNN` after `steps` batches of 64 of the images x (N, 1, 28, 28) with labels y (N,)."""
    torch.manual_seed(seed)
    model = rt.place(DigitCNN()).train()
    optimizer = torch.optim.Adam(model.parameters())  # the schedule sets its learning rate and its momentum
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    stream = data.Stream(rt.place(x), y.to(rt.device), batch=64, generator=generator)
    for _, (images, labels) in zip(range(steps), stream, strict=False):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()
