"""The training loop that the adversarial recipes share: discriminator steps, then a generator step, and so on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.cards import Facts, full_name
from course_lib.gans.dcgan import GAN
from course_lib.gans.losses import Loss, Objective, Penalty, Verdict, clip_weights
from course_lib.precision import float32
from course_lib.progress import progress
from course_lib.training.distributed import parallel
from course_lib.training.ema import EMA
from course_lib.training.fitting import learnable, minibatch
from course_lib.training.guard import Guard
from course_lib.training.runtime import Runtime
from course_lib.training.scaled import Scaled

WON = 0.01  # a discriminator whose loss is below this share of what guessing costs it has won
WINDOW = 200  # generator steps over which its loss is averaged


class Smoothness(Protocol):
    """A regularisation of the generator, as `gans.stylegan.PathLength`, with the state that it keeps.

    It comes in each `every`-th step, `every` times as heavy, for a `part`-th of a minibatch.
    """

    weight: float
    every: int
    part: int

    def __call__(self, G: nn.Module, drawn: Tensor, generator: torch.Generator) -> Tensor:
        """The penalty of each row of `drawn`, (N,)."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What it remembers."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Go on from what `state_dict` gave."""
        ...


def lazily(lr: float, betas: tuple[float, float], every: int) -> tuple[float, tuple[float, float]]:
    """Adam's learning rate and betas for `every` + 1 steps in the place of `every` (Karras et al. 2020, appendix B)."""
    share = every / (every + 1) if every > 1 else 1.0
    return lr * share, (betas[0] ** share, betas[1] ** share)


class DiscriminatorWon(UserWarning):
    """The discriminator tells all real from all generated images, so that its gradient teaches the generator little."""


