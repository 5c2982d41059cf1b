"""Two processes train what one does: the same gradients, no image twice, in step; and one that dies ends the other."""

import subprocess
import sys
import time

import pytest
import torch

from tools.project import ROOT


def start(folder, what, processes):
    module = ["-m", "tests.unit.two_processes", str(folder), what]
    if processes > 1:
        run = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        module = [*run, *module]
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, *module], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    return done, time.monotonic() - begun


def results(folder, what, processes):
    done, _ = start(folder, what, processes)
    assert done.returncode == 0, done.stderr
    files = [folder / f"{what}-{rank}-of-{processes}.pt" for rank in range(processes)]
    return [torch.load(file, weights_only=True) for file in files]


def test_gradients_of_critic_and_generator_are_those_of_the_whole_minibatch(tmp_path):
    (whole,) = results(tmp_path, "gradients", 1)
    parts = results(tmp_path, "gradients", 2)
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 0.01
    for part in parts:
        for name, gradient in whole.items():
            assert float((part[name] - gradient).abs().max()) <= 1e-5, name


def test_no_image_is_seen_by_both_and_none_is_missed(tmp_path):
    (whole,) = results(tmp_path, "rows", 1)
    first, second = (part["rows"] for part in results(tmp_path, "rows", 2))
    assert torch.equal(torch.cat([first, second], 1), whole["rows"])  # the same minibatches, cut in two
    assert sorted(torch.cat([first.flatten(), second.flatten()]).tolist()) == list(range(64))


def test_two_processes_stay_in_step_over_200_iterations_and_near_the_single_one(tmp_path):
    first, second = results(tmp_path, "game", 2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    (whole,) = results(tmp_path, "game", 1)
    size = max(float(weight.abs().max()) for weight in whole.values())
    # Sums are rounded in another order, and a game makes such differences larger; that they stay small is the point.
    assert max(float((first[name] - whole[name]).abs().max()) for name in whole) < 0.05 * size


def test_a_growing_model_with_layers_at_rest_stays_in_step(tmp_path):
    first, second = results(tmp_path, "growing", 2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    (whole,) = results(tmp_path, "growing", 1)
    assert max(float((first[name] - whole[name]).abs().max()) for name in whole) < 0.02


def test_two_processes_keep_snapshots_and_go_on_from_them(tmp_path):
    """They look at each other's losses every 50 steps, and write every 12th; both must do both in the same steps."""
    done, _ = start(tmp_path, "stopped", 2)
    assert done.returncode != 0
    assert "stopped in step 180" in done.stderr
    assert len(list((tmp_path / "snapshots").glob("1-?.safetensors"))) == 2
    resumed = results(tmp_path, "resumed", 2)
    whole = results(tmp_path, "whole", 2)
    for one in resumed:
        assert all(torch.equal(one[name], whole[0][name]) for name in one)


def test_one_process_that_dies_ends_the_other_with_a_message(tmp_path):
    done, seconds = start(tmp_path, "dies", 2)
    assert done.returncode != 0
    assert seconds < 120
    assert "error: the second process has had enough" in done.stderr
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize("processes", [3])
def test_a_minibatch_that_cannot_be_shared_is_named(tmp_path, processes):
    done, _ = start(tmp_path, "gradients", processes)
    assert done.returncode != 0
    assert "batch: expected a multiple of 3, the number of processes, got 16" in done.stderr
