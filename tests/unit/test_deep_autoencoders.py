"""Deep autoencoders: shapes, penalties and noise against torch.distributions, SciPy and plain matrix products."""

import dataclasses
import json
import warnings

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, kl_divergence

from course_lib.autoencoders import (
    Autoencoder,
    AutoencoderConfig,
    Decoder,
    Encoder,
    Layout,
    corrupt,
    sparsity_kl,
)
from course_lib.recipes.autoencoders import CIFAR10
from tests.unit.proof import generator, rejects

LAYOUTS = [
    Layout(),
    Layout(resolution=32, colours=3, channels=(4, 8, 6), hidden=()),
    Layout(resolution=5, colours=2, channels=(), hidden=(7, 6)),
    Layout(resolution=4, channels=(), hidden=()),
    Layout(resolution=6, channels=(3,), hidden=(5,), normalise=True),
]


def layer_outputs(net, x):
    """Shapes that the layers with weights give, without the batch, in order."""
    shapes = []
    hooks = [
        m.register_forward_hook(lambda _m, _i, y: shapes.append(tuple(y.shape[1:])))
        for m in net.net
        if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d, torch.nn.ConvTranspose2d))
    ]
    net(x)
    for hook in hooks:
        hook.remove()
    return shapes


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_decoder_is_the_encoders_mirror_image(layout):
    x = torch.rand(3, *layout.image_shape, generator=generator())
    down = layer_outputs(Encoder(layout, 2), x)
    up = layer_outputs(Decoder(layout, 2), torch.zeros(3, 2))
    assert down[-1] == (2,)
    assert np.prod(up[-1]) == np.prod(layout.image_shape)
    convolved, dense = len(layout.channels), len(layout.hidden)
    assert down[convolved:-1] == up[:dense][::-1]
    assert [np.prod(s) for s in down[:convolved]] == [np.prod(s) for s in up[dense:-1]][::-1]
    assert Decoder(layout, 2)(torch.zeros(3, 2)).shape == x.shape


@torch.no_grad()
@pytest.mark.parametrize("normalise", [False, True])
def test_without_convolutions_both_are_multilayer_perceptrons(normalise):
    """Plain matrix products; with `normalise` each hidden layer has mean 0 and variance 1 over the batch."""
    torch.manual_seed(0)
    layout = Layout(resolution=3, colours=2, channels=(), hidden=(5, 4), normalise=normalise)
    x = torch.randn(6, 2, 3, 3, generator=generator())
    for net, start, shape in (
        (Encoder(layout, 3), x, (6, 3)),
        (Decoder(layout, 2), torch.randn(6, 2, generator=generator(1)), (6, 2, 3, 3)),
    ):
        layers = [layer for layer in net.net if isinstance(layer, torch.nn.Linear)]
        h = start.flatten(1).double().numpy()
        for i, layer in enumerate(layers):
            h = h @ layer.weight.double().numpy().T
            if i < 2:
                h = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5) if normalise else h + layer.bias.numpy()
                h = np.maximum(h, 0)
            else:
                h = h + layer.bias.numpy()  # and nothing after it: codes and images are unbounded
        assert len(layers) == 3
        assert np.abs(net(start).numpy() - h.reshape(shape)).max() < 1e-4


@torch.no_grad()
def test_normalisation_looks_at_the_batch_in_training_only():
    torch.manual_seed(0)
    net = Autoencoder(AutoencoderConfig(resolution=8, channels=(4,), hidden=(9,), normalise=True))
    x = torch.rand(5, 1, 8, 8, generator=generator())
    assert not torch.allclose(net(x)[:3], net(x[:3]), atol=1e-4)
    net.eval()
    assert torch.allclose(net(x)[:3], net(x[:3]), atol=1e-6)


def test_every_output_pixel_is_covered_equally_often():
    """A kernel that the stride does not divide paints a checkerboard even from a constant image."""

    def even(layer):
        with torch.no_grad():
            layer.weight.fill_(1.0)
            layer.bias.zero_()
            inner = layer(torch.ones(1, 1, 6, 6))[0, 0, 2:-2, 2:-2]
        assert float(inner.max() - inner.min()) == 0

    even(Decoder(Layout(resolution=12, channels=(1,), hidden=()), 2).net[-1])
    assert rejects(even, torch.nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1))


