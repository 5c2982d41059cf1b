"""What digits are measured with: a classifier trained on MNIST."""

from dataclasses import dataclass

import torch

from course_lib import zoo
from course_lib.classifiers import DigitCNN
from course_lib.features.layers import Extractor


@dataclass(frozen=True)
class DigitClassifier(Extractor):
    """A frozen MNIST classifier: features, logits and class probabilities of digits (N, 1, 28, 28)."""

    net: DigitCNN
    name: str

    _shape = "(N, 1, 28, 28)"


def digit_classifier(device: str | torch.device = "cpu") -> DigitClassifier:
    """The shipped classifier (checkpoint ``digit_classifier``) that all digit metrics use; DataFileError if missing."""
    net = zoo.load("digit_classifier", device)
    assert isinstance(net, DigitCNN)
    return DigitClassifier(net.to(memory_format=torch.channels_last), "digit_classifier (MNIST CNN)")
