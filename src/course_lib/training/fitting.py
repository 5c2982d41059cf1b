"""The loop that the recipes share: AdamW, one cycle of the learning rate, and a progress bar that counts images."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.cards import Facts
from course_lib.progress import progress
from course_lib.training.distributed import own_rows, parallel
from course_lib.training.guard import Guard
from course_lib.training.runtime import Runtime
from course_lib.training.scaled import Scaled


def fit(
    rt: Runtime,
    model: nn.Module,
    batches: Iterator[Any],
    loss: Callable[[Any], Tensor],
    *,
    images: int,
    batch: int,
    lr: float,
    what: str,
    warm: float = 0.1,
    clip: float | None = None,
    weight_decay: float = 0.0,
    quiet: bool = False,
    watch: Callable[[int], None] | None = None,
) -> Facts:
    """Minimise ``loss(minibatch)`` over the parameters of `model` until `images` images were seen.

    By AdamW with the one-cycle policy of Smith & Topin 2018 (PyTorch's `OneCycleLR`); returns what a card says about
    it. With snapshots the loop can be resumed bit for bit, on the same kind of processor with as many threads; for
    that, `loss` may draw only from generators of ``rt.generator``, of modules of `model`, and torch's own, and
    remembers nothing.

    Args:
        rt: has the device, the generators, the precision and the snapshots.
        model: in training mode afterwards too; its parameters change in place.
        batches: an endless iterator over minibatches of `batch` images, usually a `data.Stream`.
        loss: scalar of one of the minibatches.
        images: how many to see; steps are ``images // batch``.
        batch: images per minibatch.
        lr: the largest learning rate, reached after the share `warm` of all steps.
        what: name on the progress bar, of which there is none if `quiet`.
        warm: share of the steps in which the learning rate rises.
        clip: largest norm of the gradient, or None to leave it.
        weight_decay: of AdamW.
        watch: called after each step with the images seen; if it has ``state_dict`` and ``load_state_dict``, what it
            remembers is kept and resumed with the rest.

    Raises TypeError or ValueError for a number out of range, minibatches of another size or range, or a model without
    anything to learn; TrainingDiverged if the loss or the gradient's norm is NaN or infinite; as `Guard` too.
    """
    steps = checks.whole("images", images, at_least=checks.whole("batch", batch)) // batch
    checks.real("lr", lr, positive=True)
    checks.real("weight_decay", weight_decay)
    if clip is not None:
        checks.real("clip", clip, positive=True)
    if not 0 < checks.real("warm", warm) < 1:
        raise ValueError(f"warm: expected a share of the steps between 0 and 1, got {warm}")
    learners = learnable("model", model)
    if warm * steps <= 1:  # OneCycleLR would divide by zero, or begin with a falling rate
        raise ValueError(
            f"images: expected more than {batch / warm:,.0f}, because the learning rate rises in the first {warm:.0%} "
            f"of the steps and these must be more than one; got {images:,}"
        )
    optimizer = torch.optim.AdamW(learners, lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=warm)
    model.train()
    rt.translate(model)
    scaled = Scaled(rt)
    step_loss = parallel(model, lambda *drawn: loss(drawn if len(drawn) > 1 else drawn[0]))
    plan = {"what": what, "images": images, "batch": batch, "lr": lr}
    plan |= {"warm": warm, "clip": clip, "weight_decay": weight_decay}
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "batches": batches}
    parts |= scaled.parts
    if hasattr(watch, "state_dict"):
        parts["watch"] = watch
    guard = Guard(rt, plan, steps * batch, parts)
    with guard, progress(steps * batch, what, quiet=quiet or rt.rank > 0) as bar:
        bar.initial = guard.images_seen  # so that the speed is that of this run alone
        bar.update(guard.images_seen)
        for step in range(guard.images_seen // batch, steps):
            drawn = minibatch(batches, batch, guard.images_seen, learners[0].dtype, binary=True)
            optimizer.zero_grad(set_to_none=True)
            value = scaled.backward(step_loss, drawn)
            norm = scaled.step(optimizer, learners, clip)
            schedule.step()
            bar.update(batch)
            if watch is not None:  # before the snapshot is written, so that what it saw is in it
                watch(guard.images_seen + batch)
            guard.step(batch, {"loss": value, **norm})
            if step % 100 == 99:
                bar.set_postfix(loss=f"{value.item():.4g}")
    guard.finish()
    return {"images_seen": steps * batch, "batch": batch, "lr": lr}


def learnable(name: str, model: nn.Module) -> list[nn.Parameter]:
    """The weights of `model` that can be trained; ValueError if there are none, as in one of the zoo's."""
    found = [weight for weight in model.parameters() if weight.requires_grad]
    if not found:
        got = "a model whose weights are all frozen, as zoo.load gives them; call its requires_grad_(True) first"
        raise ValueError(f"{name}: expected weights to train, got {got}")
    return found


def minibatch(
    batches: Iterator[Any], batch: int, images_seen: int, dtype: torch.dtype, *, binary: bool = False
) -> tuple[Tensor, ...]:
    """The next minibatch as a tuple, (x,) or (x, y, …), if it is one; the first one's pixels are looked at as well.

    They lie in [-1, 1], or are 0 or 1 if `binary`. TypeError or ValueError for anything else than tensors of so many
    images of the weights' `dtype`, or an iterator at its end; warns of checks.ImageRangeWarning.
    """
    try:
        drawn = next(batches)
    except StopIteration:
        got = f"one that ended after {images_seen:,} images; use data.Stream(x, batch=...)"
        raise ValueError(f"batches: expected an endless iterator, got {got}") from None
    except TypeError:
        raise TypeError(
            f"batches: expected an iterator over minibatches, such as data.Stream, got {type(batches).__name__}"
        ) from None
    parts = (drawn,) if isinstance(drawn, Tensor) else tuple(drawn)
    x = parts[0]
    if not isinstance(x, Tensor):
        raise TypeError(f"batches: expected minibatches of tensors, got {type(x).__name__}")
    if len(x) != batch:
        raise ValueError(f"batches: expected minibatches of {batch} images, got one of {len(x)}")
    if images_seen == 0 and x.dim() == 4:
        if x.dtype != dtype:
            got = f"{x.dtype}; data.from_uint8 makes them of bytes, .to({dtype}) of other numbers"
            raise TypeError(f"batches: expected images of {dtype}, as the weights are, got {got}")
        if not (binary and bool(((x == 0) | (x == 1)).all())):
            checks.images("batches", x)
    return tuple(own_rows(part) for part in parts)
