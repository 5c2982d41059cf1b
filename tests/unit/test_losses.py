"""Losses against closed forms, penalties against critics whose slope is known, and the objective against its sum."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.gans.losses import (
    Loss,
    Objective,
    clip_weights,
    clipped_share,
    gradient_penalty,
    gradients,
    hinge,
    interpolates,
    least_squares,
    nonsaturating,
    r1,
    r2,
    relativistic,
    saturating,
    wasserstein,
)
from tests.unit.proof import generator, rejects

LOSSES = {
    "saturating": saturating,
    "nonsaturating": nonsaturating,
    "wasserstein": wasserstein,
    "hinge": hinge,
    "least_squares": least_squares,
    "relativistic": relativistic,
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
LOGITS = torch.linspace(-6, 6, 25, dtype=torch.float64)
REAL, FAKE = (grid.flatten() for grid in torch.meshgrid(LOGITS, LOGITS, indexing="ij"))  # all pairs, (625,)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def slopes(per_pair, real=REAL, fake=FAKE):
    """Derivatives of a loss with respect to both logits."""
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    return torch.autograd.grad(per_pair(real, fake).sum(), (real, fake), materialize_grads=True)


# ---- losses


def check_cross_entropy(discriminator):
    """As PyTorch has it, with reals called 1 and generated ones 0."""
    bce = nn.BCEWithLogitsLoss(reduction="none")
    expected = bce(REAL, torch.ones_like(REAL)) + bce(FAKE, torch.zeros_like(FAKE))
    assert torch.allclose(discriminator(REAL, FAKE), expected, rtol=1e-12)


def test_the_discriminators_cross_entropy_is_that_of_pytorch():
    check_cross_entropy(saturating.discriminator)
    check_cross_entropy(nonsaturating.discriminator)
    # a sigmoid before a loss that has its own
    assert rejects(check_cross_entropy, lambda r, f: saturating.discriminator(r.sigmoid(), f.sigmoid()))
    # 1 - log D(G(z)) instead of log(1 - D(G(z)))
    assert rejects(check_cross_entropy, lambda r, f: -F.logsigmoid(r) - (1 - F.logsigmoid(f)))
    assert rejects(check_cross_entropy, lambda r, f: saturating.discriminator(f, r))


@every_loss
def test_losses_are_the_published_formulas(loss):
    sigmoid, log = torch.sigmoid, torch.log
    cross_entropy = -log(sigmoid(REAL)) - log(1 - sigmoid(FAKE))
    expected = {
        saturating: (cross_entropy, log(1 - sigmoid(FAKE))),
        nonsaturating: (cross_entropy, -log(sigmoid(FAKE))),
        wasserstein: (FAKE - REAL, -FAKE),
        hinge: (-torch.clamp(REAL - 1, max=0) - torch.clamp(-FAKE - 1, max=0), -FAKE),
        least_squares: (0.5 * (REAL - 1) ** 2 + 0.5 * FAKE**2, 0.5 * (FAKE - 1) ** 2),
        relativistic: (-log(sigmoid(REAL - FAKE)), -log(sigmoid(FAKE - REAL))),
    }[loss]
    for ours, formula in zip(loss, expected):
        assert ours(REAL, FAKE).shape == REAL.shape
        assert torch.allclose(ours(REAL, FAKE), formula, rtol=1e-9, atol=1e-12)


@every_loss
def test_the_discriminator_wants_reals_up_and_generated_ones_down_and_the_generator_the_opposite(loss):
    real, fake = slopes(loss.discriminator, torch.zeros(1), torch.zeros(1))
    assert float(real) < 0 <= float(fake)
    assert float(fake) > 0 or loss is least_squares  # 0 is where it wants the generated ones to be
    assert float(slopes(loss.generator, torch.zeros(1), torch.zeros(1))[1]) < 0


@every_loss
def test_losses_stay_finite_where_a_sigmoid_is_0_or_1(loss):
    far = torch.tensor([-500.0, 500.0, 0.0])
    real, fake = (grid.flatten() for grid in torch.meshgrid(far, far, indexing="ij"))

    def check(loss):
        for player in loss:
            assert player(real, fake).isfinite().all()
            assert all(slope.isfinite().all() for slope in slopes(player, real, fake))

    check(loss)
    assert rejects(
        check,
        Loss(lambda r, f: -r.sigmoid().log() - (1 - f.sigmoid()).log(), lambda r, f: -f.sigmoid().log()),
    )


def test_both_generators_of_goodfellow_have_the_slopes_of_the_paper():
    """With respect to the logit l: -σ(l), gone where the discriminator is sure, and -σ(-l), largest there."""
    assert torch.allclose(slopes(saturating.generator)[1], -torch.sigmoid(FAKE), rtol=1e-12)
    assert torch.allclose(slopes(nonsaturating.generator)[1], -torch.sigmoid(-FAKE), rtol=1e-12)
    ratio = slopes(nonsaturating.generator)[1] / slopes(saturating.generator)[1]
    assert torch.allclose(ratio, torch.exp(-FAKE), rtol=1e-9)  # the same direction, and equal only at 0


@every_loss
def test_only_the_relativistic_generator_needs_reals(loss):
    real, _ = slopes(loss.generator)
    assert bool((real != 0).all()) == (loss is relativistic)


def test_the_relativistic_loss_compares_each_real_with_the_generated_one_beside_it():
    def check(loss):
        # it sees differences only, so that nothing changes when all logits rise
        for player in loss:
            assert torch.allclose(player(REAL, FAKE), player(REAL + 5, FAKE + 5), rtol=1e-10)
        # the players' roles are those of the two batches
        assert torch.allclose(loss.generator(REAL, FAKE), loss.discriminator(FAKE, REAL))
        # only within a pair: the loss of pair i does not move with the logits of pair j
        real, fake = normal(5), normal(5, seed=1)
        other = fake.clone()
        other[3:] += 1
        assert torch.equal(loss.discriminator(real, fake)[:3], loss.discriminator(real, other)[:3])

    check(relativistic)
    assert rejects(check, nonsaturating)
    averaged = Loss(lambda r, f: F.softplus(f.mean() - r), lambda r, f: F.softplus(r.mean() - f))
    assert rejects(check, averaged)  # "relativistic average": with the mean of the other batch


def test_hinge_ignores_what_is_beyond_the_margin():
    real, fake = slopes(hinge.discriminator)
    assert torch.equal(real == 0, REAL >= 1)
    assert torch.equal(fake == 0, FAKE <= -1)


def check_value_of_the_game(loss):
    """V(D*, G) = 2 JSD(p ‖ q) - 2 log 2, where D* = p/(p + q) has the logit log p - log q."""
    p, q = torch.tensor([[0.5, 0.2, 0.2, 0.1], [0.1, 0.1, 0.3, 0.5]], dtype=torch.float64)
    logit = p.log() - q.log()
    m = (p + q) / 2
    jsd = ((p * (p / m).log()).sum() + (q * (q / m).log()).sum()) / 2
    # the loss of each outcome's logit, once as a real and once as a generated one, weighted by how often it is one
    value = -(p.unsqueeze(1) * q.unsqueeze(0) * loss(logit.unsqueeze(1), logit.unsqueeze(0))).sum()
    assert float(value) == pytest.approx(float(2 * jsd - 2 * math.log(2)), abs=1e-12)


def test_the_best_discriminator_makes_the_game_worth_the_jensen_shannon_divergence():
    check_value_of_the_game(saturating.discriminator)
    assert rejects(check_value_of_the_game, lambda r, f: 2 * saturating.discriminator(r, f))
    assert rejects(check_value_of_the_game, hinge.discriminator)


def test_no_other_discriminator_makes_it_worth_more():
    p, q = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], dtype=torch.float64)
    logit = (p.log() - q.log()).requires_grad_()
    weights = p.unsqueeze(1) * q.unsqueeze(0)
    (slope,) = torch.autograd.grad(
        (weights * saturating.discriminator(logit.unsqueeze(1), logit.unsqueeze(0))).sum(), logit
    )
    assert float(slope.abs().max()) < 1e-15


def test_disjoint_distributions_are_log_2_apart():
    """A discriminator that is sure has V = 0, so JSD = log 2, half of what it would be without its two halves."""
    value = -saturating.discriminator(torch.tensor([40.0]), torch.tensor([-40.0]))
    assert float(value) == pytest.approx(0, abs=1e-15)


# ---- penalties


class Linear(nn.Module):
    """D(x) = w·x: its slope is w everywhere."""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w.clone())

    def forward(self, x):
        return x.flatten(1) @ self.w.flatten()


class Quadratic(nn.Module):
    """D(x) = xᵀAx/2 with a symmetric A: its slope is Ax."""

    def __init__(self, A):
        super().__init__()
        self.A = nn.Parameter((A + A.T) / 2)

    def forward(self, x):
        x = x.flatten(1)
        return ((x @ self.A) * x).sum(1) / 2


REALS, FAKES = normal(6, 2, 3, 4), normal(6, 2, 3, 4, seed=1)
POINTS, OTHERS = normal(6, 2), normal(6, 2, seed=1)  # the points of chapter 8, no images
W = normal(2, 3, 4, seed=2)
A = normal(24, 24, seed=3)


def norm_over_the_channels(D, real, fake, generator):
    slope = gradients(D, interpolates(real, fake, generator)).view_as(real)
    return (slope.norm(dim=1) - 1).square()


def norm_over_the_batch(D, real, fake, generator):
    return (gradients(D, interpolates(real, fake, generator)).norm() - 1).square().expand(len(real))


def norm_along_the_batch(D, real, fake, generator):
    return (gradients(D, interpolates(real, fake, generator)).norm(dim=0) - 1).square()


def squared_norm(D, real, fake, generator):
    return (gradients(D, interpolates(real, fake, generator)).square().sum(1) - 1).square()


def at_the_reals(D, real, fake, generator):
    return (gradients(D, real).norm(dim=1) - 1).square()


def at_the_generated(D, real, fake, generator):
    return (gradients(D, fake).norm(dim=1) - 1).square()


def interpolates_per_pixel(real, fake, generator):
    alpha = torch.rand(real.shape, generator=generator).to(real)
    return real + alpha * (fake - real)


def per_pixel(D, real, fake, generator):
    return (gradients(D, interpolates_per_pixel(real, fake, generator)).norm(dim=1) - 1).square()


def interpolates_with_one_for_all(real, fake, generator):
    return real + torch.rand((), generator=generator).to(real) * (fake - real)


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 28, 28), (2,)])
def test_slopes_of_a_linear_critic_are_its_weights(shape):
    w, x = normal(*shape, seed=2), normal(5, *shape)
    slope = gradients(Linear(w), x)
    assert slope.shape == (5, w.numel())
    assert torch.allclose(slope, w.flatten().expand(5, -1), rtol=1e-12)


def test_the_gradient_penalty_of_a_linear_critic_is_exact():
    for scale in (0.1, 1.0, 3.0):
        D = Linear(scale * W)

        def check(penalty, D=D):
            values = penalty(D, REALS, FAKES, generator())
            assert values.shape == (6,)
            assert torch.allclose(values, (D.w.norm() - 1).square().expand(6), rtol=1e-12)

        check(gradient_penalty)
        for wrong in (norm_over_the_channels, norm_over_the_batch, norm_along_the_batch, squared_norm):
            assert rejects(check, wrong)
    unit = Linear(W / W.norm())
    assert float(gradient_penalty(unit, REALS, FAKES, generator()).detach().max()) < 1e-25


def test_the_gradient_penalty_looks_between_reals_and_generated_images():
    """D(x) = ‖x‖²/2 has the slope x. From the unit sphere to 0 its length is 1 - α, and E[(1 - α - 1)²] = 1/3."""
    real = F.normalize(normal(4000, 2, 5, 5).flatten(1)).view(4000, 2, 5, 5)
    D = Quadratic(torch.eye(50, dtype=torch.float64))

    def check(penalty):
        values = penalty(D, real, torch.zeros_like(real), generator(1)).detach()
        assert abs(float(values.mean()) - 1 / 3) < 4 * math.sqrt(4 / 45 / 4000)

    check(gradient_penalty)
    for wrong in (at_the_reals, at_the_generated, per_pixel):
        assert rejects(check, wrong)


def check_lines(between):
    """Each point is on its own line, and everywhere on it."""
    real, fake = normal(2000, 2, 3, 4), normal(2000, 2, 3, 4, seed=1)
    points = between(real, fake, generator())
    assert points.shape == real.shape
    line, step = (fake - real).flatten(1), (points - real).flatten(1)
    assert (torch.linalg.matrix_rank(torch.stack([line, step], 1), rtol=1e-9) == 1).all()
    alpha = (step * line).sum(1) / line.square().sum(1)
    assert 0 <= float(alpha.min()) < 0.01 < 0.99 < float(alpha.max()) <= 1
    assert abs(float(alpha.mean()) - 0.5) < 4 * math.sqrt(1 / 12 / 2000)


def test_interpolates_lie_on_the_lines():
    check_lines(interpolates)
    assert rejects(check_lines, interpolates_per_pixel)
    assert rejects(check_lines, interpolates_with_one_for_all)
    assert rejects(check_lines, lambda real, fake, g: real)


def test_interpolates_depend_on_the_generator_alone():
    assert torch.equal(interpolates(REALS, FAKES, generator(1)), interpolates(REALS, FAKES, generator(1)))
    assert not torch.equal(interpolates(REALS, FAKES, generator(1)), interpolates(REALS, FAKES, generator(2)))


@pytest.mark.parametrize(("penalty", "at"), [(r1, REALS), (r2, FAKES)])
def test_r1_and_r2_of_a_quadratic_critic_are_exact(penalty, at):
    """‖Ax‖²: the sum over all pixels, without a square root."""
    D = Quadratic(A)

    def check(penalty):
        values = penalty(D, REALS, FAKES, generator())
        assert values.shape == (6,)
        assert torch.allclose(values, (at.flatten(1) @ D.A).square().sum(1), rtol=1e-10)

    check(penalty)
    assert rejects(check, r2 if penalty is r1 else r1)
    assert rejects(check, lambda *given: penalty(*given).sqrt())
    assert rejects(check, lambda D, real, fake, g: gradients(D, at).square().mean(1))
    assert rejects(check, lambda D, real, fake, g: gradients(D, at).square().sum(0))


class Smooth(nn.Module):
    """A critic without a kink, so that finite differences are right everywhere."""

    def __init__(self, W, v):
        super().__init__()
        self.W, self.v = W, v

    def forward(self, x):
        return torch.tanh(x.flatten(1) @ self.W) @ self.v


@pytest.mark.parametrize("penalty", [gradient_penalty, r1, r2])
@pytest.mark.parametrize(("real", "fake"), [(REALS, FAKES), (POINTS, OTHERS)], ids=["images", "points"])
def test_penalties_can_be_learnt_from(penalty, real, fake):
    """Their derivative with respect to the weights, through that with respect to the pixels."""
    W, v = normal(real[0].numel(), 3, seed=5).requires_grad_(), normal(3, seed=6).requires_grad_()
    assert torch.autograd.gradcheck(lambda W, v: penalty(Smooth(W, v), real, fake, generator()), (W, v))

    def detached(W, v):
        slope = gradients(Smooth(W, v), real).detach()  # as without create_graph
        return slope.square().sum(1) + 0 * v.sum()

    assert not torch.autograd.gradcheck(detached, (W, v), raise_exception=False)


@pytest.mark.parametrize("penalty", [gradient_penalty, r1, r2])
def test_penalties_do_not_reach_the_generator(penalty):
    fake, real = FAKES.clone().requires_grad_(), REALS.clone().requires_grad_()
    D = Quadratic(A)
    penalty(D, real, fake, generator()).sum().backward()
    assert real.grad is None
    assert fake.grad is None
    assert float(D.A.grad.abs().sum()) > 0


@pytest.mark.parametrize("penalty", [gradient_penalty, r1, r2])
def test_a_critic_without_slope_gives_no_nan(penalty):
    D = Linear(torch.zeros_like(W))
    values = penalty(D, REALS, FAKES, generator())
    assert torch.equal(values, torch.full((6,), 1.0 if penalty is gradient_penalty else 0.0).double())
    values.sum().backward()
    assert D.w.grad.isfinite().all()


def test_penalties_are_measured_without_gradients_too():
    D = Linear(W)
    with torch.no_grad():
        verdict = Objective(D, wasserstein, [(gradient_penalty, 10.0)])(REALS, FAKES, generator())
    assert float(verdict.penalty) == pytest.approx(10 * float((W.norm() - 1) ** 2), rel=1e-10)


def two_layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))


@pytest.mark.parametrize("penalty", [gradient_penalty, r1, r2])
def test_penalties_are_in_single_precision_under_autocast(penalty):
    D, real, fake = two_layers(), REALS.float(), FAKES.float()
    exact = penalty(D, real, fake, generator())

    def check(penalty):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert D(real).dtype == torch.bfloat16  # autocast does its work
            values = penalty(D, real, fake, generator())
        assert values.dtype == torch.float32
        assert torch.allclose(values, exact, rtol=1e-5)

    def in_half_precision(D, real, fake, g):
        at = {gradient_penalty: lambda: interpolates(real, fake, g), r1: lambda: real, r2: lambda: fake}
        x = at[penalty]().detach().requires_grad_()
        (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        length = slope.flatten(1).norm(dim=1)
        return (length - 1).square() if penalty is gradient_penalty else length.square()

    assert torch.allclose(in_half_precision(D, real, fake, generator()), exact, rtol=1e-5)
    check(penalty)
    assert rejects(check, in_half_precision)


@pytest.mark.parametrize(
    ("dtype", "computed"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_slopes_have_the_precision_of_the_images_but_single_at_least(dtype, computed):
    assert gradients(Linear(W.to(computed)), REALS.to(dtype)).dtype == computed


# ---- the objective


def check_objective(make):
    """Its one forward is the sum written by hand, and so are the gradients."""
    torch.manual_seed(1)
    D = nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.Softplus(), nn.Linear(8, 1), nn.Flatten(0)).double()
    terms = [(gradient_penalty, 10.0), (r1, 0.5), (r2, 2.0)]
    verdict = make(D, nonsaturating, terms)(REALS, FAKES, generator(3))
    noise = generator(3)
    bce = F.binary_cross_entropy_with_logits
    loss = bce(D(REALS), torch.ones(6).double()) + bce(D(FAKES), torch.zeros(6).double())
    between = interpolates(REALS, FAKES, noise)
    penalty = 10 * (gradients(D, between).norm(dim=1) - 1).square().mean()
    penalty = penalty + 0.5 * gradients(D, REALS).square().sum(1).mean()
    penalty = penalty + 2 * gradients(D, FAKES).square().sum(1).mean()
    for ours, expected in (
        (verdict.loss, loss),
        (verdict.penalty, penalty),
        (verdict.total, loss + penalty),
        (verdict.real, D(REALS)),
        (verdict.fake, D(FAKES)),
        (verdict.gap, D(REALS).mean() - D(FAKES).mean()),
    ):
        assert ours.shape == expected.shape
        assert torch.allclose(ours, expected, rtol=1e-10)
    weights = list(D.parameters())
    for ours, expected in zip(
        torch.autograd.grad(verdict.total, weights), torch.autograd.grad(loss + penalty, weights)
    ):
        assert torch.allclose(ours, expected, rtol=1e-8, atol=1e-12)


def test_the_objective_is_the_sum_written_by_hand():
    check_objective(Objective)
    assert rejects(check_objective, lambda D, loss, terms: Objective(D, loss, terms[:2]))
    assert rejects(check_objective, lambda D, loss, terms: Objective(D, loss, [(p, 1.0) for p, _ in terms]))
    assert rejects(check_objective, lambda D, loss, terms: Objective(D, saturating, [*terms, terms[1]]))


@every_loss
@pytest.mark.parametrize("penalty", [gradient_penalty, r1, r2])
def test_any_networks_on_any_points_will_do(loss, penalty):
    """Those of chapter 8 map points of the plane to points of the plane, and these to logits."""
    torch.manual_seed(0)
    G = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    D = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Flatten(0))
    real, z = POINTS.float(), normal(6, 3, dtype=torch.float32)
    verdict = Objective(D, loss, [(penalty, 1.0)])(real, G(z), generator())
    assert verdict.real.shape == verdict.fake.shape == (6,)
    assert verdict.total.shape == ()
    verdict.total.backward()
    assert all(weight.grad is not None for weight in D.parameters())
    assert all(weight.grad is None for weight in G.parameters())
    loss.generator(D(real), D(G(z))).mean().backward()
    assert all(float(weight.grad.abs().sum()) > 0 for weight in G.parameters())


def test_the_discriminators_step_does_not_reach_the_generator():
    torch.manual_seed(0)
    G, D = nn.Linear(3, 24).double(), Quadratic(A)

    class Leaking(Objective):
        def forward(self, real, fake, generator):
            verdict = super().forward(real, fake, generator)
            return verdict._replace(total=verdict.total + self.D(fake).mean())

    def check(kind):
        G.zero_grad(set_to_none=True)
        fake = G(normal(6, 3)).view(6, 2, 3, 4)
        kind(D, wasserstein, [(gradient_penalty, 10.0), (r2, 1.0)])(REALS, fake, generator()).total.backward()
        assert all(weight.grad is None for weight in G.parameters())

    check(Objective)
    assert rejects(check, Leaking)


def test_reals_and_generated_images_are_normalised_in_separate_batches():
    torch.manual_seed(0)
    D = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(8, 1), nn.Flatten(0)
    ).double()
    real, fake = REALS + 1, FAKES - 1

    class Together(Objective):
        def forward(self, real, fake, generator):
            logits = self.D(torch.cat([real, fake])).chunk(2)
            loss = self.loss.discriminator(*logits).mean()
            return super().forward(real, fake, generator)._replace(loss=loss, real=logits[0], fake=logits[1])

    def check(kind):
        alone = copy.deepcopy(D)
        verdict = kind(copy.deepcopy(D), nonsaturating)(real, fake, generator())
        assert torch.allclose(verdict.real, alone(real), rtol=1e-10)
        assert torch.allclose(verdict.fake, alone(fake), rtol=1e-10)

    check(Objective)
    assert rejects(check, Together)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(24), nn.BatchNorm2d(24), nn.SyncBatchNorm(24)])
def test_a_penalty_beside_batch_normalisation_is_refused(layer):
    D = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(24, 24), layer), nn.Linear(24, 1), nn.Flatten(0))
    for penalty in (gradient_penalty, r1, r2):
        with pytest.raises(
            ValueError, match=r"D: expected no batch normalisation .* found it in 1\.1; .*normalise=False"
        ):
            Objective(D, wasserstein, [(penalty, 10.0)])
    Objective(D, nonsaturating)  # without a penalty there is nothing against it
    for fine in (nn.LayerNorm(24), nn.Identity()):
        Objective(
            nn.Sequential(nn.Flatten(), fine, nn.Linear(24, 1)), wasserstein, [(gradient_penalty, 10.0)]
        )


def test_why_it_is_refused():
    """With it, an image's logit has a slope at other images: the sum's slope is not that of each logit."""
    torch.manual_seed(0)
    x = normal(6, 4)

    def check(D):
        ours = gradients(D, x)
        for i in range(6):
            probe = x.clone().requires_grad_()
            (alone,) = torch.autograd.grad(D(probe)[i], probe)
            assert torch.allclose(ours[i], alone[i], rtol=1e-8)

    layers = nn.Linear(4, 5).double(), nn.Tanh(), nn.Linear(5, 1).double(), nn.Flatten(0)
    check(nn.Sequential(*layers))
    assert rejects(check, nn.Sequential(layers[0], nn.BatchNorm1d(5).double(), *layers[1:]))


class ByClass(nn.Module):
    """D(x, y) = w_y·x."""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w.clone())

    def forward(self, x, y):
        return (self.w[y] * x.flatten(1)).sum(1)


def test_labels_reach_the_discriminator_and_the_penalty():
    w, y = normal(3, 24, seed=8), torch.tensor([0, 1, 2, 2, 1, 0])
    verdict = Objective(ByClass(w), wasserstein, [(gradient_penalty, 10.0)])(REALS, FAKES, generator(), y)
    assert torch.allclose(verdict.real, (w[y] * REALS.flatten(1)).sum(1))
    assert torch.allclose(verdict.fake, (w[y] * FAKES.flatten(1)).sum(1))
    assert torch.allclose(verdict.penalty, 10 * (w[y].norm(dim=1) - 1).square().mean())


# ---- clipping


def test_clipping_leaves_every_weight_in_its_interval():
    D = two_layers()
    before = [weight.detach().clone() for weight in D.parameters()]
    clip_weights(D, 0.1)
    for weight, was in zip(D.parameters(), before):
        assert torch.equal(weight.detach(), was.clamp(-0.1, 0.1))
        assert weight.requires_grad
    outside = sum(int((was.abs() >= 0.1).sum()) for was in before) / sum(was.numel() for was in before)
    assert 0.3 < outside < 0.7
    assert clipped_share(D, 0.1) == pytest.approx(outside, abs=1e-12)


@pytest.mark.parametrize("c", [0.01, 0.1, 0.3])
def test_the_share_survives_half_precision(c):
    """In which checkpoints are kept; 0.1 is 0.09998 there."""
    D = two_layers()
    with torch.no_grad():
        for weight in D.parameters():
            weight.mul_(2 * c)
    clip_weights(D, c)
    with torch.no_grad():
        D[1].weight[:8] = c
    share = clipped_share(D, c)
    assert share > 0.4
    assert clipped_share(D.half().float(), c) == pytest.approx(share, abs=0.01)


# ---- what a critic learns


def test_a_linear_critic_with_the_penalty_learns_the_distance_between_two_clouds():
    """Of all slopes w it prefers the one of length 1 + d/(2λ) along the line from one mean to the other.

    So the gap is d (1 + d/(2λ)), a little more than the Wasserstein distance d: the penalty is a soft one.
    """
    real, fake = REALS + 0.5, FAKES
    shift = (real.mean(0) - fake.mean(0)).flatten()
    distance, direction = float(shift.norm()), shift / shift.norm()
    D = Linear(0.1 * W)
    objective, noise = Objective(D, wasserstein, [(gradient_penalty, 10.0)]), generator()
    optimizer = torch.optim.SGD(D.parameters(), 0.04)
    for _ in range(400):
        verdict = objective(real, fake, noise)
        optimizer.zero_grad()
        verdict.total.backward()
        optimizer.step()
    length = 1 + distance / 20
    assert torch.allclose(D.w.detach().flatten(), length * direction, atol=1e-6)
    assert float(verdict.gap.detach()) == pytest.approx(length * distance, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: Objective(Linear(W), wasserstein)(REALS, FAKES[:4], generator()),
            ValueError,
            r"fake: expected as many images as real, of shape \(6, 2, 3, 4\), got \(4, 2, 3, 4\)",
        ),
        (
            lambda: Objective(Linear(W), wasserstein)(REALS, FAKES[:1], generator()),
            ValueError,
            "as many images",
        ),
        (lambda: interpolates(REALS, FAKES[:1], generator()), ValueError, "fake: expected as many images"),
        (
            lambda: gradient_penalty(Linear(W), REALS[:1], FAKES, generator()),
            ValueError,
            r"got \(6, 2, 3, 4\)",
        ),
        (lambda: Objective(Linear(W), wasserstein, [(r1, -1.0)]), ValueError, "weight must be .*>= 0.*-1"),
        (lambda: Objective(Linear(W), wasserstein, [(r1, "10")]), TypeError, "weight must be .*'10'"),
        (lambda: Objective(Linear(W), wasserstein, [(r1, math.nan)]), ValueError, "weight must be .*nan"),
        (lambda: clip_weights(Linear(W), 0.0), ValueError, "c must be .*> 0; received 0"),
        (lambda: clip_weights(Linear(W), -0.01), ValueError, "c must be .*-0.01"),
        (lambda: clipped_share(Linear(W), 0), ValueError, "c must be .*> 0"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_losses_and_objectives_go_to_other_processes():
    import pickle

    from course_lib.gans import losses

    for name, loss in losses.LOSSES.items():
        assert loss.name == name
        assert pickle.loads(pickle.dumps(loss)) is loss
    objective = Objective(nn.Flatten(0), losses.wasserstein, [(losses.r1, 0.5)])
    again = pickle.loads(pickle.dumps(objective))
    assert again.loss is losses.wasserstein
    assert again.penalties == objective.penalties
    own = losses.Loss(losses._cross_entropy, losses._cross_entropy)
    assert own.name == "course_lib.gans.losses._cross_entropy and course_lib.gans.losses._cross_entropy"
    assert pickle.loads(pickle.dumps(own)) == own
