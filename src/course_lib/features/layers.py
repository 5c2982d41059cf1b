"""What the extractors share: their three methods, a network's layers by name, and how many images fit in one batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import checks
from course_lib.evaluation import batched


class Extractor:
    """A frozen classifier `net` with a `name`: features, logits and class probabilities of images in [-1, 1].

    TypeError or ValueError for another shape or range; warns of `checks.ImageRangeWarning` if no pixel is below 0.
    """

    net: Any  # has the method embed, images -> features, and its number of features in cfg
    _shape = "(N, 3, H, W)"

    @property
    def dimensions(self) -> int:
        """Length of a feature vector."""
        return self.net.cfg.features

    def features(self, x: Tensor) -> Tensor:
        """Last hidden layer (N, dimensions) of images (N, C, H, W)."""
        return self._apply(self.net.embed, x)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        return self._apply(self.net, x)

    def probabilities(self, x: Tensor) -> Tensor:
        """p(y|x), rows sum to 1: (N, classes), of images (N, C, H, W)."""
        return self.logits(x).softmax(1)

    def _apply(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return batched(f, checks.images("x", x, self._shape).float())


@dataclass(frozen=True)
class Chain:
    """The layers of a frozen network in the order in which they are applied, by their names."""

    modules: Mapping[str, nn.Module]
    normalise: Callable[[Tensor], Tensor]  # from [-1, 1] to what the first layer was trained on
    smallest: int  # height and width in pixels at which one position is left at the end

    def __call__(self, x: Tensor, *names: str) -> dict[str, Tensor]:
        """Feature maps {name: (N, C, h, w)} of images (N, 3, H, W) in [-1, 1] or a little beyond, with gradients.

        TypeError or ValueError for other images or too small ones, for no names, or an unknown one.
        """
        if not names:
            raise ValueError(f"names: expected one layer or more of {', '.join(self.modules)}, got none")
        wanted = {checks.choice("a layer's name", name, self.modules) for name in names}
        x = checks.tensor("x", x, "(N, 3, H, W)")
        if float(x.detach().abs().max()) > 10:
            checks.images("x", x.detach())  # raises, and says how to map [0, 255]
        if min(x.shape[2:]) < self.smallest:
            wanted, got = f"{self.smallest} x {self.smallest}", f"{x.shape[2]} x {x.shape[3]}"
            raise ValueError(f"x: expected images of at least {wanted} pixels, got {got}; resize them first")
        h = self.normalise(x.to(self.device, torch.float32))
        maps = {}
        for name, module in self.modules.items():
            h = module(h)  # (N, C, h, w)
            if name in wanted:
                maps[name] = h
            if len(maps) == len(wanted):
                break
        return {name: maps[name] for name in names}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(p for module in self.modules.values() for p in module.parameters()).device


def named_layers(layers: nn.Sequential, *, blocks: bool = True) -> dict[str, nn.Module]:
    """The layers by name: conv1_1, relu1_1, conv1_2 … pool1, conv2_1 …, or conv1, relu1, pool1 … without blocks."""
    named: dict[str, nn.Module] = {}
    block, convolution = 1, 0
    for module in layers:
        kind = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}[type(module)]
        convolution += kind == "conv"
        if not blocks:
            named[f"{kind}{convolution}"] = module
        elif kind == "pool":
            named[f"pool{block}"] = module
            block, convolution = block + 1, 0
        else:
            named[f"{kind}{block}_{convolution}"] = module
    return named


def at_once(device: torch.device, pixels: int) -> int:
    """How many images of so many pixels in one batch: on a CPU, as many as keep the activations in its cache."""
    return max(1, (2**17 if device.type == "cpu" else 2**22) // pixels)
