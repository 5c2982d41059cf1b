"""Making a checkpoint by its recipe, and verifying the scores that its card claims."""

import dataclasses
import io
import json
import math
import platform
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from course_lib import data, zoo
from course_lib.cards import tolerance
from course_lib.data.files import write_atomically
from course_lib.recipes import (
    autoencoders,
    avatars,
    diffusion,
    digits,
    gans,
    r3gan,
    stylegan,
    swaps,
    tokenizers,
    transfer,
    vae,
    vq,
)
from course_lib.recipes.recipe import Recipe
from course_lib.training import Runtime, Snapshots

RECIPES: dict[str, Recipe] = {**digits.RECIPES, **avatars.RECIPES, **autoencoders.RECIPES}
RECIPES |= {**vae.RECIPES, **vq.RECIPES, **gans.RECIPES, **stylegan.RECIPES}
RECIPES |= {**r3gan.RECIPES, **tokenizers.RECIPES, **swaps.RECIPES, **transfer.RECIPES}
RECIPES |= diffusion.RECIPES


def make(
    name: str, *, resume: bool = False, quiet: bool = False, out: Path | None = None, **settings: Any
) -> dict[str, Any]:
    """Run the recipe of `name`, write both files of its checkpoint and their checksums; returns its card.

    With `resume` the run goes on from its snapshots in `training_folder`. `out` is a folder for all files instead of
    the course's own; `settings` are the `Runtime`'s. ValueError: no such recipe, nothing to resume, or another run;
    PermissionError: the folder cannot be written; DataFileError: both snapshots are damaged; TrainingDiverged.
    """
    recipe = find(name)
    data.require_writable(out or data.data_folder() / zoo.FOLDER, "the trained weights")
    run = {"checkpoint": name, "recipe": recipe.name, **recipe.settings}
    kept = Snapshots(training_folder(name, out), run, resume=resume)
    rt = Runtime(**{"budget": "gpu", "seed": 0, **settings}, snapshots=kept)
    model, facts = recipe.train(rt, quiet, **recipe.settings)
    minutes = rt.seconds / 60
    if rt.rank:  # of several processes the first one scores and writes
        return {}
    # Scores are those of the weights as shipped, in half precision, and on the CPU, where `verify` repeats them.
    weights = {k: w.half() if w.is_floating_point() else w for k, w in model.cpu().state_dict().items()}
    model.load_state_dict({k: w.float() if w.is_floating_point() else w for k, w in weights.items()})
    card = {
        "name": name,
        "recipe": recipe.name,
        "settings": recipe.all_settings(),
        "architecture": type(model).__name__,
        "config": dataclasses.asdict(model.cfg),
        "seed": rt.seed,
        **facts,
        "hardware": hardware(rt),
        "minutes": round(minutes, 1),
        "scores": recipe.score(model),
    }
    content = safetensors.torch.save({k: w.contiguous() for k, w in weights.items()})
    if out:
        write_atomically(out / f"{name}.safetensors", content)
        write_atomically(out / f"{name}.json", (json.dumps(card, indent=2) + "\n").encode())
    else:
        zoo.write(f"{zoo.FOLDER}/{name}.safetensors", content, recipe.name)
        zoo.write_card(f"{zoo.FOLDER}/{name}.json", card)
    kept.remove()  # only now: scoring and writing may be interrupted too
    return card


def find(name: str) -> Recipe:
    """The recipe of this name; ValueError with all of them if there is none."""
    if name not in RECIPES:
        raise ValueError(f"checkpoint: expected one of {', '.join(sorted(RECIPES))}, got {name!r}")
    return RECIPES[name]


def training_folder(name: str, out: Path | None = None) -> Path:
    """Where the snapshots of the run of `name` lie until it is through: in the cache folder, or below `out`."""
    return (out or data.cache_folder()) / "training" / name


def verify(name: str) -> dict[str, Any]:
    """Recompute the scores of `name` and return them; ValueError if one differs from its record more than it may."""
    recorded, found = zoo.info(name)["scores"], find(name).score(zoo.load(name))
    for key, score in recorded.items():
        value = found.get(key, {}).get("value", math.nan)
        # Negated, for NaN is not within any tolerance
        if not abs(value - score["value"]) <= tolerance(score):
            raise ValueError(
                f"checkpoint {name!r}: {key} is recorded as {score['value']:#.5g}, but these weights give "
                f"{value:#.5g}; restore data/{zoo.FOLDER}, or train it anew"
            )
    return found


def export(name: str, path: Path) -> str:
    """Write the part of a checkpoint that is used (a generator, a decoder, a classifier) as a ``torch.export`` program.

    It needs PyTorch alone: ``torch.export.load(path).module()(x)``, x a batch of any size. Returns what goes in, as a
    shape; ValueError as `zoo.load`, OSError if the file cannot be written.
    """
    model = zoo.load(name)
    used, inputs = _used(model)
    batch = torch.export.Dim("batch", min=2)
    shapes = tuple({0: batch} for _ in inputs)
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(used, inputs, dynamic_shapes=shapes), buffer)
    write_atomically(path, buffer.getvalue())
    return ", ".join(f"({', '.join(['N', *map(str, x.shape[1:])])}) {str(x.dtype)[6:]}" for x in inputs)


def _used(model: nn.Module) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The part of a model that is used, and three of what it is called with."""
    kind = type(model).__name__
    if kind in ("GAN", "R3GAN", "VAE", "Autoencoder"):
        codes = torch.zeros(3, model.cfg.latent)
        labels = (torch.zeros(3, dtype=torch.int64),) if getattr(model.cfg, "classes", 0) else ()
        return (model.decoder if hasattr(model, "decoder") else model.G), (codes, *labels)
    if kind in ("DigitCNN", "AvatarCNN"):
        return model, (torch.zeros(3, 1, 28, 28) if kind == "DigitCNN" else torch.zeros(3, 3, 64, 64),)
    raise ValueError(
        f"export: expected a generator, a decoder or a classifier, got a {kind}, which samples step by step or has "
        "several parts; load it in Python, with zoo.load"
    )


def hardware(rt: Runtime) -> str:
    """What a card says of the machine."""
    several = f"{rt.world} x " if rt.world > 1 else ""
    if rt.device.type == "cuda":
        return several + torch.cuda.get_device_name(rt.device)
    return f"{several}{rt.device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"
