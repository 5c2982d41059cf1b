"""Train a tiny model in processes that are killed at random moments; says how often, and whether the weights agree.

Its own program, because it forks: ``python -m tests.unit.killing FOLDER KILLS``.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from course_lib.data import Stream
from course_lib.training import Runtime, Snapshots, fit, guard

STEPS, BATCH = 120, 8


def train(folder: Path, resume: bool) -> nn.Module:
    """The run, as a process of its own would make it; a snapshot after every second step."""
    guard.SAVES = STEPS // 2
    kept = Snapshots(folder, {"run": "killed"}, resume=resume)
    rt = Runtime("gpu", "cpu", seed=0, snapshots=kept)
    model = rt.place(
        nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, 16)
        )
    )
    noise = rt.noise(2)
    x = torch.rand(50, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def loss(images: torch.Tensor) -> torch.Tensor:
        return (
            (model(images + 0.1 * torch.randn(images.shape, generator=noise)) - images.mean()).square().mean()
        )

    stream = Stream(x, batch=BATCH, generator=rt.generator(1))
    fit(rt, model, stream, loss, images=STEPS * BATCH, batch=BATCH, lr=0.01, what="t", quiet=True)
    return model


def attempt(folder: Path, resume: bool, seconds: float | None) -> bool:
    """A run in a child, killed after `seconds`; whether it came to its end."""
    child = os.fork()
    if not child:
        status = 1
        try:
            model = train(folder, resume)
            torch.save(model.state_dict(), folder / "done.pt")
            status = 0
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("the resumed run failed")
    return os.WIFEXITED(status)


def main(folder: Path, kills: int) -> None:
    """Print how many processes were killed and in how many runs, and whether all runs ended with equal weights."""
    torch.set_num_threads(1)
    random.seed(0)
    start = time.monotonic()
    (folder / "whole").mkdir(parents=True)
    attempt(folder / "whole", False, None)
    whole = time.monotonic() - start
    expected = torch.load(folder / "whole" / "done.pt", weights_only=True)
    killed, runs, writing = 0, 0, 0
    while killed < kills:
        runs += 1
        one = folder / str(runs)
        one.mkdir()
        while not attempt(one, any(one.glob("*.safetensors")), random.uniform(0.0, whole)):
            killed += 1
            writing += bool(list(one.glob(".*.tmp")))  # it was killed while it wrote
            if killed % 10 == 0:  # now and then let it come to an end, or it might take long
                attempt(one, any(one.glob("*.safetensors")), None)
                break
        found = torch.load(one / "done.pt", weights_only=True)
        if not all(torch.equal(found[key], expected[key]) for key in expected):
            raise SystemExit(f"run {runs} ended with other weights")
    print(f"killed {killed} times in {runs} runs, {writing} times while writing: all weights equal")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
