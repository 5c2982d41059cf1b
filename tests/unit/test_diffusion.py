"""Paths, samplers and networks of chapter 17 against what is known exactly: one Gaussian, and mixtures of them."""

import itertools
import math

import numpy as np
import pytest
import torch

from course_lib.diffusion import (
    PATHS,
    CodeDiffusion,
    Diffusion,
    DiffusionConfig,
    Mixture,
    PointNetConfig,
    UNetConfig,
    ancestral,
    euler,
    guided,
    heun,
    times,
)
from course_lib.diffusion.samplers import velocity
from tests.unit.proof import generator

TIMES = torch.linspace(0.03, 0.98, 25, dtype=torch.float64)
every_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
MIXTURE = Mixture(
    torch.tensor([[-1.5, 0.5], [1.0, 1.0], [0.5, -1.5]], dtype=torch.float64),
    torch.tensor([0.3, 0.2, 0.4], dtype=torch.float64),
    torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64),
)


# --- paths ---------------------------------------------------------------------------------------------------------


@every_path
def test_paths_lead_from_noise_to_data(path):
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert path.alpha(ends) == pytest.approx([0, 1], abs=0.01)
    assert path.sigma(ends) == pytest.approx([1, 0], abs=0.01)
    assert (path.alpha(TIMES).diff() > 0).all()
    assert (path.sigma(TIMES).diff() < 0).all()


