"""R3GAN's networks: shapes, what they lack, how they start, and that they play the games of the other GANs."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from course_lib import data
from course_lib.gans import R3GAN, R3GANConfig
from course_lib.gans.losses import Objective, r1, r2, relativistic
from course_lib.gans.r3gan import Block, Up
from course_lib.training import EMA, Runtime, duel
from course_lib.zoo.architectures import build
from tests.unit.proof import generator, rejects

SMALL = R3GANConfig(resolution=16, latent=5, width=4, widest=8, group=4)


def made(cfg=SMALL, seed=0):
    torch.manual_seed(seed)
    return R3GAN(cfg)


def awake(cfg=SMALL):
    """One whose blocks do something."""
    gan = made(cfg)
    for part in gan.modules():
        if isinstance(part, Block):
            nn.init.normal_(part.narrow.weight, std=0.3)
    return gan


@pytest.mark.parametrize(
    ("resolution", "patch", "core", "channels"),
    [
        (8, 1, 4, (32, 64)),
        (8, 2, 4, (32,)),
        (28, 1, 7, (32, 64, 128)),
        (28, 2, 7, (32, 64)),
        (64, 2, 4, (32, 64, 128, 128)),
    ],
)
@pytest.mark.parametrize("blocks", [1, 2])
def test_codes_become_images_and_images_logits(resolution, patch, core, channels, blocks):
    cfg = R3GANConfig(resolution=resolution, colours=3, latent=6, blocks=blocks, patch=patch)
    assert (cfg.core, cfg.channels) == (core, channels)
    gan = made(cfg)
    x = gan.G(torch.randn(2, 6, generator=generator()))
    assert x.shape == (2, 3, resolution, resolution)
    assert float(x.detach().abs().max()) <= 1
    assert gan.D(x).shape == (2,)
    for network in (gan.G, gan.D):
        assert (
            sum(isinstance(part, Block) for part in network.modules()) == cfg.depth == blocks * len(channels)
        )


def test_nothing_normalises_and_the_three_by_three_is_grouped():
    gan = made(R3GANConfig(expansion=3, group=8))
    assert not [part for part in gan.modules() if "Norm" in type(part).__name__]
    assert not list(gan.buffers())
    for part in gan.modules():
        if isinstance(part, Block):
            kernels = [layer.kernel_size[0] for layer in (part.widen, part.mix, part.narrow)]
            assert kernels == [1, 3, 1]
            assert part.mix.out_channels == 3 * part.widen.in_channels
            assert part.mix.in_channels // part.mix.groups == 8


def test_blocks_start_as_the_identity_and_wake_up():
    """The last layer starts at zero, as Fixup has it, and gets a gradient; the others follow when it has moved."""
    block = Block(8, SMALL)
    x = torch.randn(3, 8, 5, 5, generator=generator())
    assert torch.equal(block(x), x)
    block(x).square().mean().backward()
    assert float(block.narrow.weight.grad.abs().sum()) > 0
    assert float(block.mix.weight.grad.abs().sum()) == 0
    nn.init.normal_(block.narrow.weight)
    block(x).square().mean().backward()
    assert all(float(w.grad.abs().sum()) > 0 for w in block.parameters())


@pytest.mark.parametrize("blocks", [1, 16])
def test_weights_start_as_fixup_says(blocks):
    """Standard deviation 1/√inputs, in blocks times L^(-1/4)."""
    cfg = R3GANConfig(resolution=8, patch=1, width=64, widest=64, blocks=blocks, group=0)
    for network in (made(cfg).G, made(cfg).D):
        for part in network.modules():
            if isinstance(part, Block):
                for layer in (part.widen, part.mix):
                    scale = (2 * blocks) ** -0.25
                    expected = scale / math.sqrt(layer.weight[0].numel())
                    assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.1)
                    assert float(layer.bias.detach().abs().max()) == 0


def test_feature_maps_keep_their_size_through_many_blocks():
    """After a first step of the optimizer and with last layers of an ordinary size; but not without Fixup's scale."""
    cfg, x = dataclasses.replace(SMALL, blocks=30), torch.randn(8, 8, 4, 4, generator=generator())

    def growth(std, scale=1.0):
        torch.manual_seed(0)
        h = x
        for _ in range(cfg.depth):
            block = Block(8, cfg)
            nn.init.normal_(block.narrow.weight, std=std)
            block.widen.weight.data *= scale
            block.mix.weight.data *= scale
            h = block(h)
        return float(h.detach().std() / x.std())

    def check(scale):
        assert growth(1e-3) == pytest.approx(1, abs=0.1)  # Adam's first step, at the learning rate 1e-3
        assert growth(8**-0.5, scale) < 2  # 1/√inputs

    check(1.0)
    assert rejects(check, cfg.depth ** (1 / 4))


