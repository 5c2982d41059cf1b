"""The classifier of drawn faces: what it claims, what it reads off a face, and how it was trained."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_lib import data, features, zoo
from course_lib.classifiers import AvatarCNN, AvatarCNNConfig
from course_lib.recipes import avatars
from course_lib.training import Runtime
from course_lib.zoo.architectures import build

pytest.importorskip("dicebear")
pytest.importorskip("resvg_py")

SMALL = {"glasses": ("glasses", "none", "sunglasses"), "mask": ("mask", "none")}
TWO = {
    "skin_color": ("#694d3d", "#ae5d29", "#d08b5b", "#edb98a", "#ffdbb4"),
    "glasses": ("glasses", "none", "sunglasses"),
}
X = torch.zeros(2, 3, 64, 64)


@pytest.fixture(scope="module")
def judge():
    return features.avatar_attributes()


@pytest.fixture(scope="module")
def faces():
    """Of a third sequence, neither trained nor scored on."""
    return data.avatars(300, 64, seed=2, progress=False)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


# The shipped one


def test_the_card_keeps_the_promises():
    """What chapter 9 relies on; that the numbers are true is checked with those of all checkpoints."""
    scores = zoo.info("avatar_classifier")["scores"]
    least = {"glasses": 0.99, "head": 0.95, "expression": 0.95}
    least |= dict.fromkeys(("clothing_color", "head_contrast_color", "skin_color"), 0.98)
    for attribute, promised in least.items():
        assert scores[f"accuracy of {attribute}"]["value"] >= promised, attribute
        assert scores[f"accuracy of {attribute}"]["n"] >= 4000
    assert (data.data_folder() / "checkpoints/avatar_classifier.safetensors").stat().st_size < 1.5e6


def test_it_knows_the_columns_of_the_table_that_say_different_things(judge, faces):
    assert list(judge.names) == list(avatars.ATTRIBUTES)
    assert set(faces[1]) - set(judge.names) == {"accessories"}
    assert judge.names["glasses"] == ("glasses", "none", "sunglasses")
    assert [len(classes) for classes in judge.names.values()] == [3, 48, 30, 17, 3, 7, 11, 5]


def test_predictions_are_comparable_with_the_table(judge, faces):
    """Of another sequence; a column of logits under a wrong name would be right by chance only."""
    x, attributes = faces
    found = judge.predict(x)
    for attribute in judge.names:
        assert (found[attribute] == attributes[attribute]).mean() > 0.9, attribute


def test_generators_pictures_are_read_too(judge, faces):
    """Shifted, blurred and noisy ones: the loss is small, and so is that on pictures that are all blurred."""
    x, attributes = faces
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    for worse in (avatars.imperfect(x, random()).clamp(-1, 1), blurred):
        found = judge.predict(worse)
        for attribute in ("glasses", "head", "mask", "skin_color"):
            assert (found[attribute] == attributes[attribute]).mean() > 0.93, attribute


def test_the_probability_of_glasses_grows_as_they_are_drawn(judge):
    """On the way from a bare face to one that has glasses and differs in its clothes at most, as along a direction."""
    x, attributes = data.avatars(5000, 64, seed=1, progress=False)
    same = [key for key in attributes if key not in ("glasses", "accessories", "clothing_color")]
    rows = list(zip(*(attributes[key] for key in same), strict=True))
    bare = {row: i for i, row in enumerate(rows) if attributes["accessories"][i] == "none"}
    pairs = [
        (bare[row], i) for i, row in enumerate(rows) if attributes["glasses"][i] == "glasses" and row in bare
    ]
    assert len(pairs) >= 50
    without, wearing = (x[list(side)] for side in zip(*pairs, strict=True))
    column = judge.names["glasses"].index("glasses")
    p = [
        judge.probabilities(torch.lerp(without, wearing, t))["glasses"][:, column].mean() for t in (0, 0.5, 1)
    ]
    assert p[0] < 0.05
    assert p[2] > 0.95
    assert p[0] < p[1] < p[2]


def test_features_lead_to_the_logits_and_these_to_the_probabilities(judge, faces):
    x = faces[0][:30]
    found = judge.features(x)
    assert found.shape == (30, judge.dimensions)
    logits, p = judge.logits(x), judge.probabilities(x)
    assert torch.allclose(judge.net.head(found), torch.cat(list(logits.values()), 1), atol=1e-4)
    for attribute, classes in judge.names.items():
        assert logits[attribute].shape == (30, len(classes))
        assert torch.allclose(p[attribute].sum(1), torch.ones(30), atol=1e-5)
        assert torch.allclose(p[attribute], logits[attribute].softmax(1))
        assert judge.predict(x)[attribute].tolist() == [classes[i] for i in p[attribute].argmax(1).tolist()]


def test_neither_the_batch_nor_the_layout_matters(judge, faces):
    x = faces[0][:250]  # more than one batch
    together = judge.features(x)
    alone = torch.cat([judge.features(image[None]) for image in x[195:205]])
    assert torch.allclose(together[195:205], alone, atol=1e-4)
    there = judge.features(x[:20].contiguous(memory_format=torch.channels_last))
    assert torch.allclose(together[:20], there, atol=1e-4)


def test_it_is_frozen_and_gradients_reach_the_images_through_the_network(judge, faces):
    assert not judge.net.training
    assert not any(p.requires_grad for p in judge.net.parameters())
    assert not judge.features(faces[0][:2]).requires_grad
    x = faces[0][:2].clone().requires_grad_()
    judge.net.by_attribute(judge.net(x))["glasses"][:, 0].sum().backward()
    assert float(x.grad.abs().amax((1, 2, 3)).min()) > 0


def test_its_name_says_what_it_is(judge):
    assert "avatar_classifier" in judge.name
    with pytest.raises(dataclasses.FrozenInstanceError):
        judge.name = "another"


@pytest.mark.parametrize("method", ["features", "logits", "probabilities", "predict"])
@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (X[:, :1], ValueError, r"x: expected shape \(N, 3, 64, 64\)"),
        (X[..., :32, :32], ValueError, r"x: expected shape \(N, 3, 64, 64\)"),
        (X + 255, ValueError, r"x: expected images in \[-1, 1\]"),
        (X / 0, ValueError, "x: expected finite"),
        (X.numpy(), TypeError, "x: expected a torch tensor"),
        (X.long(), TypeError, "x: expected a floating-point tensor"),
    ],
)
def test_wrong_images_are_refused(judge, method, x, error, says):
    with pytest.raises(error, match=says):
        getattr(judge, method)(x)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_the_gpu(judge, faces):
    there = features.avatar_attributes("cuda").features(faces[0])
    assert there.is_cuda
    assert torch.allclose(there.cpu(), judge.features(faces[0]), rtol=1e-2, atol=1e-2)  # TF32 has 10 bits


# The network


def test_each_attribute_has_its_own_columns():
    net = AvatarCNN(AvatarCNNConfig(SMALL))
    logits = torch.arange(10.0).view(2, 5)
    split = net.by_attribute(logits)
    assert list(split) == ["glasses", "mask"]
    assert split["glasses"].tolist() == [[0, 1, 2], [5, 6, 7]]
    assert split["mask"].tolist() == [[3, 4], [8, 9]]


def test_a_config_comes_back_from_its_card():
    cfg = AvatarCNNConfig(SMALL, channels=(4, 6, 8, 10), features=12)
    net = build("AvatarCNN", json.loads(json.dumps(dataclasses.asdict(cfg))))
    assert net.cfg == cfg
    assert net.embed(X).shape == (2, 12)
    assert net(X).shape == (2, 5)


def test_a_batch_is_learnt_by_heart(faces):
    x, y = faces[0][:32], avatars.class_numbers({k: v[:32] for k, v in faces[1].items()}, TWO)
    torch.manual_seed(0)
    net = AvatarCNN(AvatarCNNConfig(TWO, channels=(8, 16, 16, 16), features=64))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(40):
        parts = net.by_attribute(net(x)).values()
        loss = torch.stack([F.cross_entropy(part, y[:, k]) for k, part in enumerate(parts)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    parts = net.by_attribute(net(x)).values()
    assert all(bool((part.argmax(1) == y[:, k]).all()) for k, part in enumerate(parts))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: AvatarCNN(AvatarCNNConfig({})), "names: expected the classes of one attribute or more"),
        (
            lambda: AvatarCNN(AvatarCNNConfig({"mask": ("none",)})),
            "two or more different classes of 'mask'",
        ),
        (lambda: AvatarCNN(AvatarCNNConfig({"mask": ("a", "a")})), "two or more different classes of 'mask'"),
        (
            lambda: AvatarCNN(AvatarCNNConfig(SMALL))(X[..., :32]),
            r"x: expected images of shape \(N, 3, 64, 64\)",
        ),
        (
            lambda: AvatarCNN(AvatarCNNConfig(SMALL)).by_attribute(torch.zeros(2, 4)),
            r"logits: expected shape \(N, 5\), got \(2, 4\)",
        ),
        (lambda: avatars.class_numbers({"mask": np.array(["none"])}, SMALL), "expected a column 'glasses'"),
        (
            lambda: avatars.class_numbers({"glasses": np.array(["none", "monocle"])}, SMALL),
            "glasses to be one of glasses, none, sunglasses; got 'monocle'",
        ),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


# The recipe


def test_class_numbers_are_those_of_the_names(faces):
    names = {key: tuple(np.unique(faces[1][key]).tolist()) for key in ("head", "mask")}
    y = avatars.class_numbers(faces[1], names)
    assert y.dtype == torch.int64
    assert y.shape == (300, 2)
    for k, (key, classes) in enumerate(names.items()):
        assert [classes[i] for i in y[:, k].tolist()] == faces[1][key].tolist()


def test_the_recipe_names_what_it_saw(faces):
    model, facts = avatars.train_avatar_classifier(Runtime("smoke", "cpu"), True, faces=256, epochs=6)
    attributes = data.avatars(256, 64, seed=0, progress=False)[1]
    assert {key: list(classes) for key, classes in model.cfg.names.items()} == {
        key: sorted(set(attributes[key])) for key in avatars.ATTRIBUTES
    }
    assert facts == {
        "data": "avatars (open-peeps, 64 x 64), seed 0, n = 256",
        "images_seen": 1536,
        "batch": 128,
        "lr": 4e-3,
    }


def test_a_shift_moves_each_image_by_its_own_amount():
    ramp = torch.linspace(-1, 1, 64).expand(40, 3, 64, 64)  # grey grows to the right
    moved = avatars.imperfect(ramp, random(), shift=3, blur=0, noise=0)
    pixels = ((ramp - moved) / (2 / 63))[:, :, :, 4:-4]
    assert torch.allclose(pixels, pixels[:, :1, :1, :1].expand_as(pixels), atol=1e-3)
    each = pixels[:, 0, 0, 0]
    assert float(each.abs().max()) <= 3.001
    assert float(each.min()) < -2
    assert float(each.max()) > 2
    down = avatars.imperfect(ramp.mT, random(), shift=3, blur=0, noise=0)
    assert not torch.allclose(((ramp.mT - down) / (2 / 63))[:, 0, 32, 32], each, atol=0.1)


def test_what_a_shift_brings_in_is_the_border():
    white = torch.ones(20, 3, 16, 16)
    assert torch.allclose(avatars.imperfect(white, random(), noise=0), white, atol=1e-6)


def test_a_blur_is_between_the_image_and_its_local_mean():
    x = torch.rand(50, 3, 16, 16, generator=random()) * 2 - 1
    mean = F.avg_pool2d(x, 3, stride=1)
    found = avatars.imperfect(x, random(1), shift=0, noise=0)[:, :, 1:-1, 1:-1]
    inside = x[:, :, 1:-1, 1:-1]
    share = ((found - inside) * (mean - inside)).sum((1, 2, 3)) / (mean - inside).square().sum((1, 2, 3))
    assert torch.allclose(found, torch.lerp(inside, mean, share.view(-1, 1, 1, 1)), atol=1e-5)
    assert 0 <= float(share.min()) < 0.2
    assert 0.8 < float(share.max()) <= 1


def test_noise_has_a_size_of_its_own_in_each_image():
    deviation = avatars.imperfect(torch.zeros(60, 3, 64, 64), random(), noise=0.2).std((1, 2, 3))
    assert float(deviation.min()) < 0.03
    assert 0.17 < float(deviation.max()) < 0.205
    assert torch.equal(avatars.imperfect(X, random(3)), avatars.imperfect(X, random(3)))
    assert not torch.equal(avatars.imperfect(X, random(3)), avatars.imperfect(X, random(4)))
