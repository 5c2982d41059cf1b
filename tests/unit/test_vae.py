"""The densities and the model against torch.distributions, numerical integrals, and versions known to be wrong."""

import dataclasses
import json
import math
import warnings

import numpy as np
import pytest
import scipy.integrate
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from course_lib.vae import (
    VAE,
    VAEConfig,
    bernoulli_log_likelihood,
    binarize,
    gaussian_log_likelihood,
    normal_kl,
    normal_log_density,
    sample_normal,
)
from tests.unit.proof import generator, rejects

PRECISION = [(torch.float32, 1e-6), (torch.float64, 1e-10)]


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def within(draws, expected, errors=4.0):
    """Whether the mean over the first axis is within so many standard errors of what is expected, everywhere."""
    error = draws.std(0) / math.sqrt(len(draws))
    return bool(((draws.mean(0) - expected).abs() <= errors * error).all())


def close(ours, theirs, tolerance):
    return ours.shape == theirs.shape and float(((ours - theirs) / theirs).abs().max()) < tolerance


# ---- densities


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISION)
def test_normal_density_is_torchs(dtype, tolerance):
    z, mean, log_var = (draw(50, 3, 7, seed=s, dtype=dtype) for s in range(3))
    theirs = Independent(Normal(mean, (0.5 * log_var).exp()), 1).log_prob(z)
    assert close(normal_log_density(z, mean, log_var), theirs, tolerance)
    standard = Independent(Normal(torch.zeros_like(z), torch.ones_like(z)), 1).log_prob(z)
    assert close(normal_log_density(z), standard, tolerance)
    one = normal_log_density(z, mean[0, 0], -1.5)  # broadcast: one mean for all, one variance for all numbers
    assert close(one, Independent(Normal(mean[0, 0].expand_as(z), math.exp(-0.75)), 1).log_prob(z), tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISION)
def test_divergence_is_torchs_and_sums_over_the_latents(dtype, tolerance):
    mean, log_var, m, log_s2 = (draw(50, 7, seed=s, dtype=dtype) for s in range(4))

    def check(divergence):
        q = Normal(mean, (0.5 * log_var).exp())
        standard = Normal(torch.zeros_like(mean), torch.ones_like(mean))
        assert close(divergence(mean, log_var), kl_divergence(q, standard).sum(1), 10 * tolerance)
        general = kl_divergence(q, Normal(m, (0.5 * log_s2).exp())).sum(1)
        assert close(divergence(mean, log_var, m, log_s2), general, 10 * tolerance)

    def of_the_other_direction(mean, log_var, m=0.0, log_s2=0.0):
        m, log_s2 = m + torch.zeros_like(mean), log_s2 + torch.zeros_like(mean)
        return normal_kl(m, log_s2, mean, log_var)

    def without_the_priors_variance(mean, log_var, m=0.0, _log_s2=0.0):
        return normal_kl(mean, log_var, m)

    check(normal_kl)
    assert rejects(check, lambda *q: normal_kl(*q) / 7)  # the mean over latents
    assert rejects(check, of_the_other_direction)
    assert rejects(check, without_the_priors_variance)


def test_divergence_is_the_mean_log_ratio_of_draws():
    """Kingma and Welling's appendix B against its definition, for the standard prior and for another."""
    mean, log_var = torch.tensor([0.7, -1.2, 0.0]), torch.tensor([-1.0, 0.5, 0.0])
    for prior in (
        (torch.zeros(3), torch.zeros(3)),
        (torch.tensor([1.0, -1.0, 2.0]), torch.tensor([0.3, -0.6, 1.0])),
    ):
        z = sample_normal(mean.expand(40_000, 3), log_var.expand(40_000, 3), generator(5))
        ratio = normal_log_density(z, mean, log_var) - normal_log_density(z, *prior)
        assert within(ratio.double(), float(normal_kl(mean, log_var, *prior)))
        assert not within(ratio.double(), float(normal_kl(mean, log_var, *prior)) / 3)