@every_path
def test_derivatives_against_differences(path):
    h = 1e-6
    for f, slope in ((path.alpha, path.d_alpha), (path.sigma, path.d_sigma)):
        torch.testing.assert_close(
            slope(TIMES), (f(TIMES + h) - f(TIMES - h)) / (2 * h), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("name", ["cosine", "linear betas"])
def test_these_paths_keep_the_variance(name):
    path = PATHS[name]
    torch.testing.assert_close(path.alpha(TIMES) ** 2 + path.sigma(TIMES) ** 2, torch.ones_like(TIMES))


def test_linear_betas_are_those_of_ho_et_al():
    """ᾱ of a thousand steps with β from 1e-4 to 0.02, at step k the time 1 - k / 1000."""
    products = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    for k in (50, 200, 500, 900):
        t = torch.tensor([1 - k / 1000], dtype=torch.float64)
        assert float(PATHS["linear betas"].alpha(t)) == pytest.approx(math.sqrt(products[k - 1]), rel=0.03)


@every_path
@pytest.mark.parametrize("predicts", ["data", "noise", "velocity"])
def test_data_and_noise_follow_from_what_is_predicted(path, predicts):
    x, noise = (torch.randn(25, 3, generator=generator(k), dtype=torch.float64) for k in (0, 1))
    x_t = path.noisy(x, noise, TIMES)
    found = path.parts(predicts, path.target(predicts, x, noise, TIMES), x_t, TIMES)
    torch.testing.assert_close(found, (x, noise))


# --- a mixture, whose score is known -------------------------------------------------------------------------------


@every_path
def test_the_score_is_the_slope_of_the_log_density(path):
    x = torch.randn(25, 2, generator=generator(0), dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(MIXTURE.log_density(x, TIMES, path).sum(), x)
    torch.testing.assert_close(MIXTURE.score(x.detach(), TIMES, path), slope)


def test_the_density_is_that_of_noisy_samples():
    """Against a histogram along one axis, at one time."""
    path, n = PATHS["straight"], 200_000
    t = torch.full((n,), 0.6, dtype=torch.float64)
    x = MIXTURE.sample(n, generator(0))
    x_t = path.noisy(x, torch.randn(n, 2, generator=generator(1), dtype=torch.float64), t)
    side = torch.linspace(-3, 3, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    p = MIXTURE.log_density(grid, t[: len(grid)], path).exp()
    assert float(p.sum()) * 0.05**2 == pytest.approx(1, abs=0.01)
    assert float((p * grid[:, 0]).sum()) * 0.05**2 == pytest.approx(float(x_t[:, 0].mean()), abs=0.01)


@every_path
def test_tweedies_formula_gives_the_expected_data(path):
    """E[x | x_t] of one Gaussian is linear in x_t, by the rule for jointly normal numbers."""
    one = Mixture(*(torch.tensor(v, dtype=torch.float64) for v in ([[0.7]], [0.5], [1.0])))
    x_t = torch.linspace(-2, 2, 25, dtype=torch.float64)[:, None]
    a, s = path.alpha(TIMES)[:, None], path.sigma(TIMES)[:, None]
    expected = 0.7 + a * 0.25 / (a**2 * 0.25 + s**2) * (x_t - a * 0.7)
    torch.testing.assert_close(one.parts(x_t, TIMES, path)[0], expected)


# --- samplers ------------------------------------------------------------------------------------------------------


def field_of(mixture, path):
    return lambda x, t: mixture.parts(x, t, path)


def test_times():
    assert times(4) == [0, 0.25, 0.5, 0.75, 1]
    closer = times(4, 2.0)
    assert closer[0] == 0
    assert closer[-1] == 1
    assert np.all(np.diff(closer, 2) < 0)


@every_path
@pytest.mark.parametrize("sampler", ["euler", "heun", "ddim", "ddpm"])
def test_every_sampler_carries_noise_to_the_mixture(path, sampler):
    n = 4_000
    x = torch.randn(n, 2, generator=generator(0), dtype=torch.float64)
    field, grid = field_of(MIXTURE, path), times(200, 1.5)
    if sampler in ("ddim", "ddpm"):
        x = ancestral(field, path, x, grid, generator(1), eta=float(sampler == "ddpm"))
    else:
        x = {"euler": euler, "heun": heun}[sampler](field, path, x, grid)
    nearest = torch.cdist(x, MIXTURE.means).argmin(1)
    shares = torch.bincount(nearest, minlength=3) / n
    assert shares.tolist() == pytest.approx(MIXTURE.weights.tolist(), abs=0.03)
    for k in range(3):
        own = x[nearest == k]
        assert own.mean(0).tolist() == pytest.approx(MIXTURE.means[k].tolist(), abs=0.05)
        assert float(own.std(0).mean()) == pytest.approx(float(MIXTURE.deviations[k]), rel=0.08)


@pytest.mark.parametrize("name", ["cosine", "linear betas"])
def test_ddim_and_the_differential_equation_agree(name):
    """DDIM's steps are a method for the same equation: the same noise arrives at the same point."""
    path = PATHS[name]
    x = torch.randn(200, 2, generator=generator(0), dtype=torch.float64)
    field = field_of(MIXTURE, path)
    exact = heun(field, path, x, times(400, 1.5))
    gaps = [
        float((ancestral(field, path, x, times(steps, 1.5), eta=0.0) - exact).norm(dim=1).median())
        for steps in (25, 50, 100, 200)
    ]
    assert gaps[-1] < 0.02
    for coarse, fine in itertools.pairwise(gaps):
        assert 1.5 < coarse / fine < 2.6  # of first order: half the step, half the gap


@pytest.mark.parametrize(("method", "order"), [(euler, 1), (heun, 2)])
def test_orders_of_the_steppers(method, order):
    """One Gaussian on the straight path, where the solution is known: x_1 = μ + s x_0."""
    path = PATHS["straight"]
    one = Mixture(*(torch.tensor(v, dtype=torch.float64) for v in ([[0.7]], [0.5], [1.0])))
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    grid = 0.9  # before the end, where nothing is clamped
    a, s = grid, 1 - grid
    deviation = math.sqrt(a**2 * 0.25 + s**2)
    expected = a * 0.7 + deviation * x
    errors = []
    for steps in (20, 40):
        found = method(field_of(one, path), path, x, [grid * t for t in times(steps)])
        errors.append(float((found - expected).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.15)


def test_a_ddpm_step_is_that_of_ho_et_al():
    """Their Eq. (7) and (11): mean and variance of x_{k-1} given x_k and the predicted noise."""
    path = PATHS["cosine"]
    t, s = 0.4, 0.5
    now, then = (float(path.alpha(torch.tensor(v, dtype=torch.float64))) ** 2 for v in (t, s))  # ᾱ_k, ᾱ_{k-1}
    alpha = now / then
    beta = 1 - alpha
    x = torch.randn(5, 3, generator=generator(0), dtype=torch.float64)
    noise = torch.randn(5, 3, generator=generator(1), dtype=torch.float64)
    data = (x - math.sqrt(1 - now) * noise) / math.sqrt(now)
    found = ancestral(lambda *_: (data, noise), path, x, [t, s], generator(2))
    fresh = torch.randn(5, 3, generator=generator(2)).double()
    mean = (x - beta / math.sqrt(1 - now) * noise) / math.sqrt(alpha)
    deviation = math.sqrt((1 - then) / (1 - now) * beta)
    torch.testing.assert_close(found, mean + deviation * fresh)


def test_guidance_exaggerates_the_difference():
    a, b = (torch.ones(2, 1), 2 * torch.ones(2, 1)), (torch.zeros(2, 1), 5 * torch.ones(2, 1))
    t = torch.zeros(2)
    for scale, expected in ((0.0, b), (1.0, a), (3.0, (3 * a[0], -4 * torch.ones(2, 1)))):
        torch.testing.assert_close(guided(lambda *_: a, lambda *_: b, scale)(a[0], t), expected)


def test_grids_that_go_nowhere_are_refused():
    path = PATHS["straight"]
    for grid in ([0.0], [0.0, 0.0], [0.5, 0.2], [-0.1, 1.0], [0.0, 1.1]):
        with pytest.raises(ValueError, match="grid: expected two or more rising times from 0 to 1"):
            euler(field_of(MIXTURE, path), path, MIXTURE.means, grid)


def test_along_the_true_path_velocities_are_the_slopes():
    """The mean over many pairs (x, ε) at one point x_t; here of one Gaussian, by finite differences of the flow."""
    path, h = PATHS["straight"], 1e-5
    one = Mixture(*(torch.tensor(v, dtype=torch.float64) for v in ([[0.7]], [0.5], [1.0])))

    def flow(t):
        return 0.7 * t + math.sqrt(0.25 * t**2 + (1 - t) ** 2) * x_0

    x_0 = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    for t in (0.1, 0.5, 0.9):
        slope = (flow(t + h) - flow(t - h)) / (2 * h)
        torch.testing.assert_close(
            velocity(field_of(one, path), path, flow(t), t), slope, rtol=1e-6, atol=1e-6
        )


# --- networks ------------------------------------------------------------------------------------------------------


def test_the_best_network_has_the_least_loss():
    """The loss at the truth is below that of the truth with an error, by the error's mean square."""
    path, n = PATHS["straight"], 100_000
    model = Diffusion(DiffusionConfig(network=PointNetConfig())).double()
    x = MIXTURE.sample(n, generator(0))

    def true(x_t, t, y):
        data, noise = MIXTURE.parts(x_t, t, path)
        return path.d_alpha(t)[:, None] * data + path.d_sigma(t)[:, None] * noise

    model.network.forward = true
    least = model.losses(x, generator(1)).mean()
    model.network.forward = lambda x_t, t, y: true(x_t, t, y) + 0.3
    more = model.losses(x, generator(1)).mean()
    assert float(more - least) == pytest.approx(0.09, abs=0.01)


@pytest.mark.parametrize("predicts", ["data", "noise", "velocity"])
def test_a_small_network_learns_the_mixture(predicts):
    torch.manual_seed(0)
    model = Diffusion(DiffusionConfig(network=PointNetConfig(width=64), predicts=predicts, path="cosine"))
    adam, g = torch.optim.Adam(model.parameters(), 3e-3), generator(0)
    x = MIXTURE.sample(20_000, generator(1)).float()
    for _ in range(600):
        adam.zero_grad()
        rows = torch.randint(len(x), (256,), generator=g)
        model.losses(x[rows], g).mean().backward()
        adam.step()
    made = model.sample(2_000, generator(2), steps=30)
    nearest = torch.cdist(made, MIXTURE.means.float()).argmin(1)
    shares = torch.bincount(nearest, minlength=3) / len(made)
    assert shares.tolist() == pytest.approx(MIXTURE.weights.tolist(), abs=0.1)
    t = torch.full((500,), 0.5)
    x_t = model.path.noisy(x[:500], torch.randn(500, 2, generator=g), t)
    with torch.no_grad():
        off = (
            (model.score(x_t, t) - MIXTURE.score(x_t.double(), t.double(), model.path).float())
            .square()
            .mean()
        )
    assert float(off / MIXTURE.score(x_t.double(), t.double(), model.path).square().mean()) < 0.1


@pytest.mark.parametrize("patch", [1, 2])
def test_pictures_of_all_labels(patch):
    torch.manual_seed(0)
    cfg = UNetConfig(resolution=8, widths=(8, 16), blocks=1, patch=patch, classes=3)
    model = Diffusion(DiffusionConfig(network=cfg))
    y = torch.tensor([0, 1, 2, 0, 1])
    x = torch.rand(5, 1, 8, 8, generator=generator(0)) * 2 - 1
    loss = model.losses(x, generator(1), y)
    assert loss.shape == (5,)
    loss.sum().backward()
    for weight in model.parameters():  # as if trained: some are zero before the first step
        torch.nn.init.normal_(weight, 0, 0.1)
    for sampler in ("euler", "heun", "ddim", "ddpm"):
        made = model.sample(5, generator(2), y, steps=3, sampler=sampler, guidance=2.0)
        assert made.shape == x.shape
        assert made.abs().max() <= 1
    one, other = (model.sample(5, generator(2), label, steps=3) for label in (y, (y + 1) % 3))
    assert not torch.allclose(one, other)
    assert torch.equal(model.sample(5, generator(2), y, steps=3), one)
    assert not torch.allclose(model.sample(5, generator(2), steps=3), one)


def test_labels_are_left_out_as_often_as_wanted():
    cfg = DiffusionConfig(network=PointNetConfig(width=8, depth=1, classes=3), drop=0.25)
    model, seen = Diffusion(cfg), []
    model.network.forward = lambda x_t, t, y: (seen.append(y), x_t)[1]
    model.losses(torch.zeros(4_000, 2), generator(0), torch.ones(4_000, dtype=torch.int64))
    assert float((seen[0] == 3).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert set(seen[0].tolist()) == {1, 3}


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="path must be one of"):
        DiffusionConfig(path="crooked")
    with pytest.raises(ValueError, match=r"drop: expected a share from 0 to below 1, got 1"):
        DiffusionConfig(drop=1)
    with pytest.raises(ValueError, match="resolution: expected a multiple of 4, got 30"):
        UNetConfig(resolution=30)
    model = Diffusion(DiffusionConfig(network=PointNetConfig(width=8, depth=1)))
    with pytest.raises(ValueError, match="sampler must be one of"):
        model.sample(2, generator(0), sampler="magic")
    with pytest.raises(ValueError, match="weights: expected shares that add up to 1"):
        Mixture(torch.zeros(2, 2), torch.ones(2), torch.ones(2))


# --- codes ---------------------------------------------------------------------------------------------------------


def codes(n, k=5):
    """Codes of one Gaussian whose coordinates differ in size and depend on each other."""
    turn = torch.randn(k, k, generator=generator(7), dtype=torch.float64) + torch.diag(
        torch.arange(1.0, k + 1).double()
    )
    return 3 + torch.randn(n, k, generator=generator(8), dtype=torch.float64) @ turn


def code_diffusion(k=5):
    return CodeDiffusion(DiffusionConfig(network=PointNetConfig(dimensions=k, width=8, depth=1))).double()


def test_codes_become_normal_and_come_back():
    model, z = code_diffusion(), codes(4_000)
    model.measure(z)
    x = model.normal(z)
    torch.testing.assert_close(x.mean(0), torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(torch.cov(x.T), torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(model.code(x), z)


def test_sampled_codes_have_the_measured_moments():
    """With the exact field of a standard normal in the network's place."""
    model, z = code_diffusion().float(), codes(4_000).float()
    model.measure(z)
    unit = Mixture(torch.zeros(1, 5), torch.ones(1), torch.ones(1))

    def velocities(x, t, y):
        data, noise = unit.parts(x, t, model.path)
        return data - noise

    model.network.forward = velocities
    made = model.sample(4_000, generator(9), steps=30)
    assert made.shape == (4_000, 5)
    torch.testing.assert_close(made.mean(0), z.mean(0), rtol=0, atol=0.3)
    torch.testing.assert_close(torch.cov(made.T), torch.cov(z.T), rtol=0.1, atol=1.0)


def test_mean_and_root_are_kept_with_the_weights():
    model, other = code_diffusion(), code_diffusion()
    model.measure(codes(100))
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.normal(codes(10)), model.normal(codes(10)))


def test_codes_that_cannot_be_measured_are_refused():
    with pytest.raises(ValueError, match=r"codes.*\(N, 5\)"):
        code_diffusion().measure(torch.zeros(10, 4))
    flat = codes(100)
    flat[:, 2] = 1.0
    for bad in (flat, codes(5)):
        with pytest.raises(ValueError, match="expected codes that vary in all 5 directions"):
            code_diffusion().measure(bad)
    with pytest.raises(ValueError, match="network: expected a PointNetConfig"):
        CodeDiffusion(DiffusionConfig(network=UNetConfig(resolution=8, widths=(8,))))
