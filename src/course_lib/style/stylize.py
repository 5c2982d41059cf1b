"""A photograph painted in the manner of another picture, by optimising the picture itself (Gatys et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib import checks
from course_lib.features import ImageNetFeatures, VGGFeatures
from course_lib.progress import progress
from course_lib.style.canvas import Pixels, Waves
from course_lib.style.losses import content_loss, gram, style_loss, total_variation

LAYERS: dict[type, tuple[tuple[str, ...], tuple[str, ...]]] = {  # network -> layers of style, of content
    ImageNetFeatures: (("stem", "block0", "block2", "block4", "block7", "block10"), ("block4",)),
    VGGFeatures: (("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), ("relu4_2",)),
}
CANVASES = {"waves": Waves, "pixels": Pixels}


@dataclass(frozen=True)
class Stylized:
    """A finished picture and how it came about."""

    picture: Tensor  # (1, 3, H, W) in [-1, 1]
    frames: dict[int, Tensor]  # step -> the picture then, (1, 3, H, W)
    losses: list[dict[str, float]]  # of each step: content, style, variation and total


def stylize(
    content: Tensor,
    style: Tensor,
    network: ImageNetFeatures | VGGFeatures,
    *,
    weights: Mapping[str, float] | None = None,
    style_layers: Sequence[str] | None = None,
    content_layers: Sequence[str] | None = None,
    start: str | Tensor = "content",
    canvas: str = "waves",
    optimizer: str = "adam",
    lr: float = 0.03,
    steps: int = 150,
    keep: Sequence[int] = (),
    generator: torch.Generator | None = None,
    quiet: bool = False,
    watch: Callable[[int, dict[str, float]], None] | None = None,
) -> Stylized:
    """Minimise content, style and total variation losses, each times its weight, over the picture.

    Args:
        content, style: images (1, 3, H, W) in [-1, 1], of sizes of their own; the picture has the content's.
        network: whose layers see, with ``layers(x, *names)``.
        weights: of "content", "style" and "variation"; those left out are 0.15, 1 and 0.5.
        style_layers, content_layers: names; by default those of `LAYERS`.
        start: "content", "noise" (N(0, 0.3²), needs a generator), or an image of the content's size.
        canvas: "waves" or "pixels", what the steps move (see `canvas`).
        optimizer: "adam" with `lr`, or "lbfgs", whose step is one pass of at most 20 evaluations.
        steps: of the optimizer.
        keep: numbers of steps after which the picture is kept; 0 is the start.
        watch: called after each step with its number and the losses before it.

    Raises:
        TypeError, ValueError: images of another shape or range, unknown names, numbers that are not positive.
    """
    shares = {"content": 0.15, "style": 1.0, "variation": 0.5, **(weights or {})}
    for name, share in shares.items():
        checks.choice("weights, name", name, ("content", "style", "variation"))
        checks.real(f"weights[{name!r}]", share)
    of_style, of_content = LAYERS[type(network)]
    of_style, of_content = tuple(style_layers or of_style), tuple(content_layers or of_content)
    device = network.layers.device
    content, style = (_single(name, x).to(device) for name, x in (("content", content), ("style", style)))
    with torch.no_grad():
        wanted = network.layers(content, *of_content)
        grams = {name: gram(maps) for name, maps in network.layers(style, *of_style).items()}
    names = tuple(dict.fromkeys(of_style + of_content))
    painted = CANVASES[checks.choice("canvas", canvas, CANVASES)](_start(start, content, generator))
    checks.choice("optimizer", optimizer, ("adam", "lbfgs"))
    checks.real("lr", lr, positive=True)
    if optimizer == "adam":
        method: torch.optim.Optimizer = torch.optim.Adam(painted.parameters(), lr)
    else:
        method = torch.optim.LBFGS(painted.parameters(), 1.0, max_iter=20, line_search_fn="strong_wolfe")
    frames: dict[int, Tensor] = {}
    history: list[dict[str, float]] = []

    def losses() -> dict[str, Tensor]:
        x = painted()
        maps = network.layers(x.clamp(-1.5, 1.5), *names)
        found = {"content": content_loss(maps, wanted), "style": style_loss(maps, grams)}
        # beyond black and white nothing can be printed: the excess costs as variation does
        found["variation"] = total_variation(x) + (x.abs() - 1).clamp(min=0).square().mean()
        return {**found, "total": sum(shares[name] * value for name, value in found.items())}

    def evaluate() -> Tensor:
        method.zero_grad()
        found = losses()
        found["total"].backward()
        seen.update({name: float(value.detach()) for name, value in found.items()})
        return found["total"]

    seen: dict[str, float] = {}
    with progress(checks.whole("steps", steps), "style", unit=" steps", quiet=quiet) as bar:
        for step in range(steps):
            if step in keep:
                frames[step] = _shown(painted)
            before = method.step(evaluate)
            history.append(dict(seen) if optimizer == "adam" else {**seen, "total": float(before.detach())})
            if watch is not None:
                watch(step + 1, history[-1])
            bar.update()
    picture = _shown(painted)
    if steps in keep:
        frames[steps] = picture
    return Stylized(picture, frames, history)


@torch.no_grad()
def _shown(painted: Any) -> Tensor:
    return painted().clamp(-1, 1).cpu()


def _single(name: str, x: Tensor) -> Tensor:
    return checks.images(name, x, "(1, 3, H, W)").float()


def _start(start: str | Tensor, content: Tensor, generator: torch.Generator | None) -> Tensor:
    if isinstance(start, Tensor):
        return checks.of_shape("start", start.to(content), str(tuple(content.shape)))
    if checks.choice("start", start, ("content", "noise")) == "content":
        return content
    noise = torch.randn(content.shape, generator=checks.generator("generator", generator))
    return 0.3 * noise.to(content)