def test_divergence_vanishes_at_the_prior_and_only_there():
    mean, log_var = draw(20, 4), draw(20, 4, seed=1)
    assert float(normal_kl(mean, log_var, mean, log_var).abs().max()) == 0
    assert float(normal_kl(torch.zeros(2, 4), torch.zeros(2, 4)).abs().max()) == 0
    assert float(normal_kl(mean, log_var).min()) > 0
    # Far away and very narrow or wide it stays finite: log σ² may be any number
    far = normal_kl(torch.full((1, 1), 1e3), torch.tensor([[-50.0]]))
    assert float(far) == pytest.approx(0.5 * (1e6 - 1 + 50), rel=1e-6)


def test_draws_have_their_mean_and_variance_and_depend_on_the_seed():
    mean, log_var = torch.tensor([3.0, -1.0]).double(), torch.tensor([-2.0, 1.0]).double()

    def check(sample):
        z = sample(mean.expand(40_000, 2), log_var.expand(40_000, 2), generator())
        assert within(z, mean)
        assert within((z - mean).square(), log_var.exp())
        assert abs(float(torch.corrcoef(z.T)[0, 1])) < 4 / 200

    check(sample_normal)
    assert rejects(check, lambda m, v, g: sample_normal(m, 2 * v, g))  # exp(log σ²) taken for the deviation
    first = sample_normal(mean, log_var, generator(1))
    assert first.dtype == torch.float64
    assert torch.equal(first, sample_normal(mean, log_var, generator(1)))
    assert not torch.equal(first, sample_normal(mean, log_var, generator(2)))


def test_draws_carry_the_gradient_of_an_expectation():
    """E[½ zᵀAz + bᵀz] has gradient Aμ + b in μ and ½ A_jj σ_j² in log σ_j²; a detached draw has none."""
    a = torch.tensor([[2.0, -0.7, 0.0], [-0.7, 1.0, 0.4], [0.0, 0.4, -1.5]], dtype=torch.float64)
    b, mu = torch.tensor([0.3, -1.0, 2.0]).double(), torch.tensor([1.0, 0.5, -2.0]).double()
    log_var = torch.tensor([-1.0, 0.4, 0.9]).double()

    def check(sample):
        means = mu.expand(40_000, 3).clone().requires_grad_()
        log_vars = log_var.expand(40_000, 3).clone().requires_grad_()
        z = sample(means, log_vars, generator(3))
        loss = (0.5 * ((z @ a) * z).sum(1) + z @ b).sum() + 0 * (means.sum() + log_vars.sum())
        loss.backward()  # row by row the gradient of one draw
        assert within(means.grad, a @ mu + b)
        assert within(log_vars.grad, 0.5 * a.diagonal() * log_var.exp())

    def without_gradient(mean, log_var, generator):
        return sample_normal(mean, log_var, generator).detach()

    def with_gradient_of_the_mean_only(mean, log_var, generator):
        return sample_normal(mean, log_var.detach(), generator)

    check(sample_normal)
    assert rejects(check, without_gradient)
    assert rejects(check, lambda m, v, g: Normal(m, (0.5 * v).exp()).sample())
    assert rejects(check, with_gradient_of_the_mean_only)


# ---- likelihoods


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISION)
def test_likelihoods_are_torchs(dtype, tolerance):
    logits = draw(9, 2, 4, 4, dtype=dtype)
    x = (draw(9, 2, 4, 4, seed=1) > 0).to(dtype)
    theirs = Bernoulli(logits=logits).log_prob(x).flatten(1).sum(1)
    assert close(bernoulli_log_likelihood(logits, x), theirs, tolerance)
    x, log_var = draw(9, 2, 4, 4, seed=2, dtype=dtype), draw(9, 2, 4, 4, seed=3, dtype=dtype)
    each = Normal(logits, (0.5 * log_var).exp()).log_prob(x).flatten(1).sum(1)
    assert close(gaussian_log_likelihood(logits, x, log_var), each, tolerance)
    shared = Normal(logits, (0.5 * log_var[:1]).exp()).log_prob(x).flatten(1).sum(1)
    assert close(gaussian_log_likelihood(logits, x, log_var[0]), shared, tolerance)  # one per pixel, for all
    one = Normal(logits, 0.3).log_prob(x).flatten(1).sum(1)
    for log_var in (2 * math.log(0.3), torch.tensor(2 * math.log(0.3), dtype=dtype)):
        assert close(gaussian_log_likelihood(logits, x, log_var), one, tolerance)


