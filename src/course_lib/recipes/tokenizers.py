"""The tokenisers of chapter 12: one VQ-VAE of drawn faces by its squared error, one with a VQGAN's losses besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import data, features, metrics
from course_lib.cards import Facts, Score, card, mean, share
from course_lib.evaluation import device_of
from course_lib.gans.losses import hinge
from course_lib.precision import float32
from course_lib.recipes.gans import HALF_LIFE
from course_lib.recipes.recipe import Recipe, learn
from course_lib.recipes.vq import COMMITMENT
from course_lib.training import EMA, Runtime, batched
from course_lib.training.distributed import parallel
from course_lib.training.scaled import Scaled
from course_lib.vq import VQVAE, PatchDiscriminator, VQVAEConfig, adaptive_weight, perplexity

TOKENS = VQVAEConfig(resolution=64, colours=3, codes=256, halvings=3)  # 8 x 8 tokens
ADAM = {"lr": 4e-4, "betas": (0.5, 0.9)}  # of the discriminator


class Rival:
    """The discriminator's side of a VQGAN's training, and the average of the other's weights: a ``watch`` of `fit`.

    Its `term` belongs to the autoencoder's loss; called after the autoencoder's step, it makes the discriminator's.
    Until `start` images were seen it only watches.
    """

    def __init__(self, rt: Runtime, model: VQVAE, *, start: int, half_life: float) -> None:
        self.D = rt.place(PatchDiscriminator()).train()
        self.average = EMA(model, half_life)
        self.optimizer = torch.optim.Adam(self.D.parameters(), **ADAM)
        self._scaled, self._loss = Scaled(rt), parallel(self.D, self._hinge)
        self._start, self._seen = start, 0
        self._pairs: list[
            tuple[Tensor, Tensor]
        ] = []  # what the autoencoder has just been given, and made of it

    def term(self, x: Tensor, images: Tensor, reconstruction: Tensor, last: Tensor) -> Tensor:
        """λ · mean of -D(x̂), (), of images x and reconstructions (N, C, R, R); λ that of `adaptive_weight`."""
        self._pairs.append((x, float32(images.detach())))
        if self._seen < self._start:
            return torch.zeros_like(reconstruction)
        self.D.requires_grad_(False)  # through it, but not into its weights
        logits = float32(self.D(images))
        self.D.requires_grad_(True)
        adversarial = hinge.generator(logits, logits).mean()  # a hinge's does not look at the reals
        return adaptive_weight(reconstruction, adversarial, last) * adversarial

    def __call__(self, images_seen: int) -> None:
        """After a step of the autoencoder, `images_seen` so far: the discriminator's step, and the average's."""
        self.average.update(images_seen - self._seen)
        self._seen = images_seen
        x, fake = (torch.cat(part) for part in zip(*self._pairs, strict=True))
        self._pairs.clear()
        if images_seen >= self._start:
            self.optimizer.zero_grad(set_to_none=True)
            self._scaled.backward(self._loss, (x, fake))
            self._scaled.step(self.optimizer)

    def _hinge(self, x: Tensor, fake: Tensor) -> Tensor:
        return hinge.discriminator(float32(self.D(x)), float32(self.D(fake))).mean()

    def _parts(self) -> dict[str, Any]:
        return {
            "D": self.D,
            "optimizer": self.optimizer,
            "average": self.average,
            **self._scaled.parts,
        }

    def state_dict(self) -> dict[str, Any]:
        """All that it needs to go on in another process."""
        return {"seen": self._seen, **{name: part.state_dict() for name, part in self._parts().items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._seen = state["seen"]
        for name, part in self._parts().items():
            part.load_state_dict(state[name])


def train_vq_avatars(
    rt: Runtime, quiet: bool = False, *, images: int, faces: int = 20_000
) -> tuple[nn.Module, Facts]:
    """`VQVAE` with 8 x 8 tokens on drawn faces (Open Peeps, 64 x 64), the first `faces` of seed 0: as in chapter 7."""
    x, _ = data.avatars(faces, 64, seed=0, progress=not quiet)
    model = rt.place(VQVAE(TOKENS))

    def loss(minibatch: Tensor) -> Tensor:
        terms = model.terms(minibatch)
        return (terms.reconstruction + terms.codebook + COMMITMENT * terms.commitment) / x[0].numel()

    facts = learn(rt, model, [x], loss, images=images, batch=32, lr=1e-3, what="VQ-VAE, avatars", quiet=quiet)
    return model, {"data": f"{len(x):,} open-peeps avatars, 64 x 64, seed 0", **facts}


def train_vqgan_avatars(
    rt: Runtime,
    quiet: bool = False,
    *,
    images: int,
    faces: int = 20_000,
    perceptual: float = 0.1,
    adversarial: float = 0.5,
    start: float = 0.25,
    half_life: float = HALF_LIFE,
) -> tuple[nn.Module, Facts]:
    """The same `VQVAE` on the same faces, for as long, with the losses of a VQGAN (Esser et al. 2021) besides.

    The squared error, per pixel, and `perceptual` times `features.perceptual` are its reconstruction loss; the weight
    of the hinge loss is `adversarial` times λ. The discriminator joins in after the share `start` of the training, as
    theirs does. Unlike theirs it has no batch normalisation, and the error is squared and not absolute, so that it is
    the plain tokeniser's. The weights are averaged with `half_life`.
    """
    x, _ = data.avatars(faces, 64, seed=0, progress=not quiet)
    model = rt.place(VQVAE(TOKENS))
    seen = features.perceptual(rt.device)
    rival = Rival(rt, model, start=round(start * rt.images(images, step=32)), half_life=half_life)

    def loss(minibatch: Tensor) -> Tensor:
        terms = model.terms(minibatch)
        distance = seen.loss(minibatch, float32(terms.images)).mean()
        reconstruction = terms.reconstruction / x[0].numel() + perceptual * distance
        told = rival.term(minibatch, terms.images, reconstruction, model.decoder[-1].weight)
        codes = (terms.codebook + COMMITMENT * terms.commitment) / x[0].numel()
        return reconstruction + codes + adversarial * told

    numbers = {"images": images, "batch": 32, "lr": 1e-3, "what": "VQGAN, avatars"}
    facts = learn(rt, model, [x], loss, **numbers, quiet=quiet, watch=rival)
    rival.average.copy()
    facts |= {"half_life": half_life, "discriminator": {**ADAM, "betas": list(ADAM["betas"])}}
    return model, {"data": f"{len(x):,} open-peeps avatars, 64 x 64, seed 0", **facts}


def score_avatar_tokens(model: nn.Module, n: int = 2_000) -> dict[str, Score]:
    """Reconstructions of 2,000 faces of seed 1: error, and what `features.avatar_attributes`, no part of it, sees.

    That is the distance of features between each face and its reconstruction, their Fréchet distance, and the share of
    reconstructions whose expression and glasses it names as they are in the table.
    """
    x, attributes = data.avatars(n, 64, seed=1, progress=False)
    tokens = batched(model.encode, x)
    y = batched(model.decode, tokens)
    judge = features.avatar_attributes(device_of(model))
    a, b = judge.features(x), judge.features(y)
    named = judge.predict(y)
    scores = {
        "MSE": mean((y - x).square().flatten(1).mean(1)),
        "distance of features": mean((a - b).norm(dim=1)),
        "Fréchet distance, avatars": card(metrics.frechet(a, b, extractor=judge.name), "distance"),
    }
    for key in ("expression", "glasses"):
        scores[f"{key} kept"] = share(torch.from_numpy(named[key] == attributes[key]))
    used = perplexity(tokens, model.cfg.codes)
    return {**scores, "perplexity": {"value": used, "ci95": 0.0, "n": len(x), "kind": "distance"}}


RECIPES = {
    "vq_avatars": Recipe(train_vq_avatars, score_avatar_tokens, {"images": 150_000}),
    "vqgan_avatars": Recipe(train_vqgan_avatars, score_avatar_tokens, {"images": 150_000}),
}