def duel(
    rt: Runtime,
    gan: GAN,
    batches: Iterator[Tensor | tuple[Tensor, ...]],
    *,
    loss: Loss,
    images: int,
    batch: int,
    lr: tuple[float, float],
    betas: tuple[float, float] = (0.5, 0.999),
    critics: int = 1,
    penalties: Iterable[tuple[Penalty, float]] = (),
    every: int = 1,
    smooth: Smoothness | None = None,
    clip: float | None = None,
    decay: float = 0.5,
    what: str,
    quiet: bool = False,
    average: EMA | None = None,
    watch: Callable[[int, Verdict], None] | None = None,
) -> Facts:
    """Train `gan` until its discriminator has seen `images` real images (and as many generated ones).

    The runtime says in which precision, in how many parts and by how many processes a minibatch is worked on.

    Args:
        rt: has the device, the generators and the snapshots (see `Guard`).
        gan: in training mode afterwards too.
        batches: an endless iterator over x or, if there are classes, (x, y), usually a `data.Stream`.
        loss: of `course_lib.gans.losses`.
        images: real images to see; a generator step comes after every `critics` batches of them.
        batch: images in each minibatch.
        lr: a pair, of the generator and of the discriminator, for Adam.
        betas: of Adam.
        critics: discriminator steps per generator step.
        penalties: pairs of a penalty of `course_lib.gans.losses` and its weight.
        every: lazy regularisation (Karras et al. 2020, Section 3.1): the penalties come only in each `every`-th step of
            the discriminator, `every` times as heavy, and its Adam is slowed as `lazily` says.
        smooth: the generator's own regularisation, in steps of its own.
        clip: weights of the discriminator are kept in [-clip, clip] after each of its steps; None leaves them.
        decay: in this last share of the training both learning rates fall linearly to 0.
        what: name on the progress bar.
        quiet: no progress bar.
        average: of the weights of ``gan.G``, which has them at the end (Yazıcı et al. 2019); None leaves it its own.
        watch: called after each generator step with the images seen and the last verdict, detached; if it has
            ``state_dict`` and ``load_state_dict``, what it remembers is kept and resumed with the rest.

    Returns:
        What a card says about the training.

    Warns:
        DiscriminatorWon: its loss was next to nothing over 200 generator steps; said once.

    Raises:
        TypeError, ValueError: a wrong number of images, learning rate, decay or clip; minibatches of another size,
            images not in [-1, 1], labels that the model does not have; frozen weights; as `Guard` and `Objective`.
        TrainingDiverged: a loss became NaN or infinite.
    """
    checks.whole("critics", critics)
    round_ = checks.whole("batch", batch, at_least=2) * critics  # real images per generator step
    why = "critics * batch, one generator step"
    rounds = checks.whole("images", images, at_least=round_, why=why) // round_
    if checks.real("decay", decay) > 1:
        raise ValueError(f"decay must be a share of the training, from 0 to 1; received {decay}")
    if clip is not None:
        checks.real("clip", clip, positive=True)
    if not isinstance(lr, Sequence) or len(lr) != 2:
        raise TypeError(f"lr: expected a pair, of the generator and of the discriminator, got {lr!r}")
    checks.whole("every", every)
    noise = rt.noise(2)
    G, D = gan.G, gan.D
    draw = getattr(gan, "draws", gan.codes)  # all that is random about an image
    learners = learnable("gan.G", G), learnable("gan.D", D)
    objective = Objective(D, loss, penalties)
    optimizers = [
        torch.optim.Adam(
            weights,
            *lazily(checks.real("lr", rate, positive=True), betas, lazy),
            fused=rt.device.type != "mps",
        )
        for weights, rate, lazy in zip(learners, lr, (smooth.every if smooth else 1, every), strict=True)
    ]

    def share(done: int) -> float:
        return min(1.0, (rounds - done) / (decay * rounds)) if decay else 1.0

    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, share) for optimizer in optimizers]
    step_G, step_D = optimizers
    gan.train()
    rt.translate(G)  # D only if its slope is not differentiated again
    if not objective.penalties:
        rt.translate(D)
    plan = {"what": what, "images": images, "batch": batch, "lr": list(lr), "betas": list(betas)}
    plan |= {
        "critics": critics,
        "clip": clip,
        "decay": decay,
        "loss": loss.name,
        "penalties": [[full_name(penalty), weight] for penalty, weight in objective.penalties],
        "half_life": None if average is None else average.half_life,
        "every": every,
        "smooth": None if smooth is None else [full_name(type(smooth)), smooth.weight, smooth.every],
    }
    scaled = Scaled(rt)
    parts = {"gan": gan, "batches": batches, "step_G": step_G, "step_D": step_D}
    parts |= {"schedule_G": schedules[0], "schedule_D": schedules[1], **scaled.parts}
    parts |= {} if average is None else {"average": average}
    if hasattr(watch, "state_dict"):
        parts["watch"] = watch
    parts |= {} if smooth is None else {"smooth": smooth}
    guard = Guard(rt, plan, rounds * round_, parts)

    seen: list[Verdict] = []  # on the parts of the last minibatch
    penalise = 1.0  # how often the penalties count in this step

    def loss_D(x: Tensor, fake: Tensor, *y: Tensor) -> Tensor:
        seen.append(objective(x, fake, noise, *y, penalise=penalise))
        return seen[-1].total

    def loss_G(z: Tensor, real: Tensor | None = None, *y: Tensor) -> Tensor:
        if real is None:  # the regularisation's step; within one function, as DDP wants it
            return smooth.every * smooth.weight * smooth(G, z, noise).mean()
        return loss.generator(real, float32(D(G(z, *y), *y))).mean()

    loss_D, loss_G = parallel(D, loss_D), parallel(G, loss_G)
    won = _Won(loss)
    with guard, progress(rounds * round_, what, quiet=quiet or rt.rank > 0) as bar:
        bar.initial = guard.images_seen
        bar.update(guard.images_seen)
        for number in range(guard.images_seen // round_, rounds):
            for turn in range(critics):
                x, *y = minibatch(batches, batch, guard.images_seen, learners[0][0].dtype)
                if y and guard.images_seen == 0 and (classes := getattr(gan.cfg, "classes", 0)):
                    checks.labels("batches, labels", y[0], len(x), classes)
                with torch.no_grad(), rt.autocast():  # the discriminator's step does not reach the generator
                    fake = G(draw(len(x), noise), *y)
                seen.clear()
                penalise = 0 if (number * critics + turn) % every else every
                step_D.zero_grad(set_to_none=True)
                scaled.backward(loss_D, (x, float32(fake), *y))
                scaled.step(step_D)
                verdict = Verdict.of_parts(seen)
                if clip is not None:
                    clip_weights(D, clip)
            # Simplified: logits of the reals from before the discriminator's last step; only a relativistic loss cares
            step_G.zero_grad(set_to_none=True)
            codes = draw(len(x), noise)
            # through the discriminator, but not into its weights
            value = scaled.backward(loss_G, (codes, verdict.real, *y), learners[0])
            scaled.step(step_G)
            if smooth is not None and number % smooth.every == 0:
                step_G.zero_grad(set_to_none=True)
                scaled.backward(loss_G, (draw(max(1, len(x) // smooth.part), noise),), learners[0])
                scaled.step(step_G)
            for schedule in schedules:
                schedule.step()
            if average is not None:
                average.update(round_)
            bar.update(round_)
            if watch is not None:  # before the snapshot is written, so that what it saw is in it
                watch(guard.images_seen + round_, verdict)
            guard.step(round_, {"discriminator's loss": verdict.total, "generator's loss": value})
            won.look(verdict, guard.images_seen)
            if number % 50 == 49:
                bar.set_postfix(gap=f"{verdict.gap.item():.3g}")
    if average is not None:
        average.copy()
    guard.finish()
    facts = {"images_seen": rounds * round_, "batch": batch, "lr": list(lr), "critic_steps": critics}
    return facts if average is None else {**facts, "half_life": average.half_life}


class _Won:
    """Warns once when the discriminator's loss has been next to nothing for a while.

    Which of both logits is larger would not do: with batch normalisation a healthy game has almost all in order too.
    A Wasserstein critic never wins: guessing costs it nothing, and its slope does not depend on how right it is.
    """

    def __init__(self, loss: Loss) -> None:
        unsure = torch.zeros(1)
        self._guess = float(loss.discriminator(unsure, unsure))  # what the same logit for all images costs
        self._losses: list[Tensor] = []

    def look(self, verdict: Verdict, images_seen: int) -> None:
        if self._guess <= 0:
            return
        self._losses.append(verdict.loss)
        if len(self._losses) < WINDOW:
            return
        share, self._losses = float(torch.stack(self._losses).mean()) / self._guess, []
        if share < WON:
            self._guess = 0.0  # said once
            warnings.warn(
                f"the discriminator's loss was {share:.2%} of what guessing costs in the {WINDOW} generator steps "
                f"before {images_seen:,} images: it has won, and the generator learns little from it; lower its "
                "learning rate, raise the generator's, or use a Wasserstein loss with a penalty",
                DiscriminatorWon,
                stacklevel=3,
            )
