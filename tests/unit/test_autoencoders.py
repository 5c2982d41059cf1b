"""Linear autoencoders against scikit-learn, SciPy and the multivariate normal density."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from sklearn.decomposition import PCA as ReferencePCA

from course_lib import data
from course_lib.autoencoders import PCA, LinearAutoencoder, ProbabilisticPCA, principal_angles
from tests.unit.proof import generator


@pytest.fixture(scope="module")
def threes():
    x, y = data.mnist("test")
    return x[y == 3]


@pytest.fixture(scope="module")
def cloud():
    """500 correlated points in 12 dimensions, off centre."""
    mixing = torch.randn(12, 12, dtype=torch.float64, generator=generator(1))
    return torch.randn(500, 12, dtype=torch.float64, generator=generator(2)) @ mixing + 3


def test_pca_equals_scikit_learn_up_to_sign(threes):
    ours = PCA.fit(threes, 50)
    theirs = ReferencePCA(50, svd_solver="full").fit(threes.flatten(1).double().numpy())
    signs = np.sign((ours.components.numpy() * theirs.components_).sum(1, keepdims=True))
    assert np.abs(ours.components.numpy() - signs * theirs.components_).max() < 1e-6
    assert np.abs(ours.variances.numpy() - theirs.explained_variance_).max() < 1e-6
    assert (
        np.abs(ours.encode(threes).numpy() * signs.T - theirs.transform(threes.flatten(1).double())).max()
        < 1e-6
    )


def test_pca_of_more_dimensions_than_samples(threes):
    few = threes[:20]
    pca = PCA.fit(few)
    assert pca.components.shape == (20, 784)
    assert float((pca.reconstruct(few) - few).abs().max()) < 1e-10


def test_error_is_the_sum_of_the_variances_left_out(cloud):
    pca = PCA.fit(cloud, 4)
    lost = float((cloud - pca.reconstruct(cloud)).square().sum() / (len(cloud) - 1))
    assert lost == pytest.approx(float(pca.spectrum[4:].sum()), rel=1e-12)


def test_sign_convention_and_shapes(threes):
    pca = PCA.fit(threes, 5)
    largest = pca.components.gather(1, pca.components.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()
    assert pca.reconstruct(threes[:3]).shape == (3, 1, 28, 28)
    assert pca.reconstruct(threes[:3].flatten(1)).shape == (3, 784)
    assert pca.decode(torch.zeros(2, 5)).shape == (2, 1, 28, 28)
    assert torch.equal(pca.truncated(2).components, pca.components[:2])


@pytest.mark.parametrize("k", [1, 5, 20])
def test_ppca_log_likelihood_equals_the_multivariate_normal(threes, k):
    ppca = ProbabilisticPCA.fit(threes, k)
    reference = scipy.stats.multivariate_normal(ppca.mean.numpy(), ppca.covariance().numpy())
    expected = reference.logpdf(threes[:200].flatten(1).double().numpy())
    assert np.abs(ppca.log_prob(threes[:200]).numpy() / expected - 1).max() < 1e-8


def test_ppca_is_the_maximum_of_the_likelihood(cloud):
    """scikit-learn scores the same model; and no nearby noise variance or scaling of W does better."""
    ppca = ProbabilisticPCA.fit(cloud, 3)
    best = float(ppca.log_prob(cloud).mean())
    for scale, noise in ((0.98, 1.0), (1.02, 1.0), (1.0, 0.98), (1.0, 1.02)):
        other = ProbabilisticPCA(ppca.mean, scale * ppca.W, noise * ppca.noise, (12,))
        assert float(other.log_prob(cloud).mean()) < best
    # scikit-learn uses the covariance with 1/(N-1), so its parameters differ by that factor
    theirs = ReferencePCA(3, svd_solver="full").fit(cloud.numpy())
    assert theirs.noise_variance_ * 499 / 500 == pytest.approx(ppca.noise, rel=1e-9)
    assert best >= theirs.score(cloud.numpy())
    assert best == pytest.approx(theirs.score(cloud.numpy()), abs=1e-4)


def test_ppca_samples_have_its_mean_and_covariance(cloud):
    ppca = ProbabilisticPCA.fit(cloud, 3)
    draws = ppca.sample(200_000, generator(3))
    scale = float(ppca.covariance().diagonal().max())
    assert float((draws.mean(0) - ppca.mean).abs().max()) < 5 * math.sqrt(scale / 200_000)
    assert float((torch.cov(draws.T) - ppca.covariance()).abs().max()) < 0.02 * scale


def test_ppca_posterior_is_bayes_rule(cloud):
    """p(z|x) p(x) = p(x|z) p(z) at random z, which fails for any wrong mean or covariance."""
    ppca = ProbabilisticPCA.fit(cloud, 3)
    means, covariance = ppca.posterior(cloud[:5])
    for i in range(5):
        z = torch.randn(3, dtype=torch.float64, generator=generator(i))
        normal = torch.distributions.MultivariateNormal
        eye = torch.eye
        prior = normal(torch.zeros(3, dtype=torch.float64), eye(3, dtype=torch.float64)).log_prob(z)
        noise = ppca.noise * eye(12, dtype=torch.float64)
        likelihood = normal(ppca.W @ z + ppca.mean, noise).log_prob(cloud[i])
        left = normal(means[i], covariance).log_prob(z) + ppca.log_prob(cloud[i : i + 1])[0]
        assert float(left - prior - likelihood) == pytest.approx(0, abs=1e-8)


def test_principal_angles_equal_scipys(cloud):
    a, b = cloud[:4], cloud[4:7]
    expected = np.sort(np.rad2deg(scipy.linalg.subspace_angles(a.T.numpy(), b.T.numpy())))
    assert np.abs(principal_angles(a, b).numpy() - expected).max() < 1e-6
    assert np.abs(principal_angles(b, a).numpy() - expected).max() < 1e-6


def test_principal_angles_see_tiny_and_right_angles():
    a = torch.eye(4, dtype=torch.float64)[:1]
    tilted = a + 1e-9 * torch.eye(4, dtype=torch.float64)[1:2]
    assert float(principal_angles(a, tilted)) == pytest.approx(math.degrees(1e-9), rel=1e-6)
    assert float(principal_angles(a, torch.eye(4, dtype=torch.float64)[2:3])) == pytest.approx(90)


def _train(x, start, steps=1500, k=8):
    net = LinearAutoencoder(start, k, generator=generator(3))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for _, batch in zip(range(steps), data.Stream(x, batch=256, generator=generator(4)), strict=False):
        loss = (net(batch) - batch).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net


def test_trained_linear_autoencoder_finds_the_pca_subspace_and_not_its_basis():
    x, y = data.mnist("train")
    x = x[y == 3].flatten(1)
    pca = PCA.fit(x, 8)
    best = float((pca.reconstruct(x) - x).square().mean())
    net = _train(x, x.mean(0))
    with torch.no_grad():
        assert float((net(x) - x).square().mean()) < 1.001 * best
    assert float(principal_angles(net.B.detach().T, pca.components).max()) < 1
    directions = net.B.detach().T.double()
    cosines = (directions / directions.norm(dim=1, keepdim=True)) @ pca.components.T
    assert float(cosines.abs().max(1).values.min()) < 0.95


def test_a_bias_that_starts_at_zero_costs_a_component():
    """The trap of chapter 3: the uncentred net spends a direction on the mean."""
    x, y = data.mnist("train")
    x = x[y == 3].flatten(1)
    net = _train(x, torch.zeros(784))
    assert float(principal_angles(net.B.detach().T, PCA.fit(x, 8).components).max()) > 45


NAN = torch.full((5, 3), float("nan"))
GOOD = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: PCA.fit(np.ones((5, 3))), TypeError, "torch tensor"),
        (lambda: PCA.fit(torch.ones(5, 3, dtype=torch.int64)), TypeError, "floating"),
        (lambda: PCA.fit(NAN), ValueError, "NaN"),
        (lambda: PCA.fit(torch.empty(0, 3)), ValueError, "empty"),
        (lambda: PCA.fit(torch.ones(5)), ValueError, "shape"),
        (lambda: PCA.fit(torch.ones(1, 3)), ValueError, "two samples"),
        (lambda: PCA.fit(GOOD, 4), ValueError, "4"),
        (lambda: PCA.fit(GOOD, 0), ValueError, "0"),
        (lambda: PCA.fit(GOOD, 2.0), TypeError, "whole number"),
        (lambda: PCA.fit(GOOD).encode(torch.ones(2, 4)), ValueError, "3 numbers"),
        (lambda: PCA.fit(GOOD, 2).decode(torch.ones(2, 3)), ValueError, "(N, 2)"),
        (lambda: PCA.fit(GOOD, 2).truncated(3), ValueError, "3"),
        (lambda: ProbabilisticPCA.fit(GOOD, 3), ValueError, "left for the noise"),
        (lambda: ProbabilisticPCA.fit(GOOD[:, :1].expand(10, 3), 1), ValueError, "variance"),
        (lambda: ProbabilisticPCA.fit(GOOD, 1).log_prob(torch.ones(2, 4)), ValueError, "3 numbers"),
        (lambda: ProbabilisticPCA.fit(GOOD, 1).sample(0, generator()), ValueError, "0"),
        (lambda: LinearAutoencoder(torch.zeros(3), 4), ValueError, "4"),
        (lambda: LinearAutoencoder(torch.zeros(3), 2)(torch.zeros(5, 4)), ValueError, "(N, 3)"),
        (lambda: principal_angles(GOOD[:2], torch.ones(2, 4)), ValueError, "shape"),
        (lambda: principal_angles(torch.ones(2, 3), GOOD[:1]), ValueError, "independent"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error) as raised:
        call()
    assert says in str(raised.value)
