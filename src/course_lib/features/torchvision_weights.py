"""Torchvision's networks, with weights whose sha256 is compared with the eight digits in the file's name."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.data import DownloadError
from course_lib.data.files import cache_folder


def torchvision_network(
    title: str,
    weights: Any,
    builder: Callable[..., nn.Module],
    device: str | torch.device,
    offline: str,
    **options: Any,
) -> nn.Module:
    """A network of torchvision with its verified `weights`, in eval mode, without gradients, nothing in place."""
    state = torch.load(downloaded(title, weights.url, offline), map_location="cpu", weights_only=True)
    with torch.device("meta"):  # no time and memory for weights that are replaced at once
        net = builder(weights=None, **options)
    net.load_state_dict(state, assign=True)
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # else it would overwrite the convolution's output, a layer here
    return net.eval().requires_grad_(False).to(device)


def downloaded(title: str, url: str, offline: str) -> Path:
    """The verified file at `url`, in the cache folder; raises DownloadError, which says what works `offline`."""
    path = cache_folder() / "torchvision" / url.rsplit("/", 1)[1]
    digits = re.search(r"-([0-9a-f]{8})\.pth$", path.name)[1]  # type: ignore[index]
    try:
        if path.is_file():
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest().startswith(digits):
                    return path
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digits)
    except (OSError, RuntimeError) as error:
        raise DownloadError(
            f"{title}'s ImageNet weights are not part of the repository and could not be downloaded from {url}: "
            f"{error}. Connect to the internet and call again, or copy the file from another machine to {path}. "
            f"Offline, course_lib.features.{offline}"
        ) from error
    return path


def standardised(x: Tensor) -> Tensor:
    """Images in [-1, 1] with ImageNet's mean and standard deviation (of [0, 1]) taken out of each colour."""
    mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return ((x + 1) / 2 - mean) / std
