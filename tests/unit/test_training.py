"""The runtime: budgets, devices, seeds, evaluation, progress."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import progress as progress_module
from course_lib.progress import progress
from course_lib.training import Runtime, accuracy, batched


def test_budget_comes_from_the_argument_then_the_environment_then_the_machine(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    assert Runtime("gpu", "cpu").budget(smoke=1, cpu=2, gpu=3) == 3
    assert Runtime(device="cpu").budget(smoke=1, cpu=2, gpu=3) == 1
    assert not Runtime(device="cpu").judged
    monkeypatch.delenv("COURSE_BUDGET")
    assert Runtime(device="cpu").budget(smoke=1, cpu=2, gpu=3) == 2
    assert "cpu" in repr(Runtime(device="cpu"))


def test_wrong_budget_and_device_are_named(monkeypatch):
    with pytest.raises(ValueError, match="'huge'"):
        Runtime("huge")
    monkeypatch.setenv("COURSE_BUDGET", "tiny")
    with pytest.raises(ValueError, match=r"COURSE_BUDGET.*'tiny'"):
        Runtime()
    with pytest.raises(ValueError, match="that this machine has, got 'nonsense'"):
        Runtime("cpu", "nonsense")


def test_a_seed_gives_the_same_weights_and_streams():
    first = [Runtime("cpu", "cpu", seed=5), nn.Linear(3, 3).weight.clone()]
    second = [Runtime("cpu", "cpu", seed=5), nn.Linear(3, 3).weight.clone()]
    assert torch.equal(first[1], second[1])
    draws = [
        torch.randn(4, generator=rt.generator(stream))
        for rt, stream in ((first[0], 1), (second[0], 1), (first[0], 2))
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_generators_in_use_are_remembered_and_others_forgotten():
    rt = Runtime("cpu", "cpu")
    first = rt.generator(3)
    for _ in range(100):
        rt.generator(4)
    second = rt.generator(3)
    assert [(stream, id(found)) for stream, found in rt.generators_in_use()] == [
        (3, id(first)),
        (3, id(second)),
    ]
    assert len(rt._generators) == 2  # a generator per step does not fill the memory


def test_a_dropped_generator_is_forgotten():
    rt = Runtime("cpu", "cpu")
    kept, dropped = rt.generator(1), rt.generator(2)
    assert [stream for stream, _ in rt.generators_in_use()] == [1, 2]
    del dropped
    assert [(stream, found is kept) for stream, found in rt.generators_in_use()] == [(1, True)]


def test_the_seed_comes_from_the_argument_then_the_environment_then_is_zero(monkeypatch):
    monkeypatch.setenv("COURSE_SEED", "7")
    assert Runtime("cpu", "cpu", seed=3).seed == 3
    assert Runtime("cpu", "cpu").seed == 7
    weights = nn.Linear(3, 3).weight.clone()
    Runtime("cpu", "cpu", seed=7)
    assert torch.equal(nn.Linear(3, 3).weight, weights)
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("COURSE_SEED")
        else:
            monkeypatch.setenv("COURSE_SEED", unset)
        assert Runtime("cpu", "cpu").seed == 0


@pytest.mark.parametrize("seed", ["-1", "1.5", "seven", "²", str(2**32)])
def test_a_wrong_seed_of_the_environment_is_named(monkeypatch, seed):
    monkeypatch.setenv("COURSE_SEED", seed)
    with pytest.raises(
        ValueError, match=rf"COURSE_SEED: expected a whole number from 0 to 4294967295, got '{seed}'"
    ):
        Runtime("cpu", "cpu")


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0.4, "0 min 0 s"),
        (59.4, "0 min 59 s"),
        (59.6, "1 min 0 s"),
        (299.7, "5 min 0 s"),
        (3601, "60 min 1 s"),
    ],
)
def test_elapsed_time_has_no_sixty_seconds(seconds, says):
    rt = Runtime("cpu", "cpu")
    rt.start -= seconds
    assert rt.elapsed().startswith(f"{says} on CPU")


def test_place_changes_the_layout_and_not_the_values():
    rt, x = Runtime("cpu", "cpu"), torch.randn(2, 3, 8, 8)
    placed = rt.place(x)
    assert placed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(placed, x)
    conv = nn.Conv2d(3, 4, 3)
    expected = conv(x)
    assert torch.allclose(rt.place(conv)(placed), expected, atol=1e-5)
    assert rt.place(torch.arange(3)).tolist() == [0, 1, 2]


def test_batched_equals_one_batch_and_builds_no_graph():
    """In double precision: kernels sum in another order for another batch size."""
    net, x = nn.Linear(5, 2).double(), torch.randn(103, 5, dtype=torch.float64)
    out = batched(net, x, batch=10)
    assert torch.allclose(out, net(x), rtol=0, atol=1e-12)
    assert not out.requires_grad


def test_accuracy_counts_in_eval_mode_and_restores_the_mode():
    class Parity(nn.Module):
        """Right in eval mode only."""

        def forward(self, x):
            right = nn.functional.one_hot(x[:, 0].long() % 2, 2).float()
            return -right if self.training else right

    x = torch.arange(10.0).view(10, 1)
    model = Parity().train()
    assert accuracy(model, x, torch.arange(10) % 2, batch=3) == 1.0
    assert accuracy(model, x, torch.zeros(10, dtype=torch.int64)) == 0.5
    assert model.training


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: batched(nn.Identity(), np.ones(3)), TypeError),
        (lambda: batched(nn.Identity(), torch.empty(0, 2)), ValueError),
        (lambda: batched(nn.Identity(), torch.ones(3), batch=0), ValueError),
        (lambda: accuracy(nn.Identity(), torch.ones(3, 2), torch.ones(3)), TypeError),
        (lambda: accuracy(nn.Identity(), torch.ones(3, 2), torch.ones(2, dtype=torch.int64)), ValueError),
        (lambda: progress(0, "nothing"), ValueError),
    ],
)
def test_bad_input_is_refused(call, error):
    with pytest.raises(error, match=r"expected|whole number"):
        call()


def test_progress_in_a_notebook_updates_one_display(monkeypatch):
    """However many steps, a page gets one output, and nothing of it is left at the end."""
    shown, updates = [], []

    class Handle:
        def update(self, line, raw):
            updates.append(line)

    monkeypatch.setattr(progress_module, "_in_kernel", lambda: True)
    monkeypatch.setattr(
        "IPython.display.display", lambda line, raw, display_id: shown.append(line) or Handle()
    )
    with progress(1000, "training") as bar:
        for _ in range(1000):
            bar.update(1)
    assert len(shown) == 1
    assert "training:" in shown[0]["text/plain"]
    assert updates[-1] == {"text/plain": "", "text/html": ""}  # a full bar says nothing
    assert len(updates) < 20


def test_progress_in_a_terminal_is_tqdm(capsys):
    with progress(10, "training") as bar:
        bar.update(10)
    assert "training: 100%" in capsys.readouterr().err


def test_import_is_cheap():
    """Beyond torch, the package takes at most 0.1 s to import, and no plotting or data library comes with it."""
    code = (
        "import torch, sys, time, json; a = time.perf_counter(); import course_lib; "
        "t = time.perf_counter() - a; "
        "heavy = [m for m in ('matplotlib', 'torchvision', 'sklearn') if m in sys.modules]; "
        "print(json.dumps([t, heavy]))"
    )
    runs = [
        json.loads(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        )
        for _ in range(3)
    ]
    assert min(t for t, _ in runs) <= 0.1
    assert runs[0][1] == []


def test_a_seed_that_is_no_number_is_told_what_it_has_to_be():
    with pytest.raises(TypeError, match=r"seed must be a whole number >= 0.*received '0' of type str"):
        Runtime("smoke", "cpu", seed="0")
