"""What generators and discriminators minimise: losses and penalties, each family under one signature.

A loss takes the logits of real and of generated images, both (N,), and gives (N,), for the discriminator and for the
generator alike, so that the papers differ in one line each. A penalty takes the discriminator and both batches and
gives (N,). `Objective` adds them up in one ``forward``, so that `DistributedDataParallel` averages all of it.

Sign convention: discriminators return *logits*, larger for "more real". ``Verdict.gap``, the mean logit of the reals
minus that of the generated ones, estimates the Wasserstein distance from below if the critic is 1-Lipschitz; under the
gradient penalty, which is soft, it is so only roughly, and the gap can be larger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import checks
from course_lib.draws import rows
from course_lib.gans.slopes import TwiceDifferentiable
from course_lib.precision import course_defaults, float32

Logits = Callable[[Tensor], Tensor]  # images (N, C, H, W) -> logits (N,)
PerPair = Callable[[Tensor, Tensor], Tensor]  # logits of reals and of generated ones, (N,) each -> (N,)
Penalty = Callable[
    [Logits, Tensor, Tensor, torch.Generator], Tensor
]  # D, reals, generated, generator -> (N,)


class Loss(NamedTuple):
    """What both players minimise, as functions of the logits of reals and of generated images, (N,) each."""

    discriminator: PerPair
    generator: PerPair

    @property
    def name(self) -> str:
        """Of this module's losses their names; of another, those of its two functions."""
        names = [f"{part.__module__}.{part.__qualname__}" for part in self]
        return next((name for name, loss in LOSSES.items() if loss == self), " and ".join(names))

    def __reduce__(self) -> str | tuple[type, tuple[PerPair, PerPair]]:
        """This module's losses by their names, so that they can go to another process; lambdas could not."""
        return self.name if LOSSES.get(self.name) is self else (Loss, tuple(self))


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) with D = sigmoid(logit): -log sigmoid(l) = softplus(-l)."""
    return F.softplus(-real) + F.softplus(fake)


# Goodfellow et al. 2014, Eq. (1): the generator minimises log(1 - D(G(z))), whose gradient vanishes where D is sure.
saturating = Loss(_cross_entropy, lambda real, fake: -F.softplus(fake))
# ... and what they recommend instead: it minimises -log D(G(z)).
nonsaturating = Loss(_cross_entropy, lambda real, fake: F.softplus(-fake))
# Arjovsky et al. 2017: no sigmoid, no logarithm; needs a critic that is kept Lipschitz.
wasserstein = Loss(lambda real, fake: fake - real, lambda real, fake: -fake)
# Lim & Ye 2017: like Wasserstein, but what is already beyond the margin does not count.
hinge = Loss(lambda real, fake: F.relu(1 - real) + F.relu(1 + fake), lambda real, fake: -fake)
# Mao et al. 2017, Eq. (9).
least_squares = Loss(
    lambda real, fake: ((real - 1).square() + fake.square()) / 2, lambda real, fake: (fake - 1).square() / 2
)
# Jolicoeur-Martineau 2019: is this real image more real than that generated one? The generator needs reals too.
relativistic = Loss(lambda real, fake: F.softplus(fake - real), lambda real, fake: F.softplus(real - fake))

LOSSES = {
    "saturating": saturating,
    "nonsaturating": nonsaturating,
    "wasserstein": wasserstein,
    "hinge": hinge,
    "least_squares": least_squares,
    "relativistic": relativistic,
}


def gradients(D: Logits, x: Tensor) -> Tensor:
    """∇D at each image of x (N, C, H, W), flattened: (N, CHW), itself differentiable.

    Each logit must depend on its own image alone, which batch normalisation in training mode violates. Computed in
    single precision at least, because in half precision the squared norm over- and underflows, and under
    ``torch.no_grad`` too.
    """
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False), TwiceDifferentiable():
        x = float32(x.detach()).requires_grad_()
        (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return slope.flatten(1)


@course_defaults()
def interpolates(real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """One point on the line from each real image to the generated one beside it, uniformly: (N, C, H, W).

    Raises:
        ValueError: batches of unequal shapes.
    """
    _same_shape(real, fake)
    # One number per image, not per pixel: else the points would not lie on the line.
    alpha = rows(torch.rand, len(real), *[1] * (real.dim() - 1), generator=generator).to(real)
    return real.detach() + alpha * (fake.detach() - real.detach())


def gradient_penalty(D: Logits, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """(‖∇D‖ - 1)² at interpolates: (N,). Gulrajani et al. 2017, Eq. (3), where it has the weight λ = 10."""
    return (gradients(D, interpolates(real, fake, generator)).norm(dim=1) - 1).square()


def r1(D: Logits, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """‖∇D‖² at the reals: (N,). Mescheder et al. 2018, Eq. (9), where it has the weight γ/2."""
    return gradients(D, real).square().sum(1)


def r2(D: Logits, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """‖∇D‖² at the generated images: (N,). Mescheder et al. 2018, Eq. (10), where it has the weight γ/2."""
    return gradients(D, fake).square().sum(1)


class Verdict(NamedTuple):
    """What `Objective` says about two batches."""

    total: Tensor  # (), what the discriminator minimises
    loss: Tensor  # (), without the penalties
    penalty: Tensor  # (), the weighted sum of the penalties
    real: Tensor  # (N,), logits of the reals
    fake: Tensor  # (N,), logits of the generated ones

    @classmethod
    def of_parts(cls, parts: Sequence[Verdict]) -> Verdict:
        """That on a minibatch, from those on its parts, without gradients: lest who keeps it keeps its graph."""
        if len(parts) == 1:
            return cls(*(part.detach() for part in parts[0]))
        n = sum(len(part.real) for part in parts)
        means = (
            torch.stack([part[k].detach() * len(part.real) for part in parts]).sum() / n for k in range(3)
        )
        return cls(*means, *(torch.cat([part[k].detach() for part in parts]) for k in (3, 4)))

    @property
    def gap(self) -> Tensor:
        """Mean logit of the reals minus that of the generated ones, ()."""
        return self.real.mean() - self.fake.mean()


class Objective(nn.Module):
    """The discriminator's whole objective, loss and penalties, as one module.

    Reals and generated images go through a `D` with batch normalisation in separate batches, so that it never mixes
    them (in one batch it would betray which are which by the batch's statistics); else in one, which is faster.

    Args:
        D: images, and labels if the discriminator has classes -> logits (N,).
        loss: one of this module's.
        penalties: pairs of a penalty and its weight.

    Raises:
        ValueError: a negative weight; or a penalty on the slope at single images while `D` has batch normalisation,
            under which a logit depends on the whole batch.
    """

    def __init__(self, D: nn.Module, loss: Loss, penalties: Iterable[tuple[Penalty, float]] = ()) -> None:
        super().__init__()
        self.D, self.loss = D, loss
        self.penalties = tuple((penalty, checks.real("weight", weight)) for penalty, weight in penalties)
        mixed = [
            name for name, part in D.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)
        ]
        self._apart = bool(mixed)
        if self.penalties and mixed:
            raise ValueError(
                f"D: expected no batch normalisation beside a gradient penalty, found it in {', '.join(mixed)}; "
                "a logit would depend on the whole batch: build it with normalise=False"
            )

    def forward(
        self,
        real: Tensor,
        fake: Tensor,
        generator: torch.Generator,
        y: Tensor | None = None,
        *,
        penalise: float = 1.0,
    ) -> Verdict:
        """The objective for reals and as many generated images (N, C, H, W), both of classes y (N,) if there are any.

        The penalties count `penalise` times: with lazy regularisation, often not at all, and then the more.

        Raises:
            ValueError: batches of unequal shapes.
        """
        _same_shape(real, fake)
        fake = fake.detach()  # the generator learns in its own step
        labels = () if y is None else (y,)
        if self._apart:
            logits = self.D(real, *labels), self.D(fake, *labels)
        else:
            logits = self.D(torch.cat([real, fake]), *(torch.cat([y, y]) for y in labels)).chunk(2)
        logits = tuple(float32(part) for part in logits)
        loss = self.loss.discriminator(*logits).mean()
        penalty = torch.zeros_like(loss)
        for term, weight in self.penalties if penalise else ():
            penalty = (
                penalty + penalise * weight * term(lambda x: self.D(x, *labels), real, fake, generator).mean()
            )
        return Verdict(loss + penalty, loss, penalty, *logits)


@torch.no_grad()
def clip_weights(D: nn.Module, c: float) -> None:
    """Put every weight of `D` into [-c, c], in place (Arjovsky et al. 2017, Algorithm 1, line 7).

    Raises:
        TypeError, ValueError: c is not a positive number.
    """
    checks.real("c", c, positive=True)
    for weight in D.parameters():
        weight.clamp_(-c, c)


def clipped_share(D: nn.Module, c: float) -> float:
    """Share of the weights of `D` at -c or c, where clipping leaves them, or beyond.

    To one part in a thousand, so that weights which were stored in half precision count too.

    Raises:
        TypeError, ValueError: c is not a positive number.
    """
    checks.real("c", c, positive=True)
    weights = torch.cat([weight.detach().flatten() for weight in D.parameters()])
    return int((weights.abs() >= c * (1 - 1e-3)).sum()) / len(weights)


def _same_shape(real: Tensor, fake: Tensor) -> None:
    if real.shape != fake.shape:
        raise ValueError(
            f"fake: expected as many images as real, of shape {tuple(real.shape)}, got {tuple(fake.shape)}"
        )