@torch.no_grad()
@pytest.mark.parametrize("sparse", [False, True])
def test_codes_and_images_have_their_ranges(sparse):
    torch.manual_seed(0)
    cfg = AutoencoderConfig(resolution=8, colours=3, channels=(4,), hidden=(9,), latent=5, sparse=sparse)
    net = Autoencoder(cfg)
    x = 200 * torch.randn(7, 3, 8, 8, generator=generator())  # far outside: the ranges must hold all the same
    z = net.encode(x)
    assert z.shape == (7, 5)
    assert bool(((z >= 0) & (z <= 1)).all()) is sparse
    images = net.decode(100 * torch.randn(7, 5, generator=generator(1)))
    assert images.shape == (7, 3, 8, 8)
    assert float(images.abs().max()) <= 1
    assert torch.equal(net(x), net.decode(net.encode(x)))


def test_each_image_is_treated_alone():
    torch.manual_seed(0)
    net = Autoencoder(AutoencoderConfig(resolution=8, channels=(4,), hidden=(9,)))
    x = torch.rand(5, 1, 8, 8, generator=generator())
    assert torch.allclose(net(x)[2:3], net(x[2:3]), atol=1e-6)


def test_autoencoder_overfits_one_batch():
    torch.manual_seed(0)
    x = 1.6 * torch.rand(8, 1, 12, 12, generator=generator()) - 0.8  # noise: nothing but memory helps
    net = Autoencoder(AutoencoderConfig(resolution=12, channels=(16,), hidden=(128,)))
    optimizer = torch.optim.Adam(net.parameters(), 4e-3)
    losses = []
    for _ in range(100):
        loss = F.mse_loss(net(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 80


@pytest.mark.parametrize("cfg", [AutoencoderConfig(), AutoencoderConfig(**CIFAR10), *LAYOUTS])
def test_configs_survive_json(cfg):
    again = type(cfg)(**json.loads(json.dumps(dataclasses.asdict(cfg))))
    assert again == cfg
    assert hash(again) == hash(cfg)  # the lists of JSON have become tuples


@pytest.mark.parametrize(
    "cfg", [AutoencoderConfig(), AutoencoderConfig(latent=32), AutoencoderConfig(**CIFAR10)]
)
def test_parameters_are_few_enough_to_ship(cfg):
    assert sum(p.numel() for p in Autoencoder(cfg).parameters()) <= 1_250_000


def test_sparsity_penalty_is_the_divergence_of_two_coins():
    activity = torch.rand(40, 6, dtype=torch.float64, generator=generator())

    def check(penalty):
        for target in (0.05, 0.5, 0.9):
            rho = torch.full((6,), target, dtype=torch.float64)
            expected = kl_divergence(Bernoulli(rho), Bernoulli(activity.mean(0))).sum()
            assert float(penalty(activity, target)) == pytest.approx(float(expected), rel=1e-10)

    def reversed_divergence(a, target):
        m = a.mean(0)
        return (m * (m / target).log() + (1 - m) * ((1 - m) / (1 - target)).log()).sum()

    def of_each_activity(a, target):  # would demand that no unit ever fires more than 5 %
        return (target * (target / a).log() + (1 - target) * ((1 - target) / (1 - a)).log()).mean(0).sum()

    check(sparsity_kl)
    assert rejects(check, reversed_divergence)
    assert rejects(check, of_each_activity)


def test_sparsity_penalty_vanishes_where_units_are_active_that_share_of_the_time():
    activity = torch.zeros(20, 3)
    activity[[4, 9, 17], [0, 1, 2]] = 1.0  # each unit once in 20, and then fully
    assert float(sparsity_kl(activity, 0.05)) == pytest.approx(0, abs=1e-6)
    assert float(sparsity_kl(activity, 0.10)) > 0.05
    for constant in (0.0, 1.0):  # finite although the logarithm is not
        assert 0 < float(sparsity_kl(torch.full((4, 2), constant))) < 30


def test_sparsity_penalty_has_its_gradient():
    activity = (0.05 + 0.9 * torch.rand(4, 3, dtype=torch.float64, generator=generator())).requires_grad_()
    assert torch.autograd.gradcheck(sparsity_kl, activity)


def test_sparsity_penalty_trains_a_layer_without_warnings():
    """Descending it takes the mean activity to the target; torch warns where gradients are dropped by accident."""
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            logits = torch.zeros(4, 3, requires_grad=True)
            optimizer = torch.optim.Adam([logits], 0.1)
            for _ in range(100):
                optimizer.zero_grad()
                sparsity_kl(logits.sigmoid(), 0.1).backward()
                optimizer.step()
    finally:
        torch.set_warn_always(always)
    assert logits.detach().sigmoid().mean(0).tolist() == pytest.approx([0.1] * 3, abs=0.01)


def test_corruption_is_additive_white_noise_of_that_size():
    x = torch.linspace(-1, 1, 400).expand(100, 1, 1, 400)
    noisy = corrupt(x, 0.3, generator())
    noise = (noisy - x).flatten().double().numpy()
    assert scipy.stats.kstest(noise / 0.3, "norm").pvalue > 0.01
    assert abs(np.corrcoef(noise, x.flatten().numpy())[0, 1]) < 4 / np.sqrt(noise.size)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 4 / np.sqrt(noise.size)
    assert float(noisy.max()) > 1.5  # not clipped, for clipped noise would be biased


def test_corruption_depends_on_the_seed_and_leaves_the_clean_image_alone():
    x = torch.rand(5, 1, 4, 4, generator=generator(), dtype=torch.float64)
    before = x.clone()
    assert torch.equal(corrupt(x, 0.5, generator(1)), corrupt(x, 0.5, generator(1)))
    assert not torch.equal(corrupt(x, 0.5, generator(1)), corrupt(x, 0.5, generator(2)))
    assert torch.equal(corrupt(x, 0, generator(1)), x)
    assert torch.equal(x, before)
    assert corrupt(x, 0.5, generator(1)).dtype == x.dtype


SMALL = Layout(resolution=4, channels=(), hidden=())


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: Layout(resolution=30, channels=(4, 8)),
            ValueError,
            "resolution: expected a multiple of 4.*30",
        ),
        (lambda: Layout(resolution=0), ValueError, "resolution must be .*received 0"),
        (lambda: Layout(resolution=8.0), TypeError, "resolution must be a whole number.*8.0"),
        (lambda: Layout(colours=0), ValueError, "colours must be .*received 0"),
        (lambda: Encoder(SMALL, 0), ValueError, "outputs must be .*received 0"),
        (lambda: Decoder(SMALL, 0), ValueError, "latent must be .*received 0"),
        (
            lambda: Encoder(SMALL, 2)(torch.ones(3, 1, 5, 5)),
            ValueError,
            r"x: expected images of shape \(N, 1, 4, 4\), got \(3, 1, 5, 5\)",
        ),
        (
            lambda: Encoder(SMALL, 2)(torch.ones(3, 3, 4, 4)),
            ValueError,
            r"\(N, 1, 4, 4\), got \(3, 3, 4, 4\)",
        ),
        (lambda: Encoder(SMALL, 2)(torch.ones(1, 4, 4)), ValueError, r"\(N, 1, 4, 4\), got \(1, 4, 4\)"),
        (
            lambda: Decoder(SMALL, 2)(torch.ones(3, 4)),
            ValueError,
            r"z: expected codes of shape \(N, 2\), got \(3, 4\)",
        ),
        (lambda: Decoder(SMALL, 2)(torch.ones(2)), ValueError, r"\(N, 2\), got \(2,\)"),
        (
            lambda: Autoencoder()(torch.ones(2, 1, 32, 32)),
            ValueError,
            r"\(N, 1, 28, 28\), got \(2, 1, 32, 32\)",
        ),
        (lambda: Autoencoder().decode(torch.ones(2, 9)), ValueError, r"\(N, 8\), got \(2, 9\)"),
        (
            lambda: sparsity_kl(torch.full((3, 2), 1.5)),
            ValueError,
            r"activity: expected values in \[0, 1\].*1.5",
        ),
        (lambda: sparsity_kl(torch.full((3, 2), -0.5)), ValueError, "got -0.5.*sigmoid"),
        (lambda: sparsity_kl(torch.ones(3)), ValueError, r"activity: expected shape \(N, k\).*\(3,\)"),
        (lambda: sparsity_kl(torch.ones(3, 2).long()), TypeError, "activity: expected a floating"),
        (lambda: sparsity_kl(torch.full((3, 2), 0.5), 0.0), ValueError, "target: expected .*got 0.0"),
        (lambda: sparsity_kl(torch.full((3, 2), 0.5), 1.0), ValueError, "target: expected .*got 1.0"),
        (lambda: corrupt(torch.ones(2, 2), -0.1, generator()), ValueError, "sigma must be .*received -0.1"),
        (lambda: corrupt(torch.ones(2, 2), float("nan"), generator()), ValueError, "sigma must be .*nan"),
        (lambda: corrupt(torch.ones(2, 2), "1", generator()), TypeError, "sigma must be .*'1'"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
