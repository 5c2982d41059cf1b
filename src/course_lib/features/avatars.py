"""What drawn faces are measured with: a classifier that names the parts of a face."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib import zoo
from course_lib.classifiers import AvatarCNN
from course_lib.features.layers import Extractor


@dataclass(frozen=True)
class AvatarAttributes(Extractor):
    """A frozen classifier of faces (N, 3, 64, 64): features, and logits and class probabilities of each attribute."""

    net: AvatarCNN
    name: str

    _shape = "(N, 3, 64, 64)"

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Attribute -> its classes, in the order of the columns of `logits`: ``names["glasses"].index("none")``."""
        return self.net.cfg.names

    def logits(self, x: Tensor) -> dict[str, Tensor]:
        """Attribute -> logits (N, classes); ``net.by_attribute(net(x))`` has gradients to the images, too."""
        return self.net.by_attribute(self._apply(self.net, x))

    def probabilities(self, x: Tensor) -> dict[str, Tensor]:
        """Attribute -> p(y|x), rows sum to 1: (N, classes)."""
        return {attribute: logits.softmax(1) for attribute, logits in self.logits(x).items()}

    def predict(self, x: Tensor) -> dict[str, np.ndarray]:
        """Attribute -> array of N names, the likeliest, as in the table of `data.avatars`."""
        likeliest = {key: logits.argmax(1).cpu().numpy() for key, logits in self.logits(x).items()}
        return {key: np.array(self.names[key])[numbers] for key, numbers in likeliest.items()}


def avatar_attributes(device: str | torch.device = "cpu") -> AvatarAttributes:
    """The shipped classifier of "open-peeps" faces, the extractor of their metrics; DataFileError if it is missing."""
    net = zoo.load("avatar_classifier", device)
    assert isinstance(net, AvatarCNN)
    return AvatarAttributes(net.to(memory_format=torch.channels_last), "avatar_classifier (Open Peeps CNN)")
