"""The loop that the recipes share: AdamW, one cycle of the learning rate, and a progress bar that counts images.

`Guard` is what makes a long loop dependable, this one or one that is written out: it is resumed where it was
interrupted, with bit for bit the same result, and it stops when a number is no longer finite.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.checkpoint import differences
from course_lib.progress import progress
from course_lib.recipes.recipe import Facts
from course_lib.training import Runtime, TrainingDiverged

SAVES = 20  # checkpoints per run, and one whenever the last is older than
SECONDS = 180.0
CHECK_EVERY = 50  # steps: reading a loss waits for the GPU, so that they are read together


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
) -> Facts:
    """Minimise ``loss(minibatch)`` over the parameters of `model` until `images` images were seen.

    By AdamW with the one-cycle policy of Smith & Topin 2018: the learning rate rises, then falls to nearly 0, and the
    first moment's decay goes the other way, from 0.95 to 0.85 and back (PyTorch's `OneCycleLR`).

    If `rt` keeps checkpoints, the loop can be interrupted and resumed. For the result to be the same then, `loss` may
    draw only from generators that came from ``rt.generator`` before, from those that modules of `model` have as
    attributes, and from torch's own (dropout does), and it may remember nothing from one call to the next.
    Bit for bit it is the same on the same kind of processor with as many threads (another number rounds otherwise).

    Args:
        rt: has the device, the generators and the checkpoints.
        model: in training mode afterwards too; its parameters change in place.
        batches: an endless iterator over minibatches of `batch` images, usually a `data.Stream`.
        loss: scalar of one of the minibatches.
        images: how many images to see; steps are ``images // batch``.
        batch: images per minibatch.
        lr: the largest learning rate, reached after the share `warm` of all steps.
        what: name on the progress bar.
        warm: share of the steps in which the learning rate rises.
        clip: largest norm of the gradient, or None to leave it.
        weight_decay: of AdamW.
        quiet: no progress bar.

    Returns:
        What a checkpoint's card says about the training: images seen, batch, learning rate.

    Raises:
        TypeError, ValueError: a wrong number of images, batch, learning rate, warm, clip or weight decay; minibatches
            of another size, or images that are not in [-1, 1]; a model without anything to learn; as `Guard` too.
        TrainingDiverged: the loss or the gradient's norm became NaN or infinite.
        DataFileError: the checkpoint to resume from is truncated or altered.
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
    plan = {"what": what, "images": images, "batch": batch, "lr": lr}
    plan |= {"warm": warm, "clip": clip, "weight_decay": weight_decay}
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "batches": batches}
    guard = Guard(rt, plan, steps * batch, parts)
    with progress(steps * batch, what, quiet=quiet) as bar:
        bar.initial = guard.images_seen  # so that the speed is that of this run alone
        bar.update(guard.images_seen)
        for step in range(guard.images_seen // batch, steps):
            drawn = minibatch(batches, batch, guard.images_seen, learners[0].dtype, binary=True)
            value = loss(drawn if len(drawn) > 1 else drawn[0])
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            norm = nn.utils.clip_grad_norm_(learners, math.inf if clip is None else clip)
            optimizer.step()
            schedule.step()
            bar.update(batch)
            guard.step(batch, {"loss": value, "gradient norm": norm})
            if step % 100 == 99:
                bar.set_postfix(loss=f"{value.item():.4g}")
    guard.finish()
    return {"images_seen": steps * batch, "batch": batch, "lr": lr}


def learnable(name: str, model: nn.Module) -> list[nn.Parameter]:
    """The weights of `model` that can be trained; ValueError if there are none, as in one of the zoo's."""
    found = [weight for weight in model.parameters() if weight.requires_grad]
    if not found:
        raise ValueError(
            f"{name}: expected weights to train, got a model whose weights are all frozen, as zoo.load gives them; "
            "call its requires_grad_(True) first"
        )
    return found


def minibatch(
    batches: Iterator[Any], batch: int, images_seen: int, dtype: torch.dtype, *, binary: bool = False
) -> tuple[Tensor, ...]:
    """The next minibatch as a tuple, (x,) or (x, y, …), if it is one; the first one's pixels are looked at as well.

    Only the first, because that waits for the GPU. `binary` says that pixels may also be 0 or 1.

    Raises:
        TypeError, ValueError: not tensors, another number of images, images of another dtype than the weights' or that
            are not in [-1, 1], or an iterator at its end.

    Warns:
        checks.ImageRangeWarning: no pixel is below 0.
    """
    try:
        drawn = next(batches)
    except StopIteration:
        raise ValueError(
            f"batches: expected an endless iterator, got one that ended after {images_seen:,} images; "
            "use data.Stream(x, batch=...)"
        ) from None
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
            raise TypeError(
                f"batches: expected images of {dtype}, as the weights are, got {x.dtype}; data.from_uint8 makes them "
                f"of bytes, .to({dtype}) of other numbers"
            )
        if not (binary and bool(((x == 0) | (x == 1)).all())):
            checks.images("batches", x)
    return parts


class Guard:
    """Keeps a training loop's checkpoint, resumes from it, and stops the loop when it diverges.

    If ``rt.checkpoints`` resumes a run, `parts` and all generators are set to where that run stood, and `images_seen`
    says where that is; so make it last, just before the loop. Without ``rt.checkpoints`` it only watches.

    Args:
        rt: has the device, the generators and the checkpoints.
        plan: the loop's numbers, by name: a resumed run must have the same.
        images: how many the whole loop sees.
        parts: all that changes in the loop, by name: models, optimizers, schedules, streams.

    Attributes:
        images_seen: so far, those before the interruption included.

    Raises:
        TypeError: a part cannot say its state (it has no ``state_dict``).
        ValueError: the checkpoint to resume from is of another run; the message says what differs.
        DataFileError: it is truncated or altered.
    """

    def __init__(self, rt: Runtime, plan: Mapping[str, Any], images: int, parts: Mapping[str, Any]) -> None:
        self.images_seen = 0
        self._rt, self._parts, self._every = rt, parts, images / SAVES
        self._recent: list[tuple[int, Mapping[str, Tensor]]] = []  # images seen, and what to watch
        self._kept_at, self._kept_when = 0, time.monotonic()
        self._checkpoint = rt.checkpoints.next() if rt.checkpoints else None
        if self._checkpoint is None:
            return
        for name, part in parts.items():
            if not hasattr(part, "state_dict"):
                raise TypeError(
                    f"{name}: expected an object with state_dict and load_state_dict, such as data.Stream, so that "
                    f"training can be resumed; got {type(part).__name__}"
                )
        self._generators = _generators(rt, parts)
        self._plan = {**rt.checkpoints.run, "seed": rt.seed, "device": rt.device.type, **plan}
        self._plan |= _architecture(parts)
        self._plan["generators"] = [name for name, _ in self._generators]
        if rt.checkpoints.resume and self._checkpoint.path.exists():
            self._restore(self._checkpoint.load())

    def step(self, images: int, watched: Mapping[str, Tensor]) -> None:
        """To be called after each step, with the number of its images and the scalars that must stay finite.

        Raises:
            TrainingDiverged: one of them was NaN or infinite in one of the last `CHECK_EVERY` steps, or a weight is
                when it is to be written to the checkpoint.
        """
        self.images_seen += images
        self._recent.append((self.images_seen, {name: value.detach() for name, value in watched.items()}))
        old = time.monotonic() - self._kept_when >= SECONDS
        if self._checkpoint and (old or self.images_seen - self._kept_at >= self._every):
            self._save()
        elif len(self._recent) >= CHECK_EVERY:
            self._check()

    def finish(self) -> None:
        """To be called after the loop: looks at its last steps and keeps its result.

        The checkpoint stays until ``rt.checkpoints.remove()``, so that what follows on the loop may fail too.

        Raises:
            TrainingDiverged: as `step`.
        """
        self._check()
        if self._checkpoint and self.images_seen > self._kept_at:
            self._save()

    def _check(self) -> None:
        """Look at the watched numbers of all steps since the last look."""
        recent, self._recent = self._recent, []
        if not recent:
            return
        rows = [torch.stack(list(watched.values())) for _, watched in recent]
        values = torch.stack(rows).cpu()  # (steps, watched): one wait for the GPU instead of one per step
        bad = (~values.isfinite()).nonzero()
        if len(bad):
            step, column = bad[0].tolist()
            images_seen, watched = recent[step]
            self._diverged(list(watched)[column], values[step, column].item(), images_seen)

    def _save(self) -> None:
        self._check()
        states = {name: part.state_dict() for name, part in self._parts.items()}
        # Finite losses do not mean finite weights: they were computed before the step that spoilt these.
        for name, tensor in _tensors(states):
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                self._diverged(name, tensor[~tensor.isfinite()][0].item(), self.images_seen)
        self._checkpoint.save(
            {
                "plan": self._plan,
                "images_seen": self.images_seen,
                "seconds": self._rt.seconds,
                "parts": states,
                "generators": [generator.get_state() for _, generator in self._generators],
            }
        )
        self._kept_at, self._kept_when = self.images_seen, time.monotonic()

    def _restore(self, state: Mapping[str, Any]) -> None:
        where, advice = f"the training checkpoint {self._checkpoint.path}", "or start anew without resuming"
        if unequal := differences(self._plan, state.get("plan", {})):
            raise ValueError(
                f"{where} is of another run: {unequal}; train with what it was begun with, {advice}"
            )
        try:
            for name, part in self._parts.items():
                part.load_state_dict(state["parts"][name])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"{where} does not fit: {name}: {reason}; train with what it was begun with, {advice}"
            ) from error
        for (_, generator), was in zip(self._generators, state["generators"], strict=True):
            generator.set_state(was)
        self.images_seen = self._kept_at = state["images_seen"]
        self._rt.start = time.perf_counter() - state["seconds"]

    def _diverged(self, what: str, value: float, images_seen: int) -> None:
        kept = self._checkpoint.path if self._checkpoint and self._kept_at else None
        raise TrainingDiverged(what, value, images_seen, kept, self._kept_at)


