"""Experiments that are too long for a page, recorded by ``python -m course_lib.zoo record NAME``: one file each."""

import importlib
from pathlib import Path

from course_lib import data, zoo
from course_lib.cards import Facts, full_name
from course_lib.recipes.making import hardware
from course_lib.training import Runtime, Snapshots

EXPERIMENTS = {  # name -> the function's module and name; a module is imported when its experiment is run
    "cnn_learning_curve": "course_lib.experiments.learning_curve.record_cnn_learning_curve",
    "critic_progress": "course_lib.experiments.critic_progress.record_critic",
    "diffusion_steps": "course_lib.experiments.diffusion_steps.record_diffusion_steps",
    "disentanglement": "course_lib.experiments.disentanglement.record_disentanglement",
    "grid_of_25": "course_lib.experiments.grid_of_25.record_grid",
    "four_losses": "course_lib.experiments.four_losses.record_four_losses",
    "leaderboard": "course_lib.leaderboard.record.record_leaderboard",
    "stylegan": "course_lib.experiments.stylegan.record_stylegan",
    "stylegan_ablation": "course_lib.experiments.stylegan_ablation.record_stylegan_ablation",
    "matching": "course_lib.experiments.matching.record_matching",
}


def record(name: str, *, device: str | None = None, quiet: bool = False, resume: bool = False) -> Facts:
    """Run the experiment `name` in full and write ``data/records/NAME.json``; returns what it holds.

    Its parts (`Runtime.part`) are kept until it is through. ValueError: no such experiment, nothing to resume, or a
    part of another run. PermissionError: the data folder cannot be written.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment: expected one of {', '.join(sorted(EXPERIMENTS))}, got {name!r}")
    module, function = EXPERIMENTS[name].rsplit(".", 1)
    run = getattr(importlib.import_module(module), function)
    data.require_writable(data.data_folder() / zoo.RECORDS, "the record")
    kept = Snapshots(folder(name), {"record": name, "seed": 0, "device": device or "the best"}, resume=resume)
    rt = Runtime("gpu", device, seed=0, snapshots=kept)
    facts = run(rt, quiet)
    card = {"name": name, "recipe": full_name(run), "hardware": hardware(rt)}
    card |= {"minutes": round(rt.seconds / 60, 1), **facts}
    zoo.write_card(f"{zoo.RECORDS}/{name}.json", card)
    kept.remove()
    return card


def folder(name: str) -> Path:
    """Where the finished parts of an interrupted experiment lie."""
    return data.cache_folder() / "training" / f"record-{name}"
