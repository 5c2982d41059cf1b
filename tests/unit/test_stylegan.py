"""StyleGAN's parts against independent implementations, and the traps that toy versions fall into."""

import math

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F

from course_lib import data
from course_lib.gans import losses
from course_lib.gans.stylegan import Growing, PathLength, StyleGAN, StyleGANConfig, layers
from course_lib.gans.stylegan.generator import mixed, packed, unpacked
from course_lib.training.duelling import lazily
from tests.unit.proof import generator

SMALL = {"resolution": 16, "width": 8, "widest": 16, "latent": 8}


def make(**switches):
    torch.manual_seed(0)
    gan = StyleGAN(StyleGANConfig(**{**SMALL, **switches}))
    for part in gan.G.modules():  # noise that is heard
        if getattr(part, "strength", None) is not None:
            part.strength.data.fill_(0.3)
    return gan


# --- the equalised learning rate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_a_dense_layer_starts_with_outputs_of_variance_one_whatever_its_rate(rate):
    torch.manual_seed(0)
    layer, x = layers.Linear(300, 400, bias=2.0, rate=rate), torch.randn(500, 300)
    y = layer(x).detach()
    torch.testing.assert_close(
        y, F.linear(x, layer.weight.detach() * (rate / math.sqrt(300)), torch.full((400,), 2.0))
    )
    assert float(y.var()) == pytest.approx(1, abs=0.05)
    assert float(y.mean()) == pytest.approx(2, abs=0.05)


def test_adam_moves_layers_of_any_width_equally_fast():
    """The step, against the size of the weights in use; of plain layers it grows with the root of the width."""

    def step(layer, used):
        before = used(layer).clone()
        optimizer = torch.optim.Adam(layer.parameters(), 1e-3)
        layer(torch.ones(1, before.shape[1])).sum().backward()
        optimizer.step()
        return float((used(layer) - before).abs().mean() / before.std())

    def ours(n, rate=1.0):
        return step(layers.Linear(n, 50, rate=rate), lambda layer: layer.weight.detach() * layer.gain)

    def plain(n):
        layer = torch.nn.Linear(n, 50)
        torch.nn.init.normal_(layer.weight, 0, n**-0.5)
        return step(layer, lambda layer: layer.weight.detach())

    torch.manual_seed(0)
    assert ours(1000) == pytest.approx(ours(10), rel=0.1)
    assert ours(10, 0.01) == pytest.approx(ours(10) / 100, rel=0.1)
    assert plain(1000) > 5 * plain(10)  # what the layer is there against


# --- modulation and normalisation ----------------------------------------------------------------------------------


