"""Frozen extractors: what a distance or a score between images is measured with.

Each knows its name, its preprocessing and the length of its features, because a score without them means nothing.

`digit_classifier`, `imagenet` and `perceptual` work offline. `vgg19`, `inception` and `lpips` are torchvision's
networks, whose ImageNet weights are downloaded at the first call, into the cache folder. Their sha256 is compared at
every call with the eight digits in the file's name, which is all that torchvision publishes; no code in them is run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import checks, efficientnet, zoo
from course_lib.classifiers import DigitCNN
from course_lib.data import DataFileError, DownloadError
from course_lib.data.files import cache_folder
from course_lib.metrics.images import image_pair, perceptual_distance
from course_lib.training import batched

_STYLE_LAYERS = ("stem", "block0", "block2", "block4", "block7", "block10")  # strides 2, 2, 4, 8, 16, 16
_LPIPS_LAYERS = {
    "alex": ("relu1", "relu2", "relu3", "relu4", "relu5"),
    "vgg": ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),  # VGG16's
}
_LPIPS_SHA256 = {
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
}


@dataclass(frozen=True)
class Chain:
    """The layers of a frozen network in the order in which they are applied, by their names."""

    modules: Mapping[str, nn.Module]
    normalise: Callable[[Tensor], Tensor]  # from [-1, 1] to what the first layer was trained on
    smallest: int  # height and width in pixels at which one position is left at the end

    def __call__(self, x: Tensor, *names: str) -> dict[str, Tensor]:
        """Feature maps {name: (N, C, h, w)} of images (N, 3, H, W) in [-1, 1], at the images' own size.

        All at once, with gradients to the images: for a loss. Without ``torch.no_grad()`` everything is remembered.
        Values a little outside are let through, for an image that is being optimised may leave the range for a while.

        Raises:
            TypeError, ValueError: images of another shape or range, or too small; no names, or an unknown one.
        """
        if not names:
            raise ValueError(f"names: expected one layer or more of {', '.join(self.modules)}, got none")
        wanted = {checks.choice("a layer's name", name, self.modules) for name in names}
        x = checks.tensor("x", x, "(N, 3, H, W)")
        if float(x.detach().abs().max()) > 10:
            checks.images("x", x.detach())  # raises, and says how to map [0, 255]
        if min(x.shape[2:]) < self.smallest:
            raise ValueError(
                f"x: expected images of at least {self.smallest} x {self.smallest} pixels, "
                f"got {x.shape[2]} x {x.shape[3]}; resize them first"
            )
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

        Raises:
            TypeError, ValueError: images of another shape or range.
        """
        return batched(self.net.embed, self._ready(x))

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, 28, 28) in [-1, 1]. Raises as `features`."""
        return batched(self.net, self._ready(x))

    def probabilities(self, x: Tensor) -> Tensor:
        """p(y|x), rows sum to 1: (N, 10), of images (N, 1, 28, 28) in [-1, 1]. Raises as `features`."""
        return self.logits(x).softmax(1)

    def _ready(self, x: Tensor) -> Tensor:
        device = next(self.net.parameters()).device
        return checks.images("x", x, "(N, 1, 28, 28)").to(device, torch.float32)


def digit_classifier(device: str | torch.device = "cpu") -> DigitClassifier:
    """The shipped digit classifier (checkpoint ``digit_classifier``), the extractor of all digit metrics.

    Raises:
        DataFileError: its checkpoint is missing or altered.
    """
    net = zoo.load("digit_classifier", device)
    assert isinstance(net, DigitCNN)
    return DigitClassifier(net.to(memory_format=torch.channels_last), "digit_classifier (MNIST CNN)")


@dataclass(frozen=True)
class ImageNetFeatures:
    """A frozen ImageNet classifier: features, logits and class probabilities of colour images of any size."""

    net: efficientnet.EfficientNet
    name: str
    resolution: int  # every image is resized to resolution x resolution first

    @property
    def dimensions(self) -> int:
        """Length of a feature vector."""
        return self.net.cfg.features

    def features(self, x: Tensor) -> Tensor:
        """Features (N, dimensions), the mean over positions of the last layer, of images (N, 3, H, W) in [-1, 1].

        Raises:
            TypeError, ValueError: images of another shape or range.
        """
        return self._apply(self.net.embed, x)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, 1000) of ImageNet's classes of images (N, 3, H, W) in [-1, 1]. Raises as `features`."""
        return self._apply(self.net, x)

    def probabilities(self, x: Tensor) -> Tensor:
        """p(y|x), rows sum to 1: (N, 1000), of images (N, 3, H, W) in [-1, 1]. Raises as `features`."""
        return self.logits(x).softmax(1)

    @property
    def layers(self) -> Chain:
        """Feature maps by name, stem and block0 … block15: ``layers(x, "stem", "block4")``. Nothing is resized."""
        modules = {"stem": self.net.stem, **{f"block{i}": block for i, block in enumerate(self.net.blocks)}}
        return Chain(modules, efficientnet.normalised, smallest=16)

    def _apply(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        device = next(self.net.parameters()).device
        return batched(
            lambda part: f(self._resized(part.to(device, torch.float32))),
            checks.images("x", x, "(N, 3, H, W)"),
            batch=_at_once(device, self.resolution**2),
        )

    def _resized(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, resolution, resolution): bicubic, and antialiased where images become smaller."""
        size = (self.resolution, self.resolution)
        if x.shape[2:] != size:
            x = F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
            x = x.clamp(-1, 1)  # bicubic overshoots at edges
        return x.contiguous(memory_format=torch.channels_last)


def imagenet(resolution: int = 224, device: str | torch.device = "cpu") -> ImageNetFeatures:
    """EfficientNet-Lite0 with ImageNet weights (`course_lib.efficientnet`), the extractor of natural images.

    Images of any size and shape become resolution x resolution squares (bicubic, antialiased). The weights were
    trained at 224. For pictures of 32 x 32, 64 or 96 is five to ten times as fast, and there is nothing more to see;
    but the features differ, and so does every number computed from them: compare only numbers of the same `name`.

    Raises:
        TypeError, ValueError: a resolution that is not a whole number >= 32 (at which one position is left).
        ImportError: the package with the weights is not installed; says how to install it.
        DataFileError: its file is missing or altered; says how to restore it.
    """
    resolution = checks.whole("resolution", resolution, at_least=32)
    net = efficientnet.pretrained(device).to(memory_format=torch.channels_last)
    return ImageNetFeatures(
        net, f"EfficientNet-Lite0 (ImageNet, resized to {resolution} x {resolution})", resolution
    )


@dataclass(frozen=True)
class TorchvisionFeatures:
    """A frozen ImageNet classifier of torchvision, with the preprocessing it was trained for.

    That resizes the shorter side (bilinear, antialiased) and cuts out the central square: 7/8 of it is seen.
    """

    body: nn.Module  # preprocessed images -> last hidden layer (N, dimensions)
    head: nn.Linear
    preprocess: Callable[[Tensor], Tensor]  # torchvision's own, from [0, 1]
    name: str

    @property
    def dimensions(self) -> int:
        """Length of a feature vector."""
        return self.head.in_features

    def features(self, x: Tensor) -> Tensor:
        """Last hidden layer (N, dimensions) of images (N, 3, H, W) in [-1, 1].

        Raises:
            TypeError, ValueError: images of another shape or range.
        """
        return self._apply(self.body, x)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, 1000) of ImageNet's classes of images (N, 3, H, W) in [-1, 1]. Raises as `features`."""
        return self._apply(lambda part: self.head(self.body(part)), x)

    def probabilities(self, x: Tensor) -> Tensor:
        """p(y|x), rows sum to 1: (N, 1000), of images (N, 3, H, W) in [-1, 1]. Raises as `features`."""
        return self.logits(x).softmax(1)

    def _apply(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        device = self.head.weight.device
        return batched(
            lambda part: f(self.preprocess((part.to(device, torch.float32) + 1) / 2)),
            checks.images("x", x, "(N, 3, H, W)"),
            batch=_at_once(device, 256**2),
        )


@dataclass(frozen=True)
class VGGFeatures(TorchvisionFeatures):
    """VGG19, whose layers have names: conv1_1, relu1_1, conv1_2, relu1_2, pool1, conv2_1 … relu5_4, pool5."""

    layers: Chain  # layers(x, "relu1_1", "relu4_1"): nothing is resized or cut off


@dataclass(frozen=True)
class PerceptualDistance:
    """A distance between images by what a frozen network sees in them: `metrics.images.perceptual_distance`."""

    layers: Chain
    names: tuple[str, ...]  # of the layers that count
    weights: Mapping[str, Tensor] | None  # (C,) per layer; None if every channel counts alike
    name: str

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """The distance of each pair: (N,) float64, of images x and y (N, 3, H, W) in [-1, 1], with gradients.

        The score of a set is ``metrics.mean("LPIPS", distance(x, y), extractor=distance.name)``.

        Warns:
            metrics.images.RangeWarning: the images look like [0, 1].

        Raises:
            TypeError, ValueError: not two sets of images of one shape in [-1, 1], or too small for the network.
        """
        x, y = image_pair(x, y, "(N, 3, H, W)", smallest=self.layers.smallest)
        batch = _at_once(self.layers.device, x.shape[2] * x.shape[3])
        pairs = zip(x.split(batch), y.split(batch), strict=True)
        return torch.cat(
            [
                perceptual_distance(self.layers(a, *self.names), self.layers(b, *self.names), self.weights)
                for a, b in pairs
            ]
        )


def perceptual(device: str | torch.device = "cpu") -> PerceptualDistance:
    """The course's offline distance in the manner of LPIPS, on EfficientNet-Lite0; its name says that it is not LPIPS.

    Uncalibrated: every channel counts alike, where LPIPS has weights learnt from what people find similar. Zhang et
    al. 2018 found such distances, on their networks, to agree with people far better than PSNR and SSIM do.
    Layers: the stem and blocks 0, 2, 4, 7 and 10, from a half to a sixteenth of the images' size.

    Raises:
        ImportError, DataFileError: as `imagenet`.
    """
    layers = ImageNetFeatures(efficientnet.pretrained(device), "", 224).layers
    name = "uncalibrated perceptual distance (EfficientNet-Lite0, stem and blocks 0, 2, 4, 7, 10; not LPIPS)"
    return PerceptualDistance(layers, _STYLE_LAYERS, None, name)


def lpips(net: str = "alex", device: str | torch.device = "cpu") -> PerceptualDistance:
    """LPIPS, version 0.1: torchvision's AlexNet or VGG16, and the weights that Zhang et al. learnt from people.

    Needs the package lpips, which holds these weights (its code is not run), and the network's own, which are
    downloaded: 233 MB for AlexNet, 528 MB for VGG16. "alex" is the authors' default.

    Raises:
        TypeError, ValueError: `net` is neither "alex" nor "vgg".
        ImportError: the package lpips is not installed; says how to install it, and what works without.
        DataFileError: its weights are missing or altered; says how to restore them.
        DownloadError: the network's weights could not be downloaded; says what to do, and what works offline.
    """
    names = _LPIPS_LAYERS[checks.choice("net", net, _LPIPS_LAYERS)]
    theirs = _lpips_weights(net)
    from torchvision import models

    if net == "alex":
        title, weights, builder = "AlexNet", models.AlexNet_Weights.IMAGENET1K_V1, models.alexnet
    else:
        title, weights, builder = "VGG16", models.VGG16_Weights.IMAGENET1K_V1, models.vgg16
    convolutions = _torchvision(
        title, weights, builder, device, "perceptual() measures a similar distance"
    ).features
    layers = Chain(
        _named(convolutions, blocks=net == "vgg"), _standardised, smallest=16 if net == "vgg" else 31
    )
    linear = {name: theirs[f"lin{i}.model.1.weight"].flatten().to(device) for i, name in enumerate(names)}
    return PerceptualDistance(layers, names, linear, f"LPIPS 0.1 ({title}, torchvision's ImageNet weights)")


def vgg19(device: str | torch.device = "cpu") -> VGGFeatures:
    """VGG19 (Simonyan & Zisserman 2015) with torchvision's ImageNet weights; the network of style transfer.

    Its features are the last hidden layer, 4096 numbers; ``vgg19().layers(x, "relu4_1")`` gives feature maps, of which
    any may be asked for, the convolutions' too: no layer overwrites another's output. A download of 548 MB.

    Raises:
        DownloadError: its weights could not be downloaded; says what to do, and what works offline.
    """
    from torchvision import models

    weights = models.VGG19_Weights.IMAGENET1K_V1
    net = _torchvision("VGG19", weights, models.vgg19, device, "imagenet() has named layers too")
    body = nn.Sequential(net.features, net.avgpool, nn.Flatten(), *net.classifier[:-1]).eval()
    return VGGFeatures(
        body,
        net.classifier[-1],
        weights.transforms(),
        "VGG19 (torchvision's ImageNet weights, last hidden layer)",
        Chain(_named(net.features), _standardised, smallest=32),
    )


def inception(device: str | torch.device = "cpu") -> TorchvisionFeatures:
    """Inception-v3 (Szegedy et al. 2016) with torchvision's ImageNet weights: 2048 features. A download of 104 MB.

    Not the network of published Inception scores and FIDs: that is a TensorFlow model with other weights, other
    pooling and 1008 outputs. Numbers from this one can be compared with one another, not with papers.

    Raises:
        DownloadError: its weights could not be downloaded; says what to do, and what works offline.
    """
    from torchvision import models

    weights = models.Inception_V3_Weights.IMAGENET1K_V1
    # transform_input undoes the normalisation of torchvision's preprocessing: these weights want [-1, 1].
    options = {"transform_input": True, "init_weights": False}
    net = _torchvision("Inception-v3", weights, models.inception_v3, device, "imagenet() works", **options)
    head, net.fc = net.fc, nn.Identity().eval()
    name = "Inception-v3 (torchvision's ImageNet weights, not the TensorFlow port of FID tables)"
    return TorchvisionFeatures(net, head, weights.transforms(), name)


def _torchvision(
    title: str,
    weights: Any,
    builder: Callable[..., nn.Module],
    device: str | torch.device,
    offline: str,
    **options: Any,
) -> nn.Module:
    """A network of torchvision with its verified `weights`, in eval mode, without gradients, nothing in place."""
    state = torch.load(_downloaded(title, weights.url, offline), map_location="cpu", weights_only=True)
    with torch.device("meta"):  # no time and memory for weights that are replaced at once
        net = builder(weights=None, **options)
    net.load_state_dict(state, assign=True)
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # else it would overwrite the convolution's output, a layer here
    return net.eval().requires_grad_(False).to(device)


def _downloaded(title: str, url: str, offline: str) -> Path:
    """The file at `url`, kept in the cache folder; its sha256 starts with the digits in its name, or it is replaced."""
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


def _lpips_weights(net: str) -> dict[str, Tensor]:
    """The verified linear weights in the package lpips, whose code is not run."""
    spec = importlib.util.find_spec("lpips")
    if spec is None or spec.origin is None:
        raise ImportError(
            "LPIPS's learnt weights are in a package that is not installed; install it with: pip install lpips. "
            "Without it, course_lib.features.perceptual() measures a similar distance, uncalibrated"
        )
    path = Path(spec.origin).parent / "weights" / "v0.1" / f"{net}.pth"
    content = path.read_bytes() if path.is_file() else b""
    found = hashlib.sha256(content).hexdigest() if content else "no file"
    if found != _LPIPS_SHA256[net]:
        raise DataFileError(
            f"{path}: expected sha256 {_LPIPS_SHA256[net]}, found {found}; "
            "restore it with: pip install --force-reinstall --no-deps lpips==0.1.4"
        )
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _named(layers: nn.Sequential, *, blocks: bool = True) -> dict[str, nn.Module]:
    """The layers by name: conv1_1, relu1_1, conv1_2 … pool1, conv2_1 …, or conv1, relu1, pool1, conv2 without blocks.

    A layer's block changes after each pooling; a ReLU has the numbers of the convolution before it.
    """
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


def _standardised(x: Tensor) -> Tensor:
    """Images in [-1, 1] with ImageNet's mean and standard deviation (of [0, 1]) taken out of each colour."""
    mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return ((x + 1) / 2 - mean) / std


def _at_once(device: torch.device, pixels: int) -> int:
    """How many images of so many pixels in one batch: on a CPU, as many as keep the activations in its cache."""
    return max(1, (2**17 if device.type == "cpu" else 2**22) // pixels)
