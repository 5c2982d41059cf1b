"""The two-level hierarchy against log p(x) by quadrature over both of its levels."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from course_lib.vae import TwoLevelConfig, TwoLevelVAE, elbo, iwae, normal_kl
from tests.unit.proof import generator, rejects

SMALL = TwoLevelConfig(resolution=2, hidden=6, top_hidden=5, latent=1, top_latent=1, normalise=False)
EVERY = torch.tensor([[(i >> b) & 1 for b in range(4)] for i in range(16)], dtype=torch.float64).view(
    16, 1, 2, 2
)


def standard_error(draws):
    return draws.std(0) / math.sqrt(len(draws))


@torch.no_grad()
def loud(model, seed):
    """Random weights everywhere, large enough to be seen: at the start of a training p(z₁|z₂) is N(0, I)."""
    torch.manual_seed(seed)
    for part, scale in ((model.decoder, 0.7), (model.prior, 0.6), (model.posterior, 0.3), (model.top, 0.4)):
        for parameter in part.parameters():
            parameter.normal_(0, scale)
    return model


@pytest.fixture(scope="module")
def model():
    """One latent number per level; both levels matter."""
    torch.manual_seed(5)  # of the layers that `loud` leaves as they are
    model = loud(TwoLevelVAE(SMALL), 5).double().requires_grad_(False)
    for part in (model.top[-1], model.posterior):
        part.bias[1] += 0.5  # q wider than it would be, so that few draws say much about log p
    return model


STEP = 1 / 12
AXIS = STEP * torch.arange(-90, 91, dtype=torch.float64)  # to 7.5 standard deviations


@pytest.fixture(scope="module")
def joint(model):
    """log p(x, z₁, z₂) of all 16 images on a grid that moves with p(z₁|z₂), and the grid's cells."""
    z2 = AXIS.repeat_interleave(len(AXIS)).unsqueeze(1)  # (G², 1)
    mean, log_var = model.prior(z2).chunk(2, 1)
    deviation = (0.5 * log_var).exp()
    # 3 times as wide as the prior, for the posterior is shifted
    z1 = mean + 3 * deviation * AXIS.repeat(len(AXIS)).unsqueeze(1)
    pixels = Bernoulli(logits=model.decoder(torch.cat([z1, z2], 1)).flatten(1))
    log_x = torch.stack([pixels.log_prob(x.flatten()).sum(1) for x in EVERY])  # (16, G²)
    log_z = (Normal(mean, deviation).log_prob(z1) + Normal(0.0, 1.0).log_prob(z2)).squeeze(1)
    cells = (STEP * STEP * 3 * deviation).squeeze(1)
    return {"z1": z1, "z2": z2, "log_x": log_x, "log_z": log_z, "cells": cells, "pixels": pixels.probs}


@pytest.fixture(scope="module")
def log_p(joint):
    return ((joint["log_x"] + joint["log_z"]).exp() * joint["cells"]).sum(1).log()  # (16,)


def test_the_quadrature_is_a_distribution_over_images(joint, log_p):
    assert float((joint["log_z"].exp() * joint["cells"]).sum()) == pytest.approx(1, abs=1e-6)
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-6)
    assert float(log_p.max() - log_p.min()) > 0.5  # and not the uniform one


def test_the_bound_is_its_definition_under_quadrature(model, joint, log_p):
    """E_q[log p(x, z₁, z₂) - log q(z₁, z₂|x)], with q written down again by torch.distributions."""
    z1, z2 = joint["z1"], joint["z2"]
    for i in (0, 6, 9, 15):
        h = model.bottom(EVERY[i : i + 1])
        mean2, log_var2 = model.top(h).chunk(2, 1)
        mean1, log_var1 = model.posterior(torch.cat([h.expand(len(z2), -1), z2], 1)).chunk(2, 1)
        q1 = Normal(mean1, (0.5 * log_var1).exp())
        log_q = (q1.log_prob(z1) + Normal(mean2, (0.5 * log_var2).exp()).log_prob(z2)).squeeze(1)
        weights = log_q.exp() * joint["cells"]
        assert float(weights.sum()) == pytest.approx(1, abs=5e-4)
        exact = float((weights * (joint["log_x"][i] + joint["log_z"] - log_q)).sum())
        assert exact < float(log_p[i]) - 1e-3

        x = EVERY[i : i + 1].expand(80_000, 1, 2, 2)

        def check(draws, exact=exact):
            assert abs(float(draws.mean()) - exact) < 4 * float(standard_error(draws))

        check(model.log_weights(x, generator(i)))
        check(elbo(model, x, generator(50 + i), batch=5_000).elbo)
        top, bottom, reconstruction = model.levels(x, generator(90 + i))
        assert rejects(check, reconstruction - top)  # a level forgotten
        assert rejects(check, reconstruction - bottom)


