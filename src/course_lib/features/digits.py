"""What digits are measured with: a classifier trained on MNIST."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib import checks, zoo
from course_lib.classifiers import DigitCNN
from course_lib.evaluation import batched


@dataclass(frozen=True)
class DigitClassifier:
    """A frozen MNIST classifier: features, logits and class probabilities of 28x28 digits."""

    net: DigitCNN
    name: str

    @property
    def dimensions(self) -> int:
        """Length of a feature vector."""
        return self.net.cfg.features

    def features(self, x: Tensor) -> Tensor:
        """Last hidden layer (N, dimensions) of images (N, 1, 28, 28) in [-1, 1].

        The result is where the images are, wherever the network is.

        Raises:
            TypeError, ValueError: images of another shape or range.

        Warns:
            checks.ImageRangeWarning: no pixel is below 0, as if they were in [0, 1].
        """
        return batched(self.net.embed, self._ready(x))

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, 28, 28) in [-1, 1]. Raises as `features`."""
        return batched(self.net, self._ready(x))

    def probabilities(self, x: Tensor) -> Tensor:
        """p(y|x), rows sum to 1: (N, 10), of images (N, 1, 28, 28) in [-1, 1]. Raises as `features`."""
        return self.logits(x).softmax(1)

    def _ready(self, x: Tensor) -> Tensor:
        return checks.images("x", x, "(N, 1, 28, 28)").float()


def digit_classifier(device: str | torch.device = "cpu") -> DigitClassifier:
    """The shipped digit classifier (checkpoint ``digit_classifier``), the extractor of all digit metrics.

    Raises DataFileError if its checkpoint is missing or altered.
    """
    net = zoo.load("digit_classifier", device)
    assert isinstance(net, DigitCNN)
    return DigitClassifier(net.to(memory_format=torch.channels_last), "digit_classifier (MNIST CNN)")
