"""Inception score and its variants against closed forms, peers, definitions written out, and wrong versions."""

import math
import warnings

import numpy as np
import pytest
import torch

from course_lib.metrics.class_scores import (
    inception_score,
    mode_score,
    modified_inception_score,
    total_variation,
)
from tests.unit.proof import generator, rejects


def logits(n, classes=6, seed=0, scale=2.0):
    offset = torch.randn(classes, generator=generator(77), dtype=torch.float64)
    return scale * torch.randn(n, classes, generator=generator(seed), dtype=torch.float64) + offset


def predictions(*args, **options):
    return logits(*args, **options).softmax(1)


def score(p, **options):
    return inception_score(p, extractor="test", **options).value


def kl(p, q):
    """KL of two distributions, one term at a time."""
    return sum(float(a) * math.log(a / b) for a, b in zip(p.tolist(), q.tolist()) if a > 0)


ONE_HOT = torch.eye(5, dtype=torch.float64)


# ---- Inception score


def test_score_of_known_sets():
    """From 1 (all predictions alike) to the number of classes (sure, and each as often)."""
    assert score(predictions(1).expand(9, 6)) == pytest.approx(1, abs=1e-12)
    assert score(torch.full((4, 5), 0.2)) == pytest.approx(1, abs=1e-7)
    assert score(ONE_HOT.repeat(7, 1)) == pytest.approx(5, rel=1e-12)  # log 0 occurs, and is no NaN
    assert score(ONE_HOT[:3].repeat(7, 1)) == pytest.approx(3, rel=1e-12)  # two classes never occur at all
    assert score(ONE_HOT[[0, 0, 0, 1]]) == pytest.approx(
        math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    )
    assert score(torch.tensor([[1.0, 0.0], [0.5, 0.5]])) == pytest.approx(
        math.exp(0.5 * math.log(1 / 0.75) + 0.25 * math.log(0.5 / 0.75) + 0.25 * math.log(0.5 / 0.25)),
        rel=1e-7,
    )


def test_score_is_the_definition_and_the_difference_of_entropies():
    p = predictions(200)
    marginal = p.mean(0)

    def check(of):
        assert of(p) == pytest.approx(math.exp(np.mean([kl(row, marginal) for row in p])), rel=1e-12)

    check(score)
    check(lambda p: float((torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum(1).mean()).exp()))
    check(lambda p: score(p[torch.randperm(200, generator=generator())]))
    check(lambda p: score(p[:, [3, 1, 5, 0, 2, 4]]))
    # The score of an image alone (erratum L15) is exp KL(p ‖ p), which is 1 whatever the image.
    assert [score(row[None]) for row in p[:5]] == pytest.approx([1] * 5, abs=1e-12)
    assert rejects(check, lambda p: np.mean([math.exp(kl(row, marginal)) for row in p]))
    assert rejects(check, lambda p: math.exp(np.mean([kl(marginal, row) for row in p])))
    assert rejects(check, lambda p: math.exp(np.mean([kl(row, marginal) for row in p]) / math.log(2)))


