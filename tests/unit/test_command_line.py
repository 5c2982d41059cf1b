"""The command line as a student meets it: help, a short training elsewhere, Ctrl-C, full disks, exit statuses."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from course_lib import zoo
from course_lib.commands import spoken
from course_lib.commands.zoo import main
from course_lib.training.resume import Snapshot
from tools.project import ROOT

ZOO = [sys.executable, "-m", "course_lib.zoo"]


def test_help_names_every_command_and_shows_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for word in (
        "list",
        "train",
        "verify",
        "record",
        "export",
        "examples:",
        "--resume",
        "torchrun",
        "exit status",
    ):
        assert word in shown


@pytest.mark.parametrize("words", [["train"], ["train", "x", "--budget", "tiny"], ["paint"], []])
def test_a_mistyped_command_is_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def test_a_shorter_training_must_not_replace_what_ships(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "dcgan_mnist", "--budget", "smoke"])
    assert ended.value.code == 2
    assert "--out" in capsys.readouterr().err


def test_a_short_training_elsewhere_can_be_loaded_and_leaves_no_snapshots(tmp_path, capsys):
    before = zoo.info("wgan_discs")
    out = str(tmp_path / "drive")
    assert main(["train", "wgan_discs", "--budget", "smoke", "--device", "cpu", "--out", out]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card == json.loads((tmp_path / "drive" / "wgan_discs.json").read_text())
    assert card["images_seen"] <= 20 * 32 * 5
    model = zoo.load("wgan_discs", folder=tmp_path / "drive")
    assert model.sample(2, torch.Generator().manual_seed(0)).shape == (2, 1, 64, 64)
    assert not (tmp_path / "drive" / "training" / "wgan_discs").exists()
    assert zoo.info("wgan_discs") == before


def test_ctrl_c_keeps_the_training_and_says_how_to_go_on(tmp_path):
    command = [*ZOO, "train", "vae_mnist_2", "--device", "cpu", "--out", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        seen = ""
        while "images/s" not in seen:  # it has begun; a bar has no end of line
            seen += process.stderr.read(40)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert f"kept; go on with: {zoo.COMMAND} train vae_mnist_2 --device cpu --out {tmp_path} --resume" in said
    (kept,) = (tmp_path / "training" / "vae_mnist_2").glob("*.safetensors")
    assert Snapshot(kept).load()["images_seen"] > 0


def test_an_exported_generator_needs_pytorch_alone(tmp_path):
    path = tmp_path / "generator.pt2"
    assert main(["export", "cdcgan_mnist", "--out", str(path)]) == 0
    script = (
        "import sys, torch; sys.modules['course_lib'] = None\n"
        f"run = torch.export.load({str(path)!r}).module()\n"
        "z = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))\n"
        f"torch.save(run(z, torch.arange(5)), {str(tmp_path / 'x.pt')!r})"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    gan = zoo.load("cdcgan_mnist")
    z = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.load(tmp_path / "x.pt", weights_only=True), gan.G(z, torch.arange(5)))


@pytest.mark.parametrize(
    "name", ["ae_mnist_8", "vae_mnist_20", "digit_classifier", "dcgan_avatars", "vae_discs"]
)
def test_what_is_exported_gives_what_the_model_gives(name, tmp_path, capsys):
    path = tmp_path / "model.pt2"
    assert main(["export", name, "--out", str(path)]) == 0
    assert "torch.export.load" in capsys.readouterr().out
    model = zoo.load(name)
    used = next((part for key in ("G", "decoder") if (part := getattr(model, key, None)) is not None), model)
    x = torch.randn(3, 1, 28, 28) if name == "digit_classifier" else torch.randn(3, model.cfg.latent)
    torch.testing.assert_close(torch.export.load(str(path)).module()(x), used(x))


@pytest.mark.parametrize("name", ["vq_mnist", "token_prior", "vae_two_level"])
def test_what_cannot_be_exported_is_said_in_one_line(name, tmp_path, capsys):
    assert main(["export", name, "--out", str(tmp_path / "model.pt2")]) == 1
    said = capsys.readouterr().err
    assert "export: expected a generator, a decoder or a classifier" in said
    assert said.count("\n") == 1


def test_a_full_gpu_is_one_line_with_what_to_do(capsys):
    def full():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nmore lines")

    assert spoken(full) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for word in ("memory is full", "--resume", "--accumulate 2", "--device cpu"):
        assert word in said


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_named_before_the_training(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["train", "dcgan_mnist", "--budget", "smoke", "--out", str(tmp_path / "x")]) == 1
    assert "expected to be able to write the trained weights" in capsys.readouterr().err


def test_a_full_disk_during_the_training_leaves_the_snapshot_before_and_says_how_to_go_on(
    tmp_path, capsys, monkeypatch
):
    real, writes = os.fsync, []

    def full_the_third_time(descriptor):
        writes.append(descriptor)
        if len(writes) >= 3:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full_the_third_time)
    words = ["train", "wgan_discs", "--budget", "smoke", "--device", "cpu", "--out", str(tmp_path)]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "No space left" in said
    assert "--resume" in said
    kept = sorted((tmp_path / "training" / "wgan_discs").glob("*.safetensors"))
    assert [Snapshot(path).load()["number"] for path in kept] == [0, 1]
    monkeypatch.setattr(os, "fsync", real)
    assert main([*words, "--resume"]) == 0
