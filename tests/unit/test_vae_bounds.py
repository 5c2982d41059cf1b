"""Bounds on a log p(x) that is known: a linear Gaussian model, and draws with given weights."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from course_lib.cards import mean
from course_lib.vae import (
    VAE,
    VAEConfig,
    active_units,
    effective_sample_size,
    elbo,
    iwae,
    log_mean_exp,
)
from tests.unit.proof import generator, rejects

SIGMA = 0.6


def standard_error(draws):
    return float(draws.double().std()) / math.sqrt(len(draws))


@torch.no_grad()
def linear_gaussian(posterior="true"):
    """A VAE with linear encoder and decoder, and the density of its x.

    x = Wz + b + σε. With orthogonal columns of W the posterior is diagonal, N(Mᵀ(x-b)/σ², M) with
    M = (I + WᵀW/σ²)⁻¹, so that the encoder can be exactly it; "wrong" moves and widens it.
    """
    cfg = VAEConfig(resolution=2, hidden=(), latent=2, likelihood="gaussian", sigma=SIGMA)
    model = VAE(cfg).double().requires_grad_(False)
    w = torch.linalg.qr(torch.randn(4, 2, generator=generator(5), dtype=torch.float64)).Q * torch.tensor(
        [1.5, 0.4]
    )
    b = torch.tensor([0.3, -0.5, 0.1, 0.8], dtype=torch.float64)
    model.decoder.net[0].weight.copy_(w)
    model.decoder.net[0].bias.copy_(b)
    model.log_var_x.fill_(2 * math.log(SIGMA))  # again, for it was rounded to single precision
    variance = 1 / (1 + w.square().sum(0) / SIGMA**2)
    to_mean = variance[:, None] * w.T / SIGMA**2
    shift, scale = (0.0, 1.0) if posterior == "true" else (0.15, 1.4)
    encoder = model.encoder.net[-1]
    encoder.weight.copy_(torch.cat([to_mean, torch.zeros(2, 4)]))
    encoder.bias.copy_(torch.cat([shift - to_mean @ b, (scale * variance).log()]))
    return model, MultivariateNormal(b, w @ w.T + SIGMA**2 * torch.eye(4).double()), torch.diag(variance)


@pytest.fixture(scope="module")
def data():
    _, p, _ = linear_gaussian()
    x = p.mean + torch.randn(6, 4, generator=generator(1), dtype=torch.float64) @ p.scale_tril.T
    return x.view(6, 1, 2, 2)


def test_the_bound_is_log_p_at_the_true_posterior(data):
    """There every draw has the same weight p(x, z)/q(z|x) = p(x), and the two terms differ by log p on average."""
    model, p, _ = linear_gaussian()
    exact = p.log_prob(data.flatten(1))
    for seed in range(3):
        assert float((model.log_weights(data, generator(seed)) - exact).abs().max()) < 1e-10
    assert float((iwae(model, data, 7, generator()) - exact).abs().max()) < 1e-10

    def check(terms):
        for i in range(len(data)):
            draws = terms(data[i : i + 1].expand(20_000, 1, 2, 2), generator(i))
            assert abs(float(draws.mean()) - float(exact[i])) < 4 * standard_error(draws)

    check(lambda x, g: model.terms(x, g).elbo)
    assert rejects(check, lambda x, g: model.terms(x, g).reconstruction)
    # both reductions that make a β-VAE of it
    assert rejects(check, lambda x, g: model.terms(x, g).reconstruction / 4 - model.terms(x, g).kl)
    assert rejects(check, lambda x, g: model.terms(x, g).reconstruction - model.terms(x, g).kl / 2)


def test_the_bound_is_below_log_p_by_the_divergence_of_the_posteriors(data):
    model, p, covariance = linear_gaussian("wrong")
    exact = p.log_prob(data.flatten(1))
    true = linear_gaussian()[0].encode(data)[0]
    mu, log_var = model.encode(data)
    gap = kl_divergence(
        MultivariateNormal(mu, torch.diag_embed(log_var.exp())), MultivariateNormal(true, covariance)
    )
    assert float(gap.min()) > 0.05
    for i in range(len(data)):
        x = data[i : i + 1].expand(20_000, 1, 2, 2)
        for draws in (elbo(model, x, generator(i)).elbo, model.log_weights(x, generator(9 + i))):
            assert abs(float(draws.mean() - (exact - gap)[i])) < 4 * standard_error(draws)


def test_more_draws_tighten_the_bound_up_to_log_p(data):
    model, p, _ = linear_gaussian("wrong")
    exact = float(p.log_prob(data[0].flatten()))
    x = data[:1].expand(2_000, 1, 2, 2)
    bounds = [iwae(model, x, draws, generator(draws)) for draws in (1, 2, 5, 25)]
    means, errors = [float(b.mean()) for b in bounds], [standard_error(b) for b in bounds]
    for k in range(3):
        assert means[k + 1] > means[k] - 4 * math.hypot(errors[k], errors[k + 1])
    assert means[-1] > means[0] + 4 * math.hypot(errors[0], errors[-1])  # and strictly from first to last
    assert all(m < exact + 4 * e for m, e in zip(means, errors))
    assert float((iwae(model, data, 5_000, generator()) - p.log_prob(data.flatten(1))).abs().max()) < 0.01


def test_the_mean_is_of_the_weights_and_not_of_their_logarithms(data):
    """The mean of the logarithms stays at the ELBO however many draws; a sum grows beyond log p."""
    model, p, _ = linear_gaussian("wrong")
    exact = p.log_prob(data.flatten(1))

    def check(reduce):
        repeated = data.repeat_interleave(5_000, 0)
        bound = reduce(model.log_weights(repeated, generator()).view(6, 5_000))
        assert float((bound - exact).abs().max()) < 0.01

    check(log_mean_exp)
    assert rejects(check, lambda log_w: log_w.mean(1))
    assert rejects(check, lambda log_w: log_w.logsumexp(1))


def test_one_draw_is_the_elbo(data):
    model, _, _ = linear_gaussian("wrong")
    assert torch.equal(iwae(model, data, 1, generator(3)), model.log_weights(data, generator(3)))
    one = iwae(model, data[:1].expand(20_000, 1, 2, 2), 1, generator(1))
    two = elbo(model, data[:1].expand(20_000, 1, 2, 2), generator(2)).elbo
    assert abs(float(one.mean() - two.mean())) < 4 * math.hypot(standard_error(one), standard_error(two))


class Listed:
    """A model whose k-th draw for sample i has weight table[i, k], however they are asked for."""

    def __init__(self, table):
        self.table, self.used = table, [0] * len(table)
        self.largest = 0

    def log_weights(self, x, _generator):
        self.largest = max(self.largest, len(x))
        drawn = []
        for i in x[:, 0].long().tolist():
            drawn.append(self.table[i, self.used[i]])
            self.used[i] += 1
        return torch.stack(drawn)


@pytest.mark.parametrize("batch", [1, 3, 7, 11, 12, 25, 1000])
def test_the_result_does_not_depend_on_the_batches(batch):
    """Every sample gets all its draws, each once, and none of another's."""
    table = 5 * torch.randn(9, 11, generator=generator(), dtype=torch.float64)
    model = Listed(table)
    bound = iwae(model, torch.arange(9.0).unsqueeze(1), 11, generator(), batch=batch)
    assert torch.allclose(bound, torch.from_numpy(np.log(np.exp(table.numpy()).mean(1))), atol=1e-12)
    assert model.used == [11] * 9
    assert model.largest <= batch