def test_score_is_that_of_the_peers():
    peer = pytest.importorskip("torch_fidelity.metric_isc")
    images = pytest.importorskip("torchmetrics.image.inception")
    z = logits(500)
    theirs = peer.isc_features_to_metric(z, splits=1)["inception_score_mean"]
    assert score(z.softmax(1)) == pytest.approx(theirs, rel=1e-6)
    for splits in (3, 10):
        shuffled = z[torch.randperm(500, generator=generator(4))]
        theirs = peer.isc_features_to_metric(shuffled, splits=splits, shuffle=False)
        found = inception_score(z.softmax(1), extractor="t", splits=splits, generator=generator(4))
        assert found.value == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
        spread = theirs["inception_score_std"] * math.sqrt(splits / (splits - 1))
        assert found.ci95 == pytest.approx(1.96 * spread / math.sqrt(splits), rel=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its memory, and of the spread of one split
        metric = images.InceptionScore(feature=torch.nn.Identity(), splits=1)
        metric.update(z)
        theirs = float(metric.compute()[0])
    assert score(z.softmax(1)) == pytest.approx(theirs, rel=1e-6)


def test_splits_of_a_set_in_order_of_class_are_shuffled():
    p = (0.96 * ONE_HOT + 0.008).repeat_interleave(40, 0)

    def check(of):
        assert of(p) > 0.9 * score(p)

    check(lambda p: score(p, splits=5, generator=generator()))
    assert rejects(check, lambda p: np.mean([score(part) for part in p.chunk(5)]))
    with pytest.raises(TypeError, match=r"generator: expected a torch.Generator to shuffle with"):
        score(p, splits=5)


def test_splits_lower_the_score():
    p = predictions(400)
    values = [score(p, splits=s, generator=generator()) for s in (1, 4, 40)]
    assert values[0] > values[1] > values[2]


def test_the_interval_covers_the_expected_score():
    found = [inception_score(predictions(300, seed=s), extractor="t") for s in range(300)]
    values, lengths = (torch.tensor([getattr(f, name) for f in found]) for name in ("value", "ci95"))
    off = (values - values.mean()).abs()
    assert 0.91 < float((off < lengths).double().mean()) < 0.985
    assert float(lengths.mean() / 1.96) == pytest.approx(float(values.std()), rel=0.12)
    assert math.isnan(inception_score(predictions(1), extractor="t").ci95)


# ---- modified Inception score


def over_pairs(p, labels, divergence):
    """The definition, one pair at a time: every sample alike, with the mean over the others of its class."""
    values = []
    for i, row in enumerate(p):
        others = [divergence(row, p[j]) for j in range(len(p)) if j != i and labels[j] == labels[i]]
        if others:
            values.append(np.mean(others))
    return math.exp(np.mean(values))


def modified(p, **options):
    return modified_inception_score(p, extractor="test", **options).value


def test_modified_score_is_the_definition():
    p = predictions(60)
    labels = p.argmax(1)

    def check(of):
        assert of(p) == pytest.approx(over_pairs(p, labels, kl), rel=1e-11)

    def cross_entropy(a, b):
        return -float((a * b.log()).sum())

    check(modified)
    check(lambda p: modified(p, labels=labels))
    check(lambda p: modified(p.flip(0)))
    assert rejects(check, lambda p: over_pairs(p, labels, cross_entropy))  # erratum T10
    check(lambda p: over_pairs(p, labels, lambda a, b: kl(b, a)))  # every pair is counted both ways
    assert rejects(check, lambda p: over_pairs(p, [0] * len(p), kl))  # over all pairs
    half_zero = lambda p: over_pairs(p.repeat(2, 1), labels.repeat(2), kl)  # noqa: E731
    assert rejects(check, half_zero)  # a sample paired with itself
    others = torch.randint(3, (60,), generator=generator())
    assert modified(p, labels=others) == pytest.approx(over_pairs(p, others, kl), rel=1e-11)


def test_divergence_and_cross_entropy_differ_by_the_entropy():
    """Erratum T10 in one case: equal predictions have no variety; the cross-entropy sees their unsureness instead."""
    p = predictions(1, scale=0.5).expand(8, 6)
    entropy = float(torch.special.entr(p[0]).sum())
    assert modified(p) == pytest.approx(1, abs=1e-12)
    cross = over_pairs(p, [0] * 8, lambda a, b: -float((a * b.log()).sum()))
    assert cross == pytest.approx(math.exp(entropy), rel=1e-12)
    assert cross > 2


def test_impossible_classes_are_exact():
    a, b = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.75, 0.25, 0.0])
    mean = 0.5 * (kl(a, b) + kl(b, a))  # 0 log 0/0 is 0
    assert modified(torch.stack([a, b]), labels=torch.tensor([0, 0])) == pytest.approx(
        math.exp(mean), rel=1e-7
    )
    c = torch.tensor([0.9, 0.05, 0.05])
    found = modified_inception_score(torch.stack([a, c]), extractor="t", labels=torch.tensor([0, 0]))
    assert found.value == math.inf  # c gives the third class 0.05, a gives it 0
    assert math.isnan(found.ci95)
    assert modified(ONE_HOT.repeat(3, 1)) == pytest.approx(1, abs=1e-12)


def test_it_sees_one_image_per_class_where_the_inception_score_does_not():
    collapsed = (0.9 * ONE_HOT + 0.02).repeat(20, 1)
    varied = (5 * ONE_HOT.repeat(20, 1) + 2 * torch.randn(100, 5, generator=generator())).softmax(1)
    assert score(collapsed) > score(varied)
    assert modified(collapsed) == pytest.approx(1, abs=1e-12)
    assert modified(varied) > 1.5


def test_classes_of_one_are_left_out():
    p = predictions(9)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 3])
    found = modified_inception_score(p, extractor="t", labels=labels)
    assert found.n == 7
    assert found.value == pytest.approx(over_pairs(p, labels, kl), rel=1e-11)


def test_the_modified_interval_covers():
    def repeat(seed):
        z = logits(240, classes=4, seed=seed, scale=1.0)
        return modified_inception_score(z.softmax(1), extractor="t")

    found = [repeat(seed) for seed in range(300)]
    values, lengths = (torch.tensor([getattr(f, name) for f in found]) for name in ("value", "ci95"))
    assert 0.91 < float(((values - values.mean()).abs() < lengths).double().mean()) < 0.985
    assert float(lengths.mean() / 1.96) == pytest.approx(float(values.std()), rel=0.12)


# ---- mode score


@pytest.mark.parametrize("seed", range(5))
def test_mode_score_is_the_inception_score(seed):
    p, training = predictions(300, seed=seed), predictions(50, seed=seed + 50, scale=0.7)

    def check(of):
        assert of(p, training) == pytest.approx(score(p), rel=1e-12)

    def mode(p, training, **options):
        return mode_score(p, training, extractor="t", **options).value

    check(mode)
    check(lambda p, training: mode(p, training.mean(0, keepdim=True)))
    check(lambda p, training: mode(p, ONE_HOT.new_tensor([[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]])))
    assert rejects(check, lambda p, training: mode(p, training, variant="marginal"))
    found = mode_score(p, training, extractor="t")
    assert found.ci95 == pytest.approx(inception_score(p, extractor="t").ci95, rel=1e-9)
    assert (found.n, found.reference) == (300, 50)