def test_bernoulli_likelihood_is_finite_for_certain_pixels():
    logits = torch.full((2, 1, 2, 2), 500.0)
    logits[1] *= -1
    assert bernoulli_log_likelihood(logits, torch.ones(2, 1, 2, 2)).tolist() == [0, -2000]


def test_bernoulli_probabilities_of_all_binary_images_sum_to_one():
    every = torch.tensor([[(i >> b) & 1 for b in range(6)] for i in range(64)], dtype=torch.float64).view(
        64, 1, 2, 3
    )
    logits = draw(1, 1, 2, 3).expand(64, 1, 2, 3)

    def check(log_likelihood):
        assert float(log_likelihood(logits, every).exp().sum()) == pytest.approx(1, abs=1e-10)

    def mean_over_pixels(logits, x):
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).mean(1)

    check(bernoulli_log_likelihood)
    assert rejects(check, mean_over_pixels)


def test_cross_entropy_on_grey_values_is_no_density_which_is_why_they_are_refused():
    """∫ exp(-BCE) over one grey pixel is (2p-1)/logit(p): never above ½, and it depends on what is learnt."""

    def integral(logit):
        def density(x):
            pixel = torch.tensor([[x]], dtype=torch.float64)
            return float((-F.binary_cross_entropy_with_logits(torch.full_like(pixel, logit), pixel)).exp())

        return scipy.integrate.quad(density, 0, 1)[0]

    for logit in (-4.0, 0.3, 2.0):
        p = 1 / (1 + math.exp(-logit))
        assert integral(logit) == pytest.approx((2 * p - 1) / logit, abs=1e-9)
        assert integral(logit) < 0.5
    with pytest.raises(ValueError, match=r"50.0% grey values.*no likelihood; use vae.binarize"):
        bernoulli_log_likelihood(torch.zeros(1, 2), torch.tensor([[0.4, 1.0]]))


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.7])
def test_gaussian_likelihood_integrates_to_one(sigma):
    """Over one pixel and over two; without 1/2σ² or without log σ² it does so for no, or for one, σ alone."""
    step = sigma / 10
    axis = torch.arange(-12 * sigma, 12 * sigma, step, dtype=torch.float64)
    one, two = axis.view(-1, 1, 1, 1), torch.cartesian_prod(axis, axis).view(-1, 1, 1, 2)

    def check(log_likelihood):
        for x, mean in (
            (one, torch.full_like(one, 0.3)),
            (two, torch.tensor([0.3, -0.2]).double().expand_as(two)),
        ):
            mass = log_likelihood(mean, x, 2 * math.log(sigma)).exp().sum() * step ** x.shape[-1]
            assert float(mass) == pytest.approx(1, abs=1e-9)

    def squared_error(mean, x):
        return (x - mean).square().flatten(1).sum(1)

    def without_one_over_two_variances(mean, x, log_var):
        d = mean[0].numel()
        return -squared_error(mean, x) - 0.5 * d * (log_var + math.log(2 * math.pi))

    def without_log_variance(mean, x, log_var):
        d = mean[0].numel()
        return -squared_error(mean, x) / (2 * math.exp(log_var)) - 0.5 * d * math.log(2 * math.pi)

    check(gaussian_log_likelihood)
    assert rejects(check, without_one_over_two_variances)
    assert rejects(check, without_log_variance)
    assert rejects(
        check, lambda mean, x, log_var: gaussian_log_likelihood(mean, x, log_var) / mean[0].numel() + 1
    )