def weights_by_loop(conv, style):
    """Eq. (1) and (3) of Karras et al. 2020, one image after the other."""
    w = conv.weight.detach() / math.sqrt(conv.weight[0].numel())
    for s in style:
        scaled = w * s.view(1, -1, 1, 1)
        if conv.demodulate:
            scaled = scaled / scaled.square().sum((1, 2, 3), keepdim=True).add(layers.TINY).sqrt()
        yield scaled


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
def test_modulated_convolution_is_that_with_weights_for_each_image(demodulate, kernel):
    torch.manual_seed(0)
    conv = layers.ModulatedConv(6, 5, kernel, demodulate=demodulate)
    x, style = torch.randn(4, 6, 9, 9), torch.randn(4, 6)
    own = list(weights_by_loop(conv, style))
    loop = torch.cat([F.conv2d(x[i : i + 1], w, padding=kernel // 2) for i, w in enumerate(own)])
    grouped = F.conv2d(x.reshape(1, -1, 9, 9), torch.cat(own), padding=kernel // 2, groups=4).view(4, 5, 9, 9)
    torch.testing.assert_close(conv(x, style), loop, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(conv(x, style), grouped, atol=1e-5, rtol=1e-5)


def test_demodulated_outputs_have_variance_one_whatever_the_style():
    torch.manual_seed(0)
    conv = layers.ModulatedConv(64, 64)
    for scale in (0.01, 1.0, 100.0):
        y = conv(torch.randn(8, 64, 32, 32), scale * (1 + torch.randn(8, 64)))[
            :, :, 1:-1, 1:-1
        ]  # zeros beyond the rim
        assert float(y.var()) == pytest.approx(1, abs=0.1)
    conv.demodulate = False
    y = conv(torch.randn(8, 64, 32, 32), 100 * (1 + torch.randn(8, 64)))
    assert float(y.var()) > 1000


def test_adain_gives_exactly_the_wanted_mean_and_deviation():
    torch.manual_seed(0)
    x, scale, shift = 3 + 5 * torch.randn(4, 6, 8, 8), torch.rand(4, 6) + 0.5, torch.randn(4, 6)
    y = layers.adain(x, scale, shift)
    torch.testing.assert_close(y.mean((2, 3)), shift, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(y.std((2, 3), unbiased=False), scale, atol=1e-5, rtol=1e-5)
    reference = F.instance_norm(x) * scale[:, :, None, None] + shift[:, :, None, None]
    torch.testing.assert_close(y, reference, atol=1e-4, rtol=1e-4)


def test_styles_start_by_changing_nothing_and_noise_silent():
    gan = StyleGAN(StyleGANConfig(**SMALL))
    for layer in gan.G.layers:
        assert torch.equal(layer.affine.bias, torch.ones_like(layer.affine.bias))
        assert float(layer.strength) == 0
    assert not any(colours.conv.demodulate for colours in gan.G.colours)


# --- filters -------------------------------------------------------------------------------------------------------


def test_upsampling_is_scipys_away_from_the_rim():
    x = torch.randn(1, 1, 7, 9, generator=generator(0), dtype=torch.float64)
    h = np.array(layers.FILTER) / 4  # gain 2 in each direction, for every second pixel is a zero
    rows = scipy.signal.upfirdn(h, x[0, 0].numpy(), up=2, axis=0)
    both = scipy.signal.upfirdn(h, rows, up=2, axis=1)[1:-1, 1:-1]  # the first taps reach one pixel out
    y = layers.upsampled(x)[0, 0].numpy()
    assert both.shape == y.shape
    np.testing.assert_allclose(y[1:-1, 1:-1], both[1:-1, 1:-1], atol=1e-12)
    torch.testing.assert_close(layers.upsampled(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 8, 8))


def test_downsampling_is_scipys():
    x = torch.randn(1, 1, 8, 10, generator=generator(0), dtype=torch.float64)
    h = np.array(layers.FILTER) / 8
    rows = scipy.signal.upfirdn(h, x[0, 0].numpy(), down=2, axis=0)
    full = scipy.signal.convolve2d(x[0, 0].numpy(), np.outer(h, h))
    assert rows.shape[0] == 6
    y = layers.downsampled(x)[0, 0].numpy()
    np.testing.assert_allclose(y, full[2:-1:2, 2:-1:2], atol=1e-12)


# --- the discriminator ---------------------------------------------------------------------------------------------


def test_minibatch_deviation_by_hand():
    x = torch.randn(8, 3, 2, 2, generator=generator(0))
    y = layers.MinibatchDeviation(4)(x).numpy()
    for start in (0, 4):
        expected = np.std(x.numpy()[start : start + 4], axis=0).mean()
        np.testing.assert_allclose(y[start : start + 4, 3], expected, rtol=1e-5)
    assert np.array_equal(y[:, :3], x.numpy())
    same = layers.MinibatchDeviation(4)(x[:1].expand(4, -1, -1, -1))
    assert float(same[:, 3].max()) < 1e-3


def test_deviation_takes_smaller_groups_of_other_minibatches():
    x = torch.randn(6, 3, 2, 2, generator=generator(0))
    y = layers.MinibatchDeviation(4)(x)  # groups of three
    np.testing.assert_allclose(y[3:, 3].numpy(), np.std(x.numpy()[3:], axis=0).mean(), rtol=1e-5)
    assert layers.MinibatchDeviation(4)(x[:1]).isfinite().all()


def test_reals_and_generated_ones_never_share_a_group():
    D = make().D
    real, fake = torch.randn(2, 8, 3, 16, 16, generator=generator(0)).unbind()
    torch.testing.assert_close(
        D(torch.cat([real, fake])), torch.cat([D(real), D(fake)]), atol=1e-5, rtol=1e-5
    )


# --- regularisation ------------------------------------------------------------------------------------------------


def test_lazy_regularisation_is_the_eager_one_in_expectation():
    """The gradients of eight steps at the same weights, their penalties all at once or each in its turn."""
    D = make().D
    real, fake = torch.randn(2, 4, 3, 16, 16, generator=generator(0)).unbind()
    objective = losses.Objective(D, losses.nonsaturating, [(losses.r1, 5.0)])

    def gradients(shares):
        D.zero_grad()
        for share in shares:
            objective(real, fake, generator(1), penalise=share).total.backward()
        return torch.cat([p.grad.flatten() for p in D.parameters() if p.grad is not None])

    eager, lazy, forgotten = gradients([1] * 8), gradients([8] + [0] * 7), gradients([1] + [0] * 7)
    torch.testing.assert_close(lazy, eager, atol=1e-4, rtol=1e-3)
    assert float((forgotten - eager).norm() / eager.norm()) > 0.01


def test_adam_is_slowed_by_the_lazy_steps():
    lr, betas = lazily(0.01, (0.5, 0.99), 4)
    assert lr * 5 == pytest.approx(0.01 * 4)  # as far in 5 steps as in 4
    assert (betas[0] ** 5, betas[1] ** 5) == pytest.approx((0.5**4, 0.99**4))  # and as forgetful
    assert lazily(0.01, (0.0, 0.99), 1) == (0.01, (0.0, 0.99))


@pytest.mark.parametrize("style", ["modulation", "adain"])
def test_path_lengths_against_finite_differences(style):
    gan = make(style=style).double()
    drawn = gan.draws(3, generator(0), mixing=False)
    found = PathLength().lengths(gan.G, drawn, generator(1))
    k = gan.cfg.latent
    w, noise = gan.G.styles(drawn[:, :k]), gan.G.noise_maps(drawn[:, k:])
    w = w[:, None].expand(-1, gan.G.depth, -1).detach()
    y = torch.randn(3, 3, 16, 16, generator=generator(1)).double() / 16
    with torch.no_grad():
        slopes, step = torch.zeros_like(w), 1e-5
        for layer in range(gan.G.depth):
            for i in range(k):
                moved = torch.zeros_like(w)
                moved[:, layer, i] = step
                difference = gan.G.images(w + moved, noise) - gan.G.images(w - moved, noise)
                slopes[:, layer, i] = (difference * y).sum((1, 2, 3)) / (2 * step)
    torch.testing.assert_close(found.detach(), slopes.square().sum(2).mean(1).sqrt(), atol=1e-7, rtol=1e-5)


def test_path_lengths_of_a_frozen_generator_are_the_same():
    gan = make()
    drawn = gan.draws(3, generator(0), mixing=False)
    free = PathLength().lengths(gan.G, drawn, generator(1)).detach()
    frozen = PathLength().lengths(gan.requires_grad_(False).G, drawn, generator(1))
    torch.testing.assert_close(frozen.detach(), free)


def test_the_gradient_of_the_path_penalty_against_finite_differences():
    gan = make().double()
    drawn, penalty = gan.draws(2, generator(0), mixing=False), PathLength()
    weight = gan.G.layers[1].conv.weight

    def value():
        penalty.mean = torch.tensor(0.5, dtype=torch.float64)  # detached: it is no part of the gradient
        lengths = penalty.lengths(gan.G, drawn, generator(1))
        return (lengths - penalty.mean).square().sum()

    (found,) = torch.autograd.grad(value(), weight)
    for place in ((0, 0, 0, 0), (3, 2, 1, 1)):
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weight[place] += step
            values.append(float(value()))
            with torch.no_grad():
                weight[place] -= step
        assert float(found[place]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


def test_the_wanted_path_length_follows_the_measured_ones():
    gan, penalty = make(), PathLength()
    drawn = gan.draws(4, generator(0), mixing=False)
    lengths = penalty.lengths(gan.G, drawn, generator(1)).detach()
    found = penalty(gan.G, drawn, generator(1))
    assert float(penalty.mean) == pytest.approx(0.01 * float(lengths.mean()), rel=1e-5)
    assert not penalty.mean.requires_grad
    torch.testing.assert_close(found, (lengths - penalty.mean).square(), atol=1e-5, rtol=1e-4)


# --- growing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", ["last", "skip"])
def test_a_new_resolution_is_faded_in(outputs):
    gan = make(outputs=outputs, noise=False)
    z = gan.codes(2, generator(0))
    gan.grow(8)
    small = gan.G(z)
    gan.grow(16, 0.0)
    torch.testing.assert_close(gan.G(z), layers.upsampled(small))
    gan.grow(16)
    new = gan.G(z)
    gan.grow(16, 0.25)
    torch.testing.assert_close(gan.G(z), torch.lerp(layers.upsampled(small), new, 0.25), atol=1e-5, rtol=1e-5)


def test_a_discriminator_with_a_new_resolution_is_first_the_old_one():
    D = make().D
    x = torch.randn(4, 3, 16, 16, generator=generator(0))
    D.alpha = 0.0
    new = D(x)
    D.resolution, D.alpha = 8, 1.0
    torch.testing.assert_close(new, D(layers.downsampled(x)))


def test_reals_are_faded_like_the_generated_ones():
    gan = make()
    x = torch.randn(2, 3, 16, 16, generator=generator(0))
    gan.grow(16, 0.0)
    torch.testing.assert_close(gan.seen(x), layers.upsampled(F.avg_pool2d(x, 2)))
    gan.grow(8)
    torch.testing.assert_close(gan.seen(x), F.avg_pool2d(x, 2))
    gan.grow(16)
    assert torch.equal(gan.seen(x), x)


def test_the_stages_follow_the_images_seen_and_are_resumed():
    gan, x = make(), torch.randn(20, 3, 16, 16, generator=generator(0))

    def stream():
        batches = data.Stream(x, batch=4, generator=generator(1))
        return Growing(batches, gan, [(8, 8), (16, 16)], fade=0.5)

    growing = stream()
    sizes, alphas = [], []
    for _ in range(6):
        sizes.append(next(growing).shape[-1])
        alphas.append(gan.G.alpha)
    assert sizes == [8, 8, 16, 16, 16, 16]
    assert alphas == [1, 1, 0, 0.5, 1, 1]
    assert gan.D.alpha == 1
    first, again = stream(), stream()
    for _ in range(3):
        next(first)
    gan.grow(8)
    again.load_state_dict(first.state_dict())
    assert torch.equal(next(again), next(first))
    assert (gan.G.resolution, gan.G.alpha) == (16, 0.5)


@pytest.mark.parametrize("stages", [[], [(4, 10), (8, 10), (16, 10)], [(8, 10)], [(16, 10), (8, 10)]])
def test_stages_that_do_not_double_to_the_full_resolution_are_refused(stages):
    with pytest.raises(ValueError, match="expected resolutions that double up to 16"):
        Growing(None, make(), stages)


# --- styles --------------------------------------------------------------------------------------------------------


def test_mixing_gives_the_layers_from_the_cut_on_to_the_second_style():
    gan = make(noise=False)
    a, b = gan.codes(2, generator(0)), gan.codes(2, generator(1))
    w, v = gan.G.styles(a), gan.G.styles(b)
    half = gan.G.images(mixed(w, v, 3, gan.G.depth))
    by_hand = torch.stack([w, w, w, *[v] * (gan.G.depth - 3)], 1)
    torch.testing.assert_close(half, gan.G.images(by_hand))
    torch.testing.assert_close(gan.G.images(mixed(w, v, gan.G.depth, gan.G.depth)), gan.G(a))
    assert not torch.allclose(half, gan.G(a), atol=1e-3)


def test_cuts_are_equally_frequent_and_as_often_as_asked():
    G = make(mixing=0.6).G
    cut = G.cut(torch.rand(60_000, generator=generator(0)))
    shares = torch.bincount(cut.long(), minlength=G.depth + 1) / 60_000
    assert shares[0] == 0
    torch.testing.assert_close(
        shares[1:-1], torch.full((G.depth - 1,), 0.6 / (G.depth - 1)), atol=0.01, rtol=0
    )
    assert float(shares[-1]) == pytest.approx(0.4, abs=0.01)


def test_all_that_is_random_about_an_image_is_in_its_row():
    gan = make()
    drawn = gan.draws(6, generator(0))
    torch.testing.assert_close(gan.G(drawn)[2:4], gan.G(drawn[2:4]), atol=1e-5, rtol=1e-5)
    assert torch.equal(gan.draws(6, generator(0)), drawn)
    plain = gan.draws(6, generator(0), mixing=False)
    assert plain.shape == (6, gan.G.drawn)
    assert not torch.allclose(gan.G(plain), gan.G(plain[:, :8]), atol=1e-3)  # noise is heard


def test_truncation_leads_to_the_mean_style():
    gan = make(noise=False)
    gan.measure(generator(3), 500)
    torch.testing.assert_close(gan.G.w_mean, gan.G.mapping(gan.codes(500, generator(3))).mean(0))
    z = gan.codes(4, generator(0))
    w = gan.G.styles(z)
    torch.testing.assert_close(gan.G.styles(z, 0.5), (w + gan.G.w_mean) / 2)
    mean = gan.G.images(gan.G.w_mean[None])
    torch.testing.assert_close(gan.sample(4, generator(0), psi=0.0), mean.clamp(-1, 1).expand(4, -1, -1, -1))


# --- the pyramid ---------------------------------------------------------------------------------------------------


def test_a_pyramid_has_an_image_for_each_resolution_and_one_logit():
    gan = make(outputs="pyramid", noise=False)
    x = gan.G(gan.codes(4, generator(0)))
    scales = unpacked(x, gan.cfg.resolutions)
    assert [part.shape[-1] for part in scales] == [4, 8, 16]
    assert torch.equal(packed(scales), x)
    assert gan.D(x).shape == (4,)
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(gan.D(x).sum(), x)
    assert all(float(part.abs().sum()) > 0 for part in unpacked(slope, gan.cfg.resolutions))
    assert gan.sample(2, generator(0)).shape == (2, 3, 16, 16)
    real = gan.seen(torch.randn(2, 3, 16, 16, generator=generator(0)))
    assert real.shape[1:] == x.shape[1:]


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"style": "adain", "outputs": "last", "residual": False},
        {"mapping": 0, "mixing": 0.0},
        {"noise": False},
    ],
)
def test_every_switch_learns_from_both_penalties(switches):
    gan = make(**switches)
    x = torch.randn(4, 3, 16, 16, generator=generator(0)).clamp(-1, 1)
    fake = gan.G(gan.draws(4, generator(1)))
    assert fake.shape == x.shape
    penalties = [(losses.r1, 1.0), (losses.r2, 1.0)]
    losses.Objective(gan.D, losses.relativistic, penalties)(x, fake, generator(2)).total.backward()
    assert all(p.grad is not None for p in gan.D.blocks.parameters())


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"resolution": 48}, "expected a power of two"),
        ({"resolution": 4}, "resolution"),
        ({"style": "sum"}, "style"),
        ({"outputs": "first"}, "outputs"),
        ({"mixing": 1.5}, "mixing"),
        ({"width": 0}, "width"),
    ],
)
def test_other_configurations_are_refused(switches, message):
    with pytest.raises(ValueError, match=message):
        StyleGANConfig(**{**SMALL, **switches})


def test_wrong_shapes_are_named():
    gan = make()
    with pytest.raises(ValueError, match=r"expected codes of shape \(N, 8\), got \(2, 9\)"):
        gan.G.styles(torch.zeros(2, 9))
    with pytest.raises(ValueError, match="drawn: expected shape"):
        gan.G(torch.zeros(2, 9))
    with pytest.raises(ValueError, match="w: expected styles of shape"):
        gan.G.images(torch.zeros(2, 3, 8))
    with pytest.raises(ValueError, match="x: expected images of shape"):
        gan.D(torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match="expected one of 8, 16, got 4"):
        gan.grow(4)