def test_resampling_is_bilinear_and_keeps_a_flat_picture_flat():
    up, down = Up(), nn.AvgPool2d(2)
    x = torch.randn(2, 3, 4, 6, generator=generator())
    line = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    assert torch.allclose(up(torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 6, 6))
    steps = up(line)[0, 0, 0].diff()
    assert torch.allclose(steps[1:-1], torch.full((13,), 0.5))  # not the staircase of nearest neighbours
    half = nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
    assert torch.allclose(down(x), half, atol=1e-6)


def test_each_logit_depends_on_its_own_image_only():
    gan, x = awake(), torch.randn(4, 1, 16, 16, generator=generator()).requires_grad_()
    (slope,) = torch.autograd.grad(gan.D(x)[1], x)
    assert float(slope[[0, 2, 3]].abs().max()) == 0
    assert float(slope[1].abs().max()) > 0


def test_penalties_are_differentiated_right_through_these_layers():
    """Grouped convolutions, averages and all: against PyTorch's own second derivatives."""
    D = awake().D.double()
    x, fake = (torch.randn(3, 1, 16, 16, generator=generator(k), dtype=torch.float64) for k in (0, 1))
    ours = torch.autograd.grad(
        r1(D, x, fake, generator()).sum(), list(D.parameters()), materialize_grads=True
    )
    x = x.requires_grad_()
    (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    theirs = torch.autograd.grad(slope.square().sum(), list(D.parameters()), materialize_grads=True)
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(ours, theirs))


def test_it_samples_as_a_gan_does_and_comes_back_from_a_card():
    gan = awake().eval()
    x = gan.sample(7, generator(3), batch=2)
    assert torch.allclose(x, gan.G(gan.codes(7, generator(3))), atol=1e-6)
    assert not x.requires_grad
    twin = build("R3GAN", json.loads(json.dumps(dataclasses.asdict(gan.cfg))))
    twin.load_state_dict(gan.state_dict())
    assert torch.equal(twin.sample(3, generator(1)), gan.sample(3, generator(1)))


def test_a_duel_moves_all_of_it():
    """A short game with the paper's loss and penalties; black and white squares are told apart before long."""
    gan = awake()
    before = {key: value.clone() for key, value in gan.state_dict().items()}
    x = torch.ones(64, 1, 16, 16)
    x[::2] = -1.0
    stream = data.Stream(x, batch=8, generator=generator())
    average = EMA(gan.G, 100)
    facts = duel(
        Runtime("gpu", "cpu", seed=0),
        gan,
        stream,
        loss=relativistic,
        penalties=[(r1, 0.05), (r2, 0.05)],
        images=320,
        batch=8,
        lr=(1e-3, 1e-3),
        betas=(0.0, 0.99),
        what="t",
        quiet=True,
        average=average,
    )
    assert facts["images_seen"] == 320
    assert all(not torch.equal(value, before[key]) for key, value in gan.state_dict().items())
    Objective(gan.D, relativistic, [(r1, 1.0)])  # no batch normalisation that a penalty would refuse


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: R3GANConfig(resolution=30), "resolution"),
        (lambda: R3GANConfig(width=0), "width"),
        (lambda: R3GANConfig(patch=4), "patch"),
        (lambda: R3GANConfig(group=24), "group"),
        (lambda: R3GANConfig(group=-1), "group"),
        (lambda: made().G(torch.zeros(2, 6)), "codes"),
        (lambda: made().D(torch.zeros(2, 1, 15, 16)), "images of shape"),
        (lambda: made().sample(0, generator()), "n must"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises((TypeError, ValueError), match=says):
        call()
