"""How fast the course's loops train, beside plain ones: the same networks, data, minibatches and machine, in one run.

The plain loops are what most tutorials have: a `DataLoader` that transforms picture after picture, float32, NCHW, the
generator's step through the discriminator's weights too, and a loss that is read in every step. Ours is
`course_lib.training.duel`, in the precision that the machine is fastest in. They take turns; the median of the ratios
counts. The memory is that of a process of its own.

    python -m benchmarks.training [--quick] [--device cuda] [--precision float32] [--compile] [WORD ...]
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from course_lib import data
from course_lib.gans import GAN, GANConfig
from course_lib.gans.losses import gradient_penalty, nonsaturating, wasserstein
from course_lib.training import Runtime, duel

TURNS = 7
SECONDS = 6.0  # of each turn, about


@dataclass(frozen=True)
class Case:
    """A game: its networks, how it is played, and how a plain loop plays it."""

    name: str
    config: GANConfig
    batch: int
    settings: dict[str, Any]
    plain: Callable[[GAN, Iterator[Tensor], int, torch.device], list[float]]
    losses: dict[str, list[float]] = field(default_factory=lambda: {"ours": [], "plain": []})


class Pictures(Dataset[Tensor]):
    """MNIST as PIL images, transformed one by one when they are asked for."""

    def __init__(self) -> None:
        pixels = data.to_uint8(data.mnist("train")[0])
        self.images = [v2.functional.to_pil_image(x) for x in torch.as_tensor(pixels).reshape(-1, 1, 28, 28)]
        self.transform = v2.Compose(
            [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.images[index])


def endless(loader: DataLoader[Tensor]) -> Iterator[Tensor]:
    """Pass after pass."""
    while True:
        yield from loader


def plain_dcgan(gan: GAN, batches: Iterator[Tensor], steps: int, device: torch.device) -> list[float]:
    """As in PyTorch's tutorial on DCGAN; gives the discriminator's losses."""
    step_D = torch.optim.Adam(gan.D.parameters(), 2e-4, (0.5, 0.999))
    step_G = torch.optim.Adam(gan.G.parameters(), 2e-4, (0.5, 0.999))
    one, seen = nn.BCEWithLogitsLoss(), []
    for _ in range(steps):
        x = next(batches).to(device)
        ones, zeros = torch.ones(len(x), device=device), torch.zeros(len(x), device=device)
        gan.D.zero_grad()
        loss_real = one(gan.D(x), ones)
        loss_real.backward()
        fake = gan.G(torch.randn(len(x), gan.cfg.latent, device=device))
        loss_fake = one(gan.D(fake.detach()), zeros)
        loss_fake.backward()
        step_D.step()
        seen.append(loss_real.item() + loss_fake.item())
        gan.G.zero_grad()
        one(gan.D(fake), ones).backward()
        step_G.step()
    return seen


def plain_wgan_gp(gan: GAN, batches: Iterator[Tensor], steps: int, device: torch.device) -> list[float]:
    """The usual loop after Gulrajani et al. 2017, with one critic step; gives the critic's losses without penalty."""
    step_D = torch.optim.Adam(gan.D.parameters(), 1e-3, (0.0, 0.9))
    step_G = torch.optim.Adam(gan.G.parameters(), 1e-3, (0.0, 0.9))
    seen = []
    for _ in range(steps):
        x = next(batches).to(device)
        step_D.zero_grad()
        fake = gan.G(torch.randn(len(x), gan.cfg.latent, device=device))
        alpha = torch.rand(len(x), 1, 1, 1, device=device)
        between = (alpha * x + (1 - alpha) * fake).detach().requires_grad_(True)
        logits = gan.D(between)
        slope = torch.autograd.grad(
            logits, between, torch.ones_like(logits), create_graph=True, retain_graph=True
        )[0]
        penalty = ((slope.view(len(x), -1).norm(2, dim=1) - 1) ** 2).mean() * 10
        loss = gan.D(fake.detach()).mean() - gan.D(x).mean()
        (loss + penalty).backward()
        step_D.step()
        seen.append(loss.item())
        step_G.zero_grad()
        (-gan.D(gan.G(torch.randn(len(x), gan.cfg.latent, device=device))).mean()).backward()
        step_G.step()
    return seen


