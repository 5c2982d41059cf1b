"""Classifiers against scikit-learn, SciPy and the identities of probability."""

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis

from course_lib import data
from course_lib.autoencoders import PCA
from course_lib.classifiers import DigitCNN, DigitCNNConfig, GaussianClassifier, SoftmaxRegression


@pytest.fixture(scope="module")
def digits():
    x, y = data.mnist("test")
    z = PCA.fit(x[:5000], 15).encode(x)
    return z[:5000], y[:5000], z[5000:], y[5000:]


def test_covariances_are_numpys_and_pooled_by_degrees_of_freedom(digits):
    z, y, _, _ = digits
    own, shared = GaussianClassifier.fit(z, y), GaussianClassifier.fit(z, y, shared=True)
    pooled = 0
    for k in range(10):
        mine = z[y == k].numpy()
        assert np.abs(own.covariances[k].numpy() - np.cov(mine.T)).max() < 1e-10
        pooled += (len(mine) - 1) * np.cov(mine.T) / (len(z) - 10)
    assert np.abs(shared.covariances[3].numpy() - pooled).max() < 1e-10


@pytest.mark.parametrize("shared", [False, True])
def test_posterior_equals_scikit_learns_discriminant_analysis(digits, shared):
    """Same covariances in, same posterior out (scikit-learn's versions divide by n or by n - 1)."""
    z, y, z_test, _ = digits
    if shared:
        theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(z.numpy(), y.numpy())
        covariances = torch.tensor(theirs.covariance_).expand(10, -1, -1)
    else:
        theirs = QuadraticDiscriminantAnalysis(store_covariance=True).fit(z.numpy(), y.numpy())
        covariances = torch.tensor(np.array(theirs.covariance_))
    fitted = GaussianClassifier.fit(z, y, shared=shared)
    assert np.abs(fitted.means.numpy() - theirs.means_).max() < 1e-10
    assert np.abs(fitted.priors.numpy() - theirs.priors_).max() < 1e-12
    assert float((covariances / fitted.covariances - 1).abs().median()) < 0.01
    ours = GaussianClassifier(fitted.priors, fitted.means, covariances).posterior(z_test).numpy()
    assert np.abs(ours - theirs.predict_proba(z_test.numpy())).max() < 1e-8


def test_log_joint_is_log_prior_plus_normal_density(digits):
    z, y, z_test, _ = digits
    model = GaussianClassifier.fit(z, y, shrinkage=0.2)
    for k in (0, 9):
        normal = scipy.stats.multivariate_normal(model.means[k].numpy(), model.covariances[k].numpy())
        expected = normal.logpdf(z_test.numpy()) + np.log(float(model.priors[k]))
        assert np.abs(model.log_joint(z_test)[:, k].numpy() - expected).max() < 1e-7
    assert torch.allclose(model.log_prob(z_test), model.log_joint(z_test).exp().sum(1).log())


def test_shrinkage_keeps_the_trace_and_ends_at_a_sphere(digits):
    z, y, _, _ = digits
    none, half, full = (GaussianClassifier.fit(z, y, shrinkage=a).covariances for a in (0.0, 0.5, 1.0))
    trace = lambda c: c.diagonal(dim1=1, dim2=2).sum(1)  # noqa: E731
    assert torch.allclose(trace(none), trace(half))
    assert torch.allclose(trace(none), trace(full))
    assert (
        float((full[0] - full[0].diagonal().mean() * torch.eye(15, dtype=torch.float64)).abs().max()) < 1e-9
    )
    assert torch.allclose(half, (none + full) / 2)


def test_samples_follow_the_class_asked_for(digits):
    z, y, _, _ = digits
    model = GaussianClassifier.fit(z, y, shrinkage=0.05)
    labels = torch.tensor([3, 7]).repeat(20_000)
    draws = model.sample(labels, torch.Generator().manual_seed(0))
    for k in (3, 7):
        mine = draws[labels == k]
        scale = float(model.covariances[k].diagonal().max())
        assert float((mine.mean(0) - model.means[k]).abs().max()) < 5 * (scale / 20_000) ** 0.5
        assert float((torch.cov(mine.T) - model.covariances[k]).abs().max()) < 0.06 * scale


def test_gaussian_classifier_reads_mnist():
    x, y = data.mnist("train")
    x_test, y_test = data.mnist("test")
    pca = PCA.fit(x[:20_000], 50)
    model = GaussianClassifier.fit(pca.encode(x), y, shrinkage=0.1)
    assert float((model.posterior(pca.encode(x_test)).argmax(1) == y_test).double().mean()) >= 0.955


def test_softmax_regression_starts_at_the_uniform_distribution():
    logits = SoftmaxRegression()(torch.randn(4, 1, 28, 28))
    assert torch.equal(logits, torch.zeros(4, 10))


def test_digit_cnn_shapes_and_overfits_one_batch():
    torch.manual_seed(0)
    x, y = (t[:32] for t in data.mnist("train"))
    net = DigitCNN(DigitCNNConfig(channels=(8, 16, 16), features=24, dropout=0.0))
    assert net.embed(x).shape == (32, 24)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float((net(x).argmax(1) == y).double().mean()) == 1.0


Z, Y = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: GaussianClassifier.fit(Z, Y.float()), TypeError, "int64"),
        (lambda: GaussianClassifier.fit(Z, Y[:5]), ValueError, "40"),
        (lambda: GaussianClassifier.fit(Z, Y - 1), ValueError, "-1"),
        (lambda: GaussianClassifier.fit(Z, Y, shrinkage=1.5), ValueError, "1.5"),
        (lambda: GaussianClassifier.fit(Z, 2 * Y), ValueError, "class 1"),
        (lambda: GaussianClassifier.fit(Z[:4], Y[:4]), ValueError, "singular"),
        (lambda: GaussianClassifier.fit(Z * float("nan"), Y), ValueError, "NaN"),
        (lambda: GaussianClassifier.fit(Z, Y).log_prob(torch.ones(2, 4)), ValueError, "(N, 3)"),
        (
            lambda: GaussianClassifier.fit(Z, Y).sample(torch.tensor([2]), torch.Generator()),
            ValueError,
            "0 to 1",
        ),
        (
            lambda: GaussianClassifier(torch.tensor([0.5, 0.6]), Z[:2], torch.eye(3).expand(2, 3, 3)),
            ValueError,
            "sum",
        ),
        (lambda: SoftmaxRegression()(torch.ones(2, 3, 28, 28)), ValueError, "784"),
        (lambda: DigitCNN()(torch.ones(2, 1, 32, 32)), ValueError, "28"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error) as raised:
        call()
    assert says in str(raised.value)