@pytest.mark.parametrize("batch", [1, 4, 6, 200])
def test_batches_of_the_elbo_keep_the_order(data, batch):
    model, p, _ = linear_gaussian()
    terms = elbo(model, data, generator(), batch=batch)
    assert torch.allclose(terms.kl, model.terms(data, generator()).kl)
    assert terms.reconstruction.shape == (6,)
    noise = terms.elbo - p.log_prob(data.flatten(1))
    assert float(noise.abs().max()) < 8  # log p(x|z) varies with z by about √2 nats
    assert not terms.elbo.requires_grad


def test_evaluation_keeps_no_gradients():
    model = VAE(VAEConfig(resolution=4, hidden=(5,), latent=2))
    x = torch.ones(3, 1, 4, 4)
    assert not elbo(model, x, generator()).elbo.requires_grad
    assert not iwae(model, x, 3, generator()).requires_grad
    assert model.terms(x, generator()).elbo.requires_grad
    assert model.log_weights(x, generator()).requires_grad


def test_log_mean_exp_does_not_overflow():
    log_w = torch.randn(4, 5, 6, generator=generator(), dtype=torch.float64)
    assert torch.allclose(log_mean_exp(log_w), log_w.exp().mean(-1).log())
    assert torch.allclose(log_mean_exp(log_w - 2e4), log_mean_exp(log_w) - 2e4)
    assert log_mean_exp(torch.full((3,), -5e4)).tolist() == pytest.approx(-5e4)


def test_effective_sample_size_counts_the_draws_that_matter():
    ess = effective_sample_size
    assert ess(torch.full((3, 8), -700.0)).tolist() == pytest.approx([8] * 3)
    assert float(ess(torch.tensor([0.0, -90.0, -90.0, -80.0]))) == pytest.approx(1)
    assert float(ess(torch.tensor([1.0, 2.0, 3.0]).log())) == pytest.approx(36 / 14)
    half = torch.cat([torch.zeros(5), torch.full((5,), -200.0)])
    assert float(ess(half)) == pytest.approx(5)
    log_w = torch.randn(10, 40, generator=generator())
    assert torch.allclose(ess(log_w), ess(log_w + 300), rtol=1e-3)  # only ratios count
    assert bool(((ess(log_w) >= 1) & (ess(log_w) <= 40)).all())