CASES = (
    Case(
        "DCGAN, 28 x 28",
        GANConfig(),
        64,
        {"loss": nonsaturating, "lr": (2e-4, 2e-4), "decay": 0.0},
        plain_dcgan,
    ),
    Case(
        "WGAN-GP, 28 x 28",
        GANConfig(normalise=False, refine=2),
        32,
        {
            "loss": wasserstein,
            "penalties": [(gradient_penalty, 10.0)],
            "lr": (1e-3, 1e-3),
            "betas": (0.0, 0.9),
            "decay": 0.0,
        },
        plain_wgan_gp,
    ),
)


def clock() -> float:
    """Seconds of the processor if the loops have one thread, which other programs hardly disturb; else of the clock."""
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return time.process_time() if alone else time.perf_counter()


def play(case: Case, kind: str, steps: int, seed: int, options: argparse.Namespace) -> tuple[float, float]:
    """Images per second of one turn, and the discriminator's mean loss in its last half."""
    rt = Runtime("gpu", options.device, seed=seed, precision=options.precision, compile=options.compile)
    gan, images = GAN(case.config), steps * case.batch
    if kind == "plain":
        loader = DataLoader(Pictures(), batch_size=case.batch, shuffle=True, drop_last=True)
        batches = endless(loader)
        next(batches)  # what is made once is not counted
        gan = gan.to(rt.device)
        start = clock()
        seen = case.plain(gan, batches, steps, rt.device)
    else:
        losses: list[Tensor] = []
        gan = rt.place(gan)
        stream = data.Stream(rt.place(data.mnist("train")[0]), batch=case.batch, generator=rt.generator(1))
        settings = {**case.settings, "images": images, "batch": case.batch, "what": case.name, "quiet": True}
        start = clock()
        duel(rt, gan, stream, watch=lambda _, verdict: losses.append(verdict.loss), **settings)
        seen = torch.stack(losses).tolist()
    return images / (clock() - start), statistics.fmean(seen[len(seen) // 2 :])


def memory(case: int, kind: str, options: argparse.Namespace) -> float:
    """Largest memory in MB of a process that takes one short turn: the GPU's if there is one."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.training",
        "--turn",
        str(case),
        kind,
        "--device",
        options.device,
    ]
    command += ["--precision", options.precision]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def turn(options: argparse.Namespace) -> None:
    """Print the memory that one short turn took."""
    case, kind = CASES[int(options.turn[0])], options.turn[1]
    play(case, kind, 20, 0, options)
    if options.device == "cuda":
        print(torch.cuda.max_memory_allocated() / 1e6)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e3 if sys.platform == "linux" else 1e6))


def compare(case: Case, number: int, options: argparse.Namespace) -> float:
    """Let both loops take turns, print a row each; returns the median ratio."""
    probe = 30
    rate, _ = play(case, "plain", probe, 0, options)
    play(case, "ours", probe, 0, options)  # warms up
    steps = max(probe, math.ceil((1.0 if options.quick else SECONDS) * rate / case.batch))
    rates: dict[str, list[float]] = {"ours": [], "plain": []}
    for k in range(3 if options.quick else TURNS):
        for kind in ("plain", "ours") if k % 2 else ("ours", "plain"):
            found, loss = play(case, kind, steps, k, options)
            rates[kind].append(found)
            case.losses[kind].append(loss)
    ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates["plain"], strict=True))
    for kind, values in rates.items():
        loss = torch.tensor(case.losses[kind])
        error = 1.96 * float(loss.std()) / math.sqrt(len(loss))
        print(
            f"{case.name:18s} {kind:6s} {statistics.median(values):8.0f} images/s  loss of D {loss.mean():7.3f} ± "
            f"{error:.3f}  {memory(number, kind, options):7.0f} MB"
        )
    print(
        f"{case.name:18s} ratio  {ratio:8.2f} (median of {len(rates['ours'])} turns of {steps} steps)\n",
        flush=True,
    )
    return ratio


def main(arguments: list[str] | None = None) -> int:
    """Compare the cases whose names contain one of the words; 1 if a ratio is below 1.5 on a CPU, 3 on a GPU."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description=__doc__.splitlines()[0]
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of a case's name; all without")
    parser.add_argument("--quick", action="store_true", help="short turns, to see that it runs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="fast")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--turn", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.turn:
        turn(options)
        return 0
    rt = Runtime("gpu", options.device)
    print(f"{rt}, precision {options.precision}, torch {torch.__version__}\n")
    wanted = 3.0 if rt.device.type == "cuda" else 1.5
    chosen = [
        (case, number)
        for number, case in enumerate(CASES)
        if not options.words or any(word in case.name for word in options.words)
    ]
    ratios = [compare(case, number, options) for case, number in chosen]
    return int(not options.quick and min(ratios) < wanted)


if __name__ == "__main__":
    sys.exit(main())
