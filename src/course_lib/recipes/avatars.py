"""The classifier of drawn faces: eight attributes of one picture at once."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data
from course_lib.cards import Facts, Score, share
from course_lib.classifiers import AvatarCNN, AvatarCNNConfig
from course_lib.draws import rows
from course_lib.precision import course_defaults
from course_lib.recipes.recipe import Recipe, learn
from course_lib.training import Runtime, batched

# All columns of the table but `accessories`, of which `glasses` is a function.
ATTRIBUTES = (
    "glasses",
    "head",
    "expression",
    "facial_hair",
    "mask",
    "clothing_color",
    "head_contrast_color",
    "skin_color",
)
_TRAINING, _HELD_OUT = 0, 1  # seeds of two sequences of faces


def train_avatar_classifier(
    rt: Runtime, quiet: bool = False, *, faces: int = 20_000, epochs: int = 8
) -> tuple[nn.Module, Facts]:
    """`AvatarCNN` on 20,000 Open Peeps faces (seed 0), made worse by `imperfect`: sum of cross-entropies, 8 epochs."""
    x, attributes = data.avatars(faces, 64, _TRAINING, progress=not quiet)
    names = {key: tuple(np.unique(attributes[key]).tolist()) for key in ATTRIBUTES}
    y = class_numbers(attributes, names)
    worse = rt.noise(2)
    model = rt.place(AvatarCNN(AvatarCNNConfig(names)))

    def loss(minibatch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = minibatch
        logits = model.by_attribute(model(rt.place(imperfect(images, worse))))
        losses = [F.cross_entropy(part, labels[:, k]) for k, part in enumerate(logits.values())]
        return torch.stack(losses).sum()

    numbers = {"images": epochs * faces, "batch": 128, "lr": 4e-3, "warm": 0.2, "weight_decay": 0.01}
    facts = learn(rt, model, [x, y], loss, **numbers, what="avatar classifier", quiet=quiet)
    return model, {"data": f"avatars (open-peeps, 64 x 64), seed {_TRAINING}, n = {faces}", **facts}


@course_defaults()
def class_numbers(attributes: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]]) -> Tensor:
    """`attributes` as labels (N, A) int64, a column for each of `names`; ValueError for a column or class unknown."""
    columns = []
    for key, classes in names.items():
        if key not in attributes:
            raise ValueError(f"attributes: expected a column {key!r}, got {', '.join(attributes)}")
        known = {name: number for number, name in enumerate(classes)}
        unknown = sorted(set(attributes[key].tolist()) - set(known))
        if unknown:
            wanted = f"{key} to be one of {', '.join(classes)}"
            raise ValueError(f"attributes: expected {wanted}; got {unknown[0]!r}")
        columns.append(torch.tensor([known[name] for name in attributes[key].tolist()]))
    return torch.stack(columns, 1)


@course_defaults()
def imperfect(
    x: Tensor, generator: torch.Generator, *, shift: float = 2.0, blur: float = 1.0, noise: float = 0.1
) -> Tensor:
    """Each image of x (N, C, H, W) shifted, blurred and made noisy, by its own random amount: what generators do.

    Amounts are uniform from 0: up to `shift` pixels in any direction, a share up to `blur` of a 3 x 3 mean, a standard
    deviation up to `noise`, by which the result may leave [-1, 1].
    """
    n, _, height, width = x.shape
    amounts = rows(torch.rand, n, 4, generator=generator).T.to(x.device)
    steps = (2 * amounts[:2] - 1) * shift  # (2, N): pixels to the right, pixels down
    eye = torch.eye(2, device=x.device).expand(n, 2, 2)
    offset = torch.stack([steps[0] * 2 / width, steps[1] * 2 / height], 1)  # (N, 2), in grid units
    grid = F.affine_grid(torch.cat([eye, offset[:, :, None]], 2), list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    share, deviation = (blur * amounts[2]).view(n, 1, 1, 1), (noise * amounts[3]).view(n, 1, 1, 1)
    x = torch.lerp(x, F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1), share)
    return x + deviation * rows(torch.randn, *x.shape, generator=generator).to(x.device)


def score_avatar_classifier(model: nn.Module, n: int = 5_000) -> dict[str, Score]:
    """Accuracy of each attribute, with its 95 % interval, on 5,000 faces of a sequence not trained on (seed 1)."""
    x, attributes = data.avatars(n, 64, _HELD_OUT, progress=False)
    assert isinstance(model, AvatarCNN)
    y = class_numbers(attributes, model.cfg.names)
    parts = enumerate(model.by_attribute(batched(model, x)).items())
    return {f"accuracy of {key}": share(part.argmax(1) == y[:, k]) for k, (key, part) in parts}


RECIPES = {"avatar_classifier": Recipe(train_avatar_classifier, score_avatar_classifier)}
