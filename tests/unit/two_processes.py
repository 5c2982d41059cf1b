"""What each process of a training by two does and writes down: ``torchrun --nproc-per-node 2 -m ... FOLDER WHAT``."""

import os
import sys
from pathlib import Path

import torch
from torch import nn

from course_lib.commands import spoken
from course_lib.data import Stream
from course_lib.gans import GAN, GANConfig
from course_lib.gans.losses import Objective, gradient_penalty, nonsaturating, r1, wasserstein
from course_lib.gans.stylegan import Growing, PathLength, StyleGAN, StyleGANConfig
from course_lib.training import EMA, Runtime, Snapshots, duel, fit
from course_lib.training.distributed import own_rows, parallel, world
from course_lib.training.scaled import Scaled

N, BATCH = 64, 16


def without_normalisation(rt: Runtime) -> GAN:
    """Batch normalisation would see the rows of one process only."""
    torch.manual_seed(0)
    gan = GAN(GANConfig(resolution=8, width=4, latent=5, normalise=False))
    layers = [nn.Identity() if isinstance(layer, nn.BatchNorm2d) else layer for layer in gan.G.net]
    gan.G.net = nn.Sequential(*layers)
    return rt.place(gan)


def gradients(rt: Runtime) -> dict[str, torch.Tensor]:
    """Those of a WGAN-GP's critic and generator for one minibatch of `BATCH`, whoever works on its rows."""
    gan, noise = without_normalisation(rt), rt.noise(2)
    x = own_rows(torch.rand(BATCH, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    objective = Objective(gan.D, wasserstein, [(gradient_penalty, 10.0)])
    scaled, n = Scaled(rt), len(x)
    with torch.no_grad():
        fake = gan.G(gan.codes(n, noise))
    scaled.backward(parallel(gan.D, lambda x, fake: objective(x, fake, noise).total), (x, fake))
    step = parallel(gan.G, lambda z: -gan.D(gan.G(z)).mean())
    scaled.backward(step, (gan.codes(n, noise),), list(gan.G.parameters()))
    return {name: weight.grad.clone() for name, weight in gan.named_parameters()}


def game(rt: Runtime, steps: int, watch: object = None) -> dict[str, torch.Tensor]:
    """The weights after `steps` generator steps of a WGAN-GP, and their average."""
    gan = without_normalisation(rt)
    average = EMA(gan.G, 100)
    x = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    stream = Stream(rt.place(x), batch=BATCH, generator=rt.generator(1))
    settings = {
        "loss": wasserstein,
        "penalties": [(gradient_penalty, 10.0)],
        "images": steps * BATCH,
        "batch": BATCH,
    }
    settings |= {"lr": (1e-3, 1e-3), "average": average, "watch": watch, "what": "t", "quiet": True}
    duel(rt, gan, stream, **settings)
    return gan.state_dict()


def growing(rt: Runtime) -> dict[str, torch.Tensor]:
    """The weights of a small StyleGAN after growing once, with lazy penalties and path lengths."""
    torch.manual_seed(0)
    gan = rt.place(StyleGAN(StyleGANConfig(resolution=16, width=4, widest=8, latent=5)))
    x = torch.rand(N, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    stream = Stream(rt.place(x), batch=BATCH, generator=rt.generator(1))
    settings = {"loss": nonsaturating, "penalties": [(r1, 1.0)], "every": 2, "smooth": PathLength(every=2)}
    settings |= {"images": 8 * BATCH, "batch": BATCH, "lr": (1e-3, 1e-3), "average": EMA(gan.G, 100)}
    stages = [(8, 4 * BATCH), (16, 4 * BATCH)]
    duel(rt, gan, Growing(stream, gan, stages), **settings, what="t", quiet=True)
    return gan.state_dict()


def rows_seen(rt: Runtime) -> dict[str, torch.Tensor]:
    """Which of 64 numbered images `fit` gives this process in one pass, in order."""
    seen, model = [], nn.Linear(1, 1)
    numbers = torch.arange(N, dtype=torch.float32)[:, None]

    def loss(x: torch.Tensor) -> torch.Tensor:
        seen.append(x[:, 0].detach())
        return model(x / N).square().mean()

    stream = Stream(numbers, batch=BATCH, generator=rt.generator(1))
    fit(rt, model, stream, loss, images=N, batch=BATCH, lr=1e-3, warm=0.5, what="t", quiet=True)
    return {"rows": torch.stack(seen)}


def dies(rt: Runtime) -> dict[str, torch.Tensor]:
    """The second process is gone after some steps; the first one would wait for it."""

    def watch(seen: int, _: object) -> None:
        if rt.rank == 1 and seen == 20 * BATCH:
            raise ValueError("the second process has had enough")

    return game(rt, 10_000, watch)


def kept(rt: Runtime, resume: bool) -> dict[str, torch.Tensor]:
    """A game with snapshots, longer than the processes go between two looks at each other; stopped, or resumed."""
    folder = Path(sys.argv[1]) / "snapshots"
    rt.snapshots = Snapshots(folder, {"run": "t"}, resume=resume)

    def watch(seen: int, _: object) -> None:
        if not resume and seen == 180 * BATCH:
            raise ValueError("stopped in step 180")

    return game(rt, 240, watch)


TASKS = {
    "stopped": lambda rt: kept(rt, False),
    "resumed": lambda rt: kept(rt, True),
    "whole": lambda rt: game(rt, 240),
    "gradients": gradients,
    "game": lambda rt: game(rt, 200),
    "rows": rows_seen,
    "growing": growing,
    "dies": dies,
}


def run(folder: Path, what: str) -> int:
    """Do it and write down what came out, one file for each process."""
    torch.set_num_threads(1)
    found = TASKS[what](Runtime("gpu", "cpu", seed=0))
    torch.save(found, folder / f"{what}-{world()[0]}-of-{world()[1]}.pt")
    return 0


if __name__ == "__main__":
    status = spoken(lambda: run(Path(sys.argv[1]), sys.argv[2]))
    sys.stderr.flush()
    os._exit(status)  # without waiting for the other process