def test_best_variance_is_the_mean_squared_error():
    """The slope in log σ² vanishes at the mean squared error; without the term log σ² it never does, and σ grows."""
    mean, x = draw(30, 1, 3, 3), draw(30, 1, 3, 3, seed=1)
    mse = float((x - mean).square().mean())

    def check(log_likelihood):
        log_var = torch.tensor(math.log(mse), dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(log_likelihood(mean, x, log_var).sum(), log_var)
        assert float(slope) == pytest.approx(0, abs=1e-9)

    def without_log_variance(mean, x, log_var):
        return gaussian_log_likelihood(mean, x, log_var) + 0.5 * mean[0].numel() * log_var

    check(gaussian_log_likelihood)
    assert rejects(check, without_log_variance)
    for log_var in (-3.0, 0.0, 3.0, 9.0):
        variable = torch.tensor(log_var, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(without_log_variance(mean, x, variable).sum(), variable)
        assert float(slope) > 0


def test_terms_grow_with_the_number_of_pixels_and_latents():
    """Four copies of an image are four times as unlikely, two copies of the latents twice as informative."""
    logits, binary = draw(5, 1, 4, 4), (draw(5, 1, 4, 4, seed=1) > 0).double()
    mean, log_var = draw(5, 3, seed=2), draw(5, 3, seed=3)

    def check(log_p):
        tile = lambda t: t.repeat(1, 1, 2, 2)  # noqa: E731
        assert torch.allclose(log_p(tile(logits), tile(binary)), 4 * log_p(logits, binary))

    def check_divergence(divergence):
        twice = divergence(mean.repeat(1, 2), log_var.repeat(1, 2))
        assert torch.allclose(twice, 2 * divergence(mean, log_var))

    check(bernoulli_log_likelihood)
    check(lambda mean, x: gaussian_log_likelihood(mean, x, -0.4))
    assert rejects(check, lambda a, x: bernoulli_log_likelihood(a, x) / x[0].numel())
    assert rejects(check, lambda a, x: -(a - x).square().flatten(1).mean(1))
    check_divergence(normal_kl)
    assert rejects(check_divergence, lambda m, v: normal_kl(m, v) / m.shape[1])


def test_a_mean_over_pixels_is_a_beta_vae_with_beta_of_all_the_pixels():
    """The gradient identity ∇(-mean + KL) = ∇(-sum + D·KL)/D: with D = 784, a collapsed posterior."""
    torch.manual_seed(0)
    model = tiny().double()
    x = (torch.rand(6, 1, 4, 4, generator=generator(), dtype=torch.float64) < 0.5).double()

    def gradient(reconstruction, beta):
        terms = model.terms(x, generator(1))
        loss = (beta * terms.kl - reconstruction * terms.reconstruction).mean()
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])

    reduced = gradient(1 / 16, 1.0)
    assert float((16 * reduced - gradient(1.0, 16.0)).norm() / reduced.norm()) < 1e-12
    right = gradient(1.0, 1.0)
    assert float(F.cosine_similarity(right, reduced, dim=0)) < 0.9  # not even the same direction


# ---- binarisation


def test_binarised_pixels_are_white_in_proportion_to_their_grey():
    grey = torch.tensor([-1.0, -0.8, -0.3, 0.0, 0.1, 0.5, 0.9, 1.0])
    x = grey.expand(20_000, 1, 1, 8)

    def check(make_binary):
        draws = make_binary(x, generator()).double()
        assert set(draws.unique().tolist()) == {0.0, 1.0}
        assert within(draws.flatten(1), (grey.double() + 1) / 2)

    check(binarize)
    assert rejects(check, lambda x, _: (x > 0).float())  # a threshold
    assert rejects(
        check, lambda x, g: (torch.rand(x.shape, generator=g) < x).float()
    )  # as if x were in [0, 1]