class _AppleGenerator:
    """The one generator of Apple's GPU, from which dropout draws, with the methods of a torch.Generator."""

    get_state = staticmethod(torch.mps.get_rng_state)
    set_state = staticmethod(torch.mps.set_rng_state)


def _generators(rt: Runtime, parts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """All that a training step may draw from, by name; a stream keeps its own generator's state itself."""
    found = [("torch", torch.default_generator)]
    if rt.device.type == "cuda":
        index = torch.cuda.current_device() if rt.device.index is None else rt.device.index
        found.append(("torch.cuda", torch.cuda.default_generators[index]))
    elif rt.device.type == "mps":
        found.append(("torch.mps", _AppleGenerator()))
    found += [(f"rt.generator({stream})", generator) for stream, generator in rt.generators_in_use()]
    for name, model in parts.items():
        for path, module in model.named_modules() if isinstance(model, nn.Module) else ():
            for key, value in vars(module).items():
                if isinstance(value, torch.Generator):
                    found.append((f"{name}.{path}.{key}", value))
    return found


def _architecture(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The config of each model and the shapes of its weights, by name."""
    found: dict[str, Any] = {}
    for name, model in parts.items():
        if isinstance(model, nn.Module):
            if dataclasses.is_dataclass(cfg := getattr(model, "cfg", None)):
                found |= {f"{name}.cfg.{key}": value for key, value in dataclasses.asdict(cfg).items()}
            found |= {f"the shape of {name}.{key}": tuple(w.shape) for key, w in model.state_dict().items()}
    return found


def _tensors(states: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in nested dicts and lists, each with its path."""
    if isinstance(states, Tensor):
        yield path, states
    elif isinstance(states, (Mapping, list, tuple)):
        for key, item in states.items() if isinstance(states, Mapping) else enumerate(states):
            yield from _tensors(item, f"{path}.{key}" if path else str(key))