def test_many_draws_reach_log_p(model, log_p):
    bound = iwae(model, EVERY, 20_000, generator(), batch=20_000)
    assert float((bound - log_p).abs().max()) < 0.04
    few = iwae(model, EVERY.repeat(2_000, 1, 1, 1), 1, generator(1), batch=40_000).view(2_000, 16)
    five = iwae(model, EVERY.repeat(2_000, 1, 1, 1), 5, generator(2), batch=40_000).view(2_000, 16)
    assert bool((few.mean(0) < log_p + 4 * standard_error(few)).all())
    assert bool((five.mean(0) < log_p + 4 * standard_error(five)).all())
    assert float(five.mean()) > float(few.mean())


def test_terms_are_the_sum_of_the_levels_at_the_same_draw(model):
    top, bottom, reconstruction = model.levels(EVERY, generator(1))
    terms = model.terms(EVERY, generator(1))
    assert torch.equal(terms.kl, top + bottom)
    assert torch.equal(terms.reconstruction, reconstruction)
    assert top.shape == bottom.shape == reconstruction.shape == (16,)
    assert bool((top >= 0).all())  # both are divergences in closed form
    assert bool((bottom >= 0).all())
    mean2, log_var2 = model.top(model.bottom(EVERY)).chunk(2, 1)
    assert torch.allclose(top, normal_kl(mean2, log_var2))


@torch.no_grad()
def test_the_lower_divergence_is_from_the_prior_that_z2_gives():
    """KL(q(z₁|x, z₂) ‖ p(z₁|z₂)) at the draw of z₂, by torch.distributions; N(0, I) is p(z₁) of a plain VAE only."""
    torch.manual_seed(2)
    model = loud(TwoLevelVAE(dataclasses.replace(SMALL, latent=3, top_latent=2)), 2).double()
    h = model.bottom(EVERY)
    mean2, log_var2 = model.top(h).chunk(2, 1)
    z2 = mean2 + (0.5 * log_var2).exp() * torch.randn(16, 2, generator=generator(4)).double()
    q, p = (
        Normal(mean, (0.5 * log_var).exp())
        for mean, log_var in (
            model.posterior(torch.cat([h, z2], 1)).chunk(2, 1),
            model.prior(z2).chunk(2, 1),
        )
    )

    def check(bottom):
        assert torch.allclose(bottom, kl_divergence(q, p).sum(1), rtol=1e-10)

    check(model.levels(EVERY, generator(4))[1])
    assert rejects(check, kl_divergence(q, Normal(0.0, 1.0)).sum(1))
    assert rejects(check, kl_divergence(p, q).sum(1))


@torch.no_grad()
def test_a_posterior_equal_to_its_prior_costs_nothing():
    torch.manual_seed(0)
    model = TwoLevelVAE(SMALL)
    top, bottom, _ = model.levels(EVERY.float(), generator())
    assert float(top.min()) > 0
    assert float(bottom.min()) > 0
    for layer in (model.top[-1], model.posterior):
        layer.weight.zero_()
        layer.bias.zero_()
    top, bottom, reconstruction = model.levels(EVERY.float(), generator())
    assert torch.equal(top, torch.zeros(16))
    assert torch.equal(bottom, torch.zeros(16))
    assert torch.allclose(model.log_weights(EVERY.float(), generator()), reconstruction)


@torch.no_grad()
def test_training_starts_as_a_plain_vae():
    """p(z₁|z₂) is N(0, I) whatever z₂ is."""
    torch.manual_seed(0)
    model = TwoLevelVAE(SMALL)
    assert float(model.prior(100 * torch.randn(9, 1, generator=generator())).abs().max()) == 0


@torch.no_grad()
def test_normalisation_looks_at_the_batch_in_training_only():
    torch.manual_seed(0)
    model = TwoLevelVAE(dataclasses.replace(SMALL, normalise=True))
    x = EVERY.float()
    assert not torch.allclose(
        model.levels(x, generator())[0][:3], model.levels(x[:3], generator())[0], atol=1e-4
    )
    model.eval()
    assert torch.allclose(model.levels(x, generator())[0][:3], model.levels(x[:3], generator())[0], atol=1e-6)