def test_mode_score_is_the_inception_score_with_classes_that_never_occur():
    p = torch.cat([predictions(40), torch.zeros(40, 1)], 1)
    training = predictions(30, classes=7)
    assert mode_score(p, training, extractor="t").value == pytest.approx(score(p), rel=1e-12)
    training = torch.cat([training[:, :6] / training[:, :6].sum(1, keepdim=True), torch.zeros(30, 1)], 1)
    assert mode_score(p, training, extractor="t").value == pytest.approx(score(p), rel=1e-12)
    p = predictions(40).float()  # rows sum to 1 up to 1e-7 only
    assert mode_score(p, predictions(9), extractor="t").value == pytest.approx(score(p), rel=1e-12)


def test_the_other_variant_punishes_a_missing_class():
    training = ONE_HOT.repeat(10, 1)
    sure = 0.96 * ONE_HOT + 0.008
    whole, missing = sure.repeat(10, 1), sure[:4].repeat(10, 1)
    for p in (whole, missing):
        marginal, target = p.mean(0), training.mean(0)
        expected = score(p) * math.exp(-kl(marginal, target))
        assert mode_score(p, training, extractor="t", variant="marginal").value == pytest.approx(
            expected, rel=1e-12
        )
    loss = mode_score(missing, training, extractor="t", variant="marginal").value / score(missing)
    assert loss < 0.85
    assert mode_score(whole, training, extractor="t", variant="marginal").value == pytest.approx(score(whole))


def test_the_other_variant_s_interval_covers():
    training = predictions(1, classes=6, scale=0.3)
    found = [
        mode_score(predictions(300, seed=s), training, extractor="t", variant="marginal") for s in range(300)
    ]
    values, lengths = (torch.tensor([getattr(f, name) for f in found]) for name in ("value", "ci95"))
    assert 0.91 < float(((values - values.mean()).abs() < lengths).double().mean()) < 0.985
    assert float(lengths.mean() / 1.96) == pytest.approx(float(values.std()), rel=0.12)


# ---- what comes in

P = predictions(20)


@pytest.mark.parametrize(
    "of",
    [inception_score, modified_inception_score, lambda p, extractor: mode_score(p, P, extractor=extractor)],
)
@pytest.mark.parametrize(
    ("p", "error", "says"),
    [
        (logits(20), ValueError, r"class probabilities.*smallest value of -.*softmax\(1\)"),
        (P * 1.1, ValueError, "a row that sums to 1.1"),
        (P * math.nan, ValueError, "expected finite"),
        (P[0], ValueError, r"expected shape \(N, C\)"),
        (P.argmax(1)[:, None], TypeError, "floating-point"),
    ],
)
def test_bad_probabilities_are_named(of, p, error, says):
    with pytest.raises(error, match=says):
        of(p, extractor="t")


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: inception_score(P), TypeError, "extractor"),
        (lambda: score(P, splits=21, generator=generator()), ValueError, "splits must be .*<= 20"),
        (lambda: score(P, splits=0), ValueError, "splits must be .*>= 1"),
        (
            lambda: modified(P, labels=torch.zeros(3).long()),
            ValueError,
            "labels: expected one label per image",
        ),
        (lambda: modified(P, labels=torch.full((20,), 6)), ValueError, "labels from 0 to 5, got 6"),
        (
            lambda: modified(P[:3], labels=torch.arange(3)),
            ValueError,
            "a class with at least two samples, got 3",
        ),
        (
            lambda: mode_score(P, P[:, :5] / P[:, :5].sum(1)[:, None], extractor="t"),
            ValueError,
            "6 classes.*got 5",
        ),
        (lambda: mode_score(P, torch.eye(6)[:5], extractor="t"), ValueError, "class 5 has 0"),
        (lambda: mode_score(P, P, extractor="t", variant="che"), ValueError, "variant must be one of"),
    ],
)
def test_bad_arguments_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_total_variation_by_hand():
    y, z = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 1, 1])
    found = total_variation(y, z, classes=3, extractor="test")
    assert found.value == pytest.approx((0.3 + 0.55 + 0.25) / 2)
    assert (found.n, found.reference) == (5, 4)
    assert total_variation(y, y, classes=5, extractor="test").value == 0
    assert total_variation(y, torch.full((3,), 3), classes=4, extractor="test").value == 1


def test_the_interval_of_total_variation_holds_the_true_one():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    hits = 0
    for seed in range(300):
        g = generator(seed)
        y, z = (torch.multinomial(shares, 400, replacement=True, generator=g) for shares in (p, q))
        found = total_variation(y, z, classes=3, extractor="test")
        hits += abs(found.value - 0.3) <= found.ci95
    assert 0.9 < hits / 300 < 0.99