def test_binarisation_is_fresh_each_time_and_repeatable_by_its_seed():
    x = torch.zeros(4, 1, 8, 8, dtype=torch.float64)
    g = generator(1)
    first, second = binarize(x, g), binarize(x, g)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])  # nor is one draw used for all images
    assert torch.equal(first, binarize(x, generator(1)))
    assert first.shape == x.shape and first.dtype == x.dtype
    assert float(x.abs().max()) == 0  # not in place


# ---- the model


def tiny(**changes):
    return VAE(VAEConfig(**{"resolution": 4, "hidden": (9,), "latent": 3, **changes}))


def test_the_divergence_and_the_likelihood_are_those_of_its_distributions():
    """Both terms again by torch.distributions, at the draw that the same seed gives."""
    torch.manual_seed(0)
    binary = (torch.rand(7, 1, 4, 4, generator=generator()) < 0.5).float()
    for model, x in ((tiny(), binary), (tiny(likelihood="gaussian", sigma=0.3), 2 * binary - 1)):
        mean, log_var = model.encode(x)
        q = Normal(mean, (0.5 * log_var).exp())
        z = mean + q.stddev * torch.randn(7, 3, generator=generator(4))
        likelihood = Bernoulli(logits=model.decode(z)) if x is binary else Normal(model.decode(z), 0.3)
        reconstruction = likelihood.log_prob(x).flatten(1).sum(1)
        terms = model.terms(x, generator(4))
        prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
        assert torch.allclose(terms.reconstruction, reconstruction, rtol=1e-5)
        assert torch.allclose(terms.kl, kl_divergence(q, prior).sum(1), rtol=1e-5)
        assert torch.equal(terms.elbo, terms.reconstruction - terms.kl)
        assert torch.allclose(model.log_likelihood(x, z), reconstruction, rtol=1e-5)
        weights = reconstruction + prior.log_prob(z).sum(1) - q.log_prob(z).sum(1)
        assert torch.allclose(model.log_weights(x, generator(4)), weights, rtol=1e-5)


def test_sigma_is_a_standard_deviation_and_learnt_only_on_request():
    fixed, learnt = (tiny(likelihood="gaussian", sigma=0.3, learn_sigma=learn) for learn in (False, True))
    for model in (fixed, learnt):
        assert float(model.log_var_x.detach()) == pytest.approx(math.log(0.09), rel=1e-6)
        assert "log_var_x" in model.state_dict()
    assert "log_var_x" not in dict(fixed.named_parameters())
    assert "log_var_x" in dict(learnt.named_parameters())
    assert "log_var_x" not in tiny().state_dict()


def test_a_learnt_sigma_becomes_the_error_that_is_left():
    torch.manual_seed(0)
    model = tiny(likelihood="gaussian", sigma=1.0, learn_sigma=True).double()
    with torch.no_grad():
        model.decoder.net[
            -2
        ].weight.zero_()  # the same image whatever the code: σ² must become its squared error
    x = 0.2 * draw(40, 1, 4, 4)
    error = (x - model.decode(torch.zeros(1, 3).double())).square().mean().detach()
    model.requires_grad_(False).log_var_x.requires_grad_()
    optimizer = torch.optim.Adam([model.log_var_x], 0.2)
    for _ in range(120):
        optimizer.zero_grad()
        (-model.terms(x, generator()).reconstruction.mean()).backward()
        optimizer.step()
    assert float(model.log_var_x.detach().exp() / error) == pytest.approx(1, rel=0.01)


@torch.no_grad()
def test_samples_of_a_linear_model_have_its_mean_and_covariance():
    """x = Wz + b with z ~ N(0, I): mean b, covariance WWᵀ (the mean image is drawn, not its noise)."""
    torch.manual_seed(0)
    model = VAE(VAEConfig(resolution=2, hidden=(), latent=3, likelihood="gaussian", sigma=0.1)).double()
    layer = model.decoder.net[0]
    layer.weight.mul_(0.1)
    prior = torch.randn(40_000, 3, generator=generator()).double()
    samples = model.images(prior).flatten(1)
    assert within(samples, layer.bias)
    assert torch.allclose(torch.cov(samples.T), layer.weight @ layer.weight.T, atol=4e-4)
    model = model.float()
    z = torch.randn(50, 3, generator=generator(2))
    assert torch.equal(model.sample(50, generator(2)), model.images(z))


