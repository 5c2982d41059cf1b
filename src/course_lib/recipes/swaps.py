"""The face swap of chapter 12, and the classifier of expressions that judges it."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data, zoo
from course_lib.autoencoders import (
    Informer,
    TwoDecoders,
    TwoDecodersConfig,
    recolour,
    reversed_gradient,
    warp,
)
from course_lib.cards import Facts, Score, mean, share
from course_lib.classifiers import AvatarCNN, AvatarCNNConfig
from course_lib.evaluation import device_of
from course_lib.precision import float32
from course_lib.recipes.avatars import class_numbers, imperfect
from course_lib.recipes.recipe import Recipe, learn
from course_lib.training import Runtime, batched

_OF_ANN, _OF_BOB, _HELD_OUT, _OF_JUDGE = 0, 1, 2, 3  # seeds: nobody is seen in a moment of another one's


def train_deepfake(
    rt: Runtime,
    quiet: bool = False,
    *,
    images: int,
    faces: int = 10_000,
    strength: float = 1.0,
    secrecy: float = 0.005,
) -> tuple[nn.Module, Facts]:
    """`TwoDecoders` on `faces` pictures each of two drawn people, no moment of one being a moment of the other.

    Squared error of each person's reconstructions from pictures that were warped with `strength` and recoloured. With
    `secrecy` the encoder works against an `Informer`, which learns beside it to read from codes whose they are.
    """
    people = TwoDecodersConfig().people
    pictures = [
        data.character(who, faces, seed=seed, progress=not quiet)[0]
        for who, seed in zip(people, (_OF_ANN, _OF_BOB), strict=True)
    ]
    change, model = rt.noise(2), rt.place(TwoDecoders())
    players = nn.ModuleDict({"model": model, "informer": rt.place(Informer(model.cfg.latent, len(people)))})

    def loss(minibatch: tuple[Tensor, Tensor]) -> Tensor:
        # both in one batch, or batch normalisation would tell them apart in training, and not afterwards
        other = recolour(warp(torch.cat(minibatch), change, strength=strength), change)
        parts = zip(people, model.encoder(rt.place(other)).chunk(len(people)), strict=True)
        codes = {who: float32(model.norms[who](h)) for who, h in parts}
        errors = [
            (model.decode(z, who) - x).square().mean()
            for (who, z), x in zip(codes.items(), minibatch, strict=True)
        ]
        guesses = players["informer"](reversed_gradient(torch.cat(list(codes.values())), secrecy))
        whose = torch.arange(len(people), device=guesses.device).repeat_interleave(len(minibatch[0]))
        return torch.stack(errors).sum() + F.cross_entropy(float32(guesses), whose)

    numbers = {"images": images, "batch": 32, "lr": 1e-3, "what": "one encoder, two decoders"}
    facts = learn(rt, players, pictures, loss, **numbers, quiet=quiet)
    return model, {"data": f"{faces:,} pictures each of {' and '.join(people)}, seeds 0 and 1", **facts}


def train_expression_classifier(
    rt: Runtime, quiet: bool = False, *, faces: int = 6_000, epochs: int = 8
) -> tuple[nn.Module, Facts]:
    """A small `AvatarCNN` on `faces` pictures each of both people (seed 3), made worse by `imperfect`: 8 epochs."""
    x, attributes = _both(faces, _OF_JUDGE, quiet)
    names = {key: tuple(np.unique(column).tolist()) for key, column in attributes.items()}
    y, worse = class_numbers(attributes, names), rt.noise(2)
    cfg = AvatarCNNConfig(names, channels=(16, 32, 32, 64), features=64)
    model = rt.place(AvatarCNN(cfg))

    def loss(minibatch: tuple[Tensor, Tensor]) -> Tensor:
        pictures, labels = minibatch
        logits = model.by_attribute(model(rt.place(imperfect(pictures, worse))))
        losses = [F.cross_entropy(part, labels[:, k]) for k, part in enumerate(logits.values())]
        return torch.stack(losses).sum()

    numbers = {"images": epochs * len(x), "batch": 128, "lr": 4e-3, "warm": 0.2, "weight_decay": 0.01}
    facts = learn(rt, model, [x, y], loss, **numbers, what="expression classifier", quiet=quiet)
    return model, {"data": f"{faces:,} pictures each of ann and bob, seed {_OF_JUDGE}", **facts}


def _both(faces: int, seed: int, quiet: bool = True) -> tuple[Tensor, dict[str, np.ndarray]]:
    """`faces` moments of each person, (2 · faces, 3, 64, 64), with a column ``who`` beside those of the expression."""
    parts = {who: data.character(who, faces, seed=seed, progress=not quiet) for who in data.CHARACTERS}
    columns = {
        key: np.concatenate([attributes[key] for _, attributes in parts.values()]) for key in data.EXPRESSION
    }
    columns["who"] = np.repeat(list(parts), [len(x) for x, _ in parts.values()])
    return torch.cat([x for x, _ in parts.values()]), columns


def score_expression_classifier(model: nn.Module, n: int = 2_000) -> dict[str, Score]:
    """Accuracy of each attribute, with its 95 % interval, on `n` moments of both people that nobody was trained on."""
    x, attributes = _both(n, _HELD_OUT)
    return {f"accuracy of {key}": share(hits) for key, hits in right(model, x, attributes).items()}


def score_deepfake(model: nn.Module, n: int = 2_000) -> dict[str, Score]:
    """Swaps, both ways, of `n` moments that nobody was trained on, judged by the shipped ``expression_classifier``.

    The share whose mouth, eyes and eyebrows it names as they were in the picture of the other one (chance: a fifth),
    the share in which it sees the one who was wanted, and the error of swaps and of reconstructions: what the other one
    looks like in that moment is known.
    """
    a, b = model.cfg.people
    (x, attributes), (y, _) = (data.character(who, n, seed=_HELD_OUT, progress=False) for who in (a, b))
    wanted = {key: np.tile(attributes[key], 2) for key in data.EXPRESSION}
    wanted["who"] = np.repeat([b, a], len(x))
    truth = torch.cat([y, x])
    swaps = torch.cat([as_one(model, x, a, b), as_one(model, y, b, a)])
    same = torch.cat([as_one(model, y, b, b), as_one(model, x, a, a)])
    hits = right(zoo.load("expression_classifier", device_of(model)), swaps, wanted)
    scores = {f"{key} kept": share(hits[key]) for key in data.EXPRESSION}
    scores["identity"] = share(hits["who"])
    for name, made in (("MSE of swaps", swaps), ("MSE of reconstructions", same)):
        scores[name] = mean((made - truth).square().flatten(1).mean(1))
    return scores


def as_one(model: TwoDecoders, x: Tensor, who: str, wanted: str) -> Tensor:
    """Images x (N, C, R, R) of `who` as pictures of `wanted`, in batches, without gradients, where x is."""
    z = batched(model.norms[who], batched(model.encoder, x))
    return batched(model.decoders[wanted], z).tanh()


def right(judge: AvatarCNN, x: Tensor, attributes: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Attribute -> whether `judge` names it right in each image of x (N, 3, 64, 64): (N,) bool."""
    y = class_numbers(attributes, judge.cfg.names)
    parts = enumerate(judge.by_attribute(batched(judge, x)).items())
    return {key: part.argmax(1) == y[:, k] for k, (key, part) in parts}


RECIPES = {
    "expression_classifier": Recipe(train_expression_classifier, score_expression_classifier),
    "deepfake_avatars": Recipe(train_deepfake, score_deepfake, {"images": 300_000}),
}