@torch.no_grad()
def test_samples_are_the_models(model, joint):
    """Mean images average to p(pixel = 1), once over both levels, once at a top that is given."""
    weights = joint["log_z"].exp() * joint["cells"]
    white = (weights.unsqueeze(1) * joint["pixels"]).sum(0)  # (4,)
    single = TwoLevelVAE(SMALL)
    single.load_state_dict(model.state_dict())  # single precision: the draws are
    images = single.sample(40_000, generator()).flatten(1).double()
    assert bool((((images + 1) / 2).mean(0) - white < 4 * standard_error(images / 2)).all())
    assert bool((((images + 1) / 2).mean(0) - white > -4 * standard_error(images / 2)).all())
    assert float(images.abs().max()) <= 1

    column = 114  # z₂ = 2
    at = slice(column * len(AXIS), (column + 1) * len(AXIS))
    share = weights[at] / weights[at].sum()
    white = (share.unsqueeze(1) * joint["pixels"][at]).sum(0)
    top = torch.full((40_000, 1), float(AXIS[column]))
    images = single.sample(40_000, generator(), top=top).flatten(1).double()
    assert bool((((images + 1) / 2).mean(0) - white).abs().le(4 * standard_error(images / 2)).all())


@torch.no_grad()
def test_samples_have_their_shape_and_depend_on_the_seed():
    torch.manual_seed(0)
    model = TwoLevelVAE(TwoLevelConfig(resolution=5, hidden=7, top_hidden=6, latent=3, top_latent=2))
    first = model.sample(4, generator(1))
    assert first.shape == (4, 1, 5, 5)
    assert torch.equal(first, model.sample(4, generator(1)))
    assert not torch.equal(first, model.sample(4, generator(2)))
    top = torch.randn(4, 2, generator=generator())
    assert not torch.equal(model.sample(4, generator(1), top=top), model.sample(4, generator(1), top=top + 1))


def test_every_part_is_trained():
    torch.manual_seed(0)
    model = TwoLevelVAE(dataclasses.replace(SMALL, hidden=30, top_hidden=30))
    torch.nn.init.normal_(model.prior[-1].weight)  # while it is zero, the layer before it has no gradient
    (-model.terms(EVERY.float(), generator()).elbo.mean()).backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in model.parameters())


def test_two_levels_overfit_one_batch():
    """Down to the entropy of which of the 8 images it is, and no lower."""
    torch.manual_seed(0)
    x = (torch.rand(8, 1, 6, 6, generator=generator()) < 0.5).float()
    model = TwoLevelVAE(
        TwoLevelConfig(resolution=6, hidden=48, top_hidden=16, latent=4, top_latent=2, normalise=False)
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses, noise = [], generator(1)
    for _ in range(150):
        loss = -model.terms(x, noise).elbo.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 24
    assert math.log(8) < np.mean(losses[-20:]) < losses[0] / 2.5


@pytest.mark.parametrize("cfg", [TwoLevelConfig(), SMALL])
def test_configs_survive_json(cfg):
    again = TwoLevelConfig(**json.loads(json.dumps(dataclasses.asdict(cfg))))
    assert again == cfg
    TwoLevelVAE(again).load_state_dict(TwoLevelVAE(cfg).state_dict())


def test_parameters_are_few_enough_to_ship():
    assert sum(p.numel() for p in TwoLevelVAE().parameters()) <= 1_250_000


TINY = TwoLevelVAE(SMALL)
WHITE = torch.ones(3, 1, 2, 2)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: TINY.terms(torch.ones(3, 1, 2, 3), generator()),
            ValueError,
            r"x: expected images of shape \(N, 1, 2, 2\), got \(3, 1, 2, 3\)",
        ),
        (
            lambda: TINY.levels(torch.ones(3, 3, 2, 2), generator()),
            ValueError,
            r"\(N, 1, 2, 2\), got \(3, 3, 2, 2\)",
        ),
        (
            lambda: TINY.log_weights(WHITE.flatten(1), generator()),
            ValueError,
            r"\(N, 1, 2, 2\), got \(3, 4\)",
        ),
        (lambda: TINY.terms(0.5 * WHITE, generator()), ValueError, "x: expected binary pixels.*100.0% grey"),
        (lambda: TINY.log_weights(-WHITE, generator()), ValueError, "x: expected binary pixels.*-1"),
        (lambda: TINY.sample(0, generator()), ValueError, "n must be .*received 0"),
        (lambda: TINY.sample(True, generator()), TypeError, "n must be a whole number.*True"),
        (
            lambda: TINY.sample(3, generator(), top=torch.ones(2, 1)),
            ValueError,
            r"top: expected shape \(3, 1\), got \(2, 1\)",
        ),
        (lambda: TwoLevelVAE(TwoLevelConfig(resolution=0)), ValueError, "resolution must be .*received 0"),
        (lambda: TwoLevelVAE(TwoLevelConfig(resolution=2.0)), TypeError, "resolution must be .*2.0"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