@torch.no_grad()
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("shape", [(4, 1, ()), (8, 3, (4, 6))])
def test_images_have_their_shape_and_lie_in_their_range(likelihood, shape):
    torch.manual_seed(0)
    resolution, colours, channels = shape
    model = tiny(resolution=resolution, colours=colours, channels=channels, likelihood=likelihood)
    z = torch.randn(6, 3, generator=generator())
    near = model.decode(z)
    expected = 2 * Bernoulli(logits=near).mean - 1 if likelihood == "bernoulli" else near.clip(-1, 1)
    assert torch.allclose(model.images(z), expected, atol=1e-6)
    last = [p for name, p in model.decoder.named_parameters() if name.endswith("weight")][-1]
    last.mul_(1e4)  # far outside
    images = model.images(z)
    assert images.shape == model.decode(z).shape == (6, colours, resolution, resolution)
    assert float(images.min()) == -1
    assert float(images.max()) == 1
    mean, log_var = model.encode(torch.zeros(6, colours, resolution, resolution))
    assert mean.shape == log_var.shape == (6, 3)
    assert model.sample(5, generator()).shape == (5, colours, resolution, resolution)
    assert torch.equal(model.sample(5, generator(3)), model.sample(5, generator(3)))
    assert not torch.equal(model.sample(5, generator(3)), model.sample(5, generator(4)))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_vae_overfits_one_batch(likelihood):
    """Down to the entropy of which of the 8 images it is, and no lower: a bound is never above log p."""
    torch.manual_seed(0)
    x = (torch.rand(8, 1, 6, 6, generator=generator()) < 0.5).float()
    model = VAE(VAEConfig(resolution=6, hidden=(48,), latent=4, likelihood=likelihood, sigma=0.1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses, noise = [], generator(1)
    for _ in range(200):
        loss = -model.terms(x, noise).elbo.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    final = np.mean(losses[-20:])
    if likelihood == "bernoulli":
        assert losses[0] > 24  # 36 pixels of log 2 each, at first
        assert math.log(8) < final < losses[0] / 3
    else:  # a density: 36 pixels of standard deviation 0.1
        floor = math.log(8) + 18 * (math.log(2 * math.pi * 0.01))
        assert losses[0] > 300
        assert floor < final < 0


def test_the_bound_trains_without_warnings():
    """torch warns where a number is taken out of a computation that still needs its gradient."""
    torch.manual_seed(0)
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for likelihood in ("bernoulli", "gaussian"):
                model = tiny(likelihood=likelihood, learn_sigma=True)
                (-model.terms(torch.zeros(2, 1, 4, 4), generator()).elbo.mean()).backward()
                assert all(p.grad is not None for p in model.parameters())
    finally:
        torch.set_warn_always(always)


@pytest.mark.parametrize(
    "cfg",
    [
        VAEConfig(),
        VAEConfig(resolution=32, colours=3, channels=(8, 16), likelihood="gaussian", learn_sigma=True),
    ],
)
def test_configs_survive_json(cfg):
    again = VAEConfig(**json.loads(json.dumps(dataclasses.asdict(cfg))))
    assert again == cfg
    assert hash(again) == hash(cfg)
    weights = VAE(cfg).state_dict()
    VAE(again).load_state_dict(weights)


@pytest.mark.parametrize("changes", [{}, {"likelihood": "gaussian", "learn_sigma": True}, {"latent": 2}])
def test_parameters_are_few_enough_to_ship(changes):
    assert sum(p.numel() for p in VAE(VAEConfig(**changes)).parameters()) <= 1_250_000


GREY, WHITE = torch.full((2, 1, 4, 4), 0.25), torch.ones(2, 1, 4, 4)
WRONG_SHAPE = r"x: expected the shape of the decoder's {}, \(2, 1, 4, 4\), got \(2, 1, 4, 3\)"


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: bernoulli_log_likelihood(WHITE, -WHITE),
            ValueError,
            "x: expected binary pixels.*from -1 to -1",
        ),
        (
            lambda: bernoulli_log_likelihood(WHITE, 255 * WHITE),
            ValueError,
            "0 or 1.*got values from 255 to 255",
        ),
        (lambda: bernoulli_log_likelihood(WHITE, GREY), ValueError, "got 100.0% grey values.*no likelihood"),
        (lambda: bernoulli_log_likelihood(WHITE, WHITE * math.nan), ValueError, "0 or 1.*nan"),
        (lambda: bernoulli_log_likelihood(WHITE, WHITE[..., :3]), ValueError, WRONG_SHAPE.format("logits")),
        (lambda: gaussian_log_likelihood(WHITE, WHITE[..., :3], 0.0), ValueError, WRONG_SHAPE.format("mean")),
        (
            lambda: gaussian_log_likelihood(torch.ones(2, 1, 2, 1), torch.ones(2, 1, 2, 1), torch.ones(3)),
            ValueError,
            r"log_var: expected one number or one per pixel, \(2, 1, 2, 1\), got \(3,\)",
        ),
        (
            lambda: normal_kl(torch.ones(2, 3), torch.ones(3)),
            ValueError,
            r"log_var: expected the mean's shape \(2, 3\), got \(3,\)",
        ),
        (
            lambda: binarize(2 * WHITE, generator()),
            ValueError,
            r"x: expected images in \[-1, 1\].*from 2 to 2",
        ),
        (lambda: binarize(-1.1 * WHITE, generator()), ValueError, r"expected images in \[-1, 1\].*-1.1"),
        (lambda: binarize(WHITE * math.nan, generator()), ValueError, "x: expected finite numbers"),
        (lambda: binarize(WHITE.long(), generator()), TypeError, "x: expected a floating-point"),
        (
            lambda: VAEConfig(likelihood="mse"),
            ValueError,
            "likelihood must be one of 'bernoulli', 'gaussian'.*'mse'",
        ),
        (lambda: VAEConfig(sigma=0.0), ValueError, "sigma must be .*> 0; received 0.0"),
        (lambda: VAEConfig(sigma=-1.0), ValueError, "sigma must be .*received -1.0"),
        (lambda: VAEConfig(sigma="0.5"), TypeError, "sigma must be .*'0.5'"),
        (
            lambda: VAEConfig(resolution=28, channels=(2, 2, 2)),
            ValueError,
            "resolution: expected a multiple of 8.*28",
        ),
        (lambda: tiny().encode(WHITE[..., :3]), ValueError, r"x: .*\(N, 1, 4, 4\), got \(2, 1, 4, 3\)"),
        (
            lambda: tiny().terms(torch.ones(2, 1, 28, 28), generator()),
            ValueError,
            r"\(N, 1, 4, 4\), got .*28",
        ),
        (lambda: tiny().log_weights(WHITE[0], generator()), ValueError, r"\(N, 1, 4, 4\), got \(1, 4, 4\)"),
        (
            lambda: tiny().decode(torch.ones(2, 4)),
            ValueError,
            r"z: expected codes of shape \(N, 3\), got \(2, 4\)",
        ),
        (
            lambda: tiny().images(torch.ones(3)),
            ValueError,
            r"z: expected codes of shape \(N, 3\), got \(3,\)",
        ),
        (
            lambda: tiny().log_likelihood(WHITE, torch.ones(3, 3)),
            ValueError,
            r"\(3, 1, 4, 4\), got \(2, 1, 4, 4\)",
        ),
        (lambda: tiny().terms(GREY, generator()), ValueError, "grey values"),
        (lambda: tiny().terms(-WHITE, generator()), ValueError, "binarize"),
        (lambda: tiny().sample(0, generator()), ValueError, "n must be .*received 0"),
        (lambda: tiny().sample(2.0, generator()), TypeError, "n must be a whole number.*2.0"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