def test_effective_sample_size_of_log_normal_weights():
    """For log w ~ N(·, s²) the share is E[w]²/E[w²] = exp(-s²)."""
    log_w = 0.8 * torch.randn(400_000, generator=generator(), dtype=torch.float64)
    assert float(effective_sample_size(log_w)) / 400_000 == pytest.approx(math.exp(-0.64), rel=0.02)


def test_active_units_are_those_whose_mean_moves():
    """Burda, Grosse and Salakhutdinov's measure: the variance over the data of the posterior mean."""
    columns = torch.randn(5_000, 5, generator=generator()) * torch.tensor([1.0, 0.11, 0.09, 0.0, 0.5])
    means = columns + torch.tensor([0.0, 5.0, 5.0, 7.0, 0.0])

    def check(active):
        assert active(means).tolist() == [True, True, False, False, True]

    check(active_units)
    assert rejects(check, lambda m: m.abs().mean(0) > 0.01)  # a constant offset is not activity
    assert rejects(check, lambda m: m.std(0) > 0.01)
    assert active_units(means, 0.5).tolist() == [True, False, False, False, False]


def test_a_collapsed_latent_is_inactive():
    """An encoder that ignores the image in one latent: its mean is the same for all x, and so is its divergence."""
    model, _, _ = linear_gaussian()
    model.encoder.net[-1].weight[1] = 0
    x = torch.randn(50, 1, 2, 2, generator=generator(), dtype=torch.float64)
    assert active_units(model.encode(x)[0]).tolist() == [True, False]


# ---- how a bound is written down


def test_a_recipes_mean_is_numpys_with_its_standard_error():
    values = torch.randn(57, generator=generator()) * 3 - 100
    score = mean(values)
    numbers = values.double().numpy()
    assert score["value"] == pytest.approx(numbers.mean(), rel=1e-12)
    assert score["ci95"] == pytest.approx(1.96 * numbers.std(ddof=1) / math.sqrt(57), rel=1e-12)
    assert score["n"] == 57
    assert mean(torch.full((9,), 2.5)) == {"value": 2.5, "ci95": 0.0, "n": 9, "kind": "mean"}
    assert math.isnan(mean(torch.tensor([1.0]))["ci95"])  # one value has no spread


def test_a_recipes_interval_covers_the_truth_19_times_in_20():
    draws = torch.randn(2_000, 60, generator=generator()) + 5
    covered = [abs(s["value"] - 5) < s["ci95"] for s in map(mean, draws)]
    # Student's t with 59 degrees of freedom has 94.5 % within 1.96
    assert np.mean(covered) == pytest.approx(0.945, abs=4 * math.sqrt(0.05 * 0.95 / 2_000))


LINEAR = VAE(VAEConfig(resolution=2, hidden=(), latent=2, likelihood="gaussian"))
ONES = torch.ones(3, 1, 2, 2)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: iwae(LINEAR, ONES, 0, generator()), ValueError, "draws must be .*received 0"),
        (lambda: iwae(LINEAR, ONES, 2.0, generator()), TypeError, "draws must be a whole number.*2.0"),
        (lambda: iwae(LINEAR, ONES, 5, generator(), batch=0), ValueError, "batch must be .*received 0"),
        (lambda: elbo(LINEAR, ONES, generator(), batch=-1), ValueError, "batch must be .*received -1"),
        (lambda: elbo(LINEAR, ONES[0], generator()), ValueError, r"\(N, 1, 2, 2\), got \(1, 2, 2\)"),
        (
            lambda: iwae(LINEAR, torch.ones(3, 1, 4, 4), 2, generator()),
            ValueError,
            r"\(N, 1, 2, 2\), got .*4, 4",
        ),
        (lambda: active_units(torch.ones(5)), ValueError, r"means: expected shape \(N, k\).*\(5,\)"),
        (lambda: active_units(torch.ones(1, 5)), ValueError, "means: expected at least two samples.*got 1"),
        (lambda: active_units(torch.ones(5, 5).long()), TypeError, "means: expected a floating-point"),
        (lambda: mean(torch.ones(3, 2)), ValueError, r"values: expected shape \(N,\).*\(3, 2\)"),
        (lambda: mean(torch.tensor([1.0, math.nan])), ValueError, "values: expected finite numbers"),
        (lambda: mean(torch.arange(3)), TypeError, "values: expected a floating-point"),
        (lambda: mean(torch.empty(0)), ValueError, "values: expected at least one"),
        (lambda: mean([1.0, 2.0]), TypeError, "values: expected a torch tensor, got list"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
