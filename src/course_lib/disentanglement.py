"""Whether factors of variation are easy to find in codes: the mutual information gap and linear separability.

Gap: whether single latents stand for single factors (chapter 6; Chen, Li, Grosse & Duvenaud 2018, section 4).
Separability: whether a plane divides the codes with an attribute from those without (chapter 11; Karras, Laine & Aila
2019, section 4.2). N samples, k latents, F factors; TypeError or ValueError for other shapes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib import checks
from course_lib.metrics.result import Result, proportion
from course_lib.precision import course_defaults, float64


@course_defaults()
def mutual_information(codes: Tensor, factors: Tensor, *, bins: int = 20) -> Tensor:
    """I(z_j; v_f) of every latent and factor, in nats: (k, F), from codes (N, k) and factors (N, F) of whole numbers.

    Each latent is cut into `bins` bins of equal width over its range (Locatello et al. 2019).
    """
    codes = checks.tensor("codes", codes, "(N, k)").detach().cpu()
    checks.whole("bins", bins, at_least=2)
    factors = _from_zero(factors, len(codes))
    low, high = codes.amin(0), codes.amax(0)
    width = (high - low).clamp(min=1e-12)
    binned = ((codes - low) / width * bins).long().clamp(0, bins - 1)  # (N, k)
    return torch.stack([torch.stack([_information(z, v) for v in factors.T]) for z in binned.T])  # (k, F)


@course_defaults()
def entropies(factors: Tensor) -> Tensor:
    """H(v_f) of each factor, in nats: (F,), of factors (N, F) of whole numbers."""
    return torch.stack([_information(v, v) for v in _from_zero(factors).T])


def mutual_information_gap(codes: Tensor, factors: Tensor, *, bins: int = 20) -> Tensor:
    """(I of the best latent - I of the second best) / H, per factor: (F,), each in [0, 1]; MIG is their mean.

    ValueError also for fewer than two latents or a factor that never varies.
    """
    information = mutual_information(codes, factors, bins=bins)
    if len(information) < 2:
        raise ValueError("codes: expected at least two latents to have a gap between, got one")
    entropy = entropies(factors)
    if float(entropy.min()) <= 0:
        got = f"factor {int(entropy.argmin())} never varies"
        raise ValueError(f"factors: expected each to take two values or more, {got}")
    best, second = information.topk(2, dim=0).values
    return (best - second) / entropy


class Separability(NamedTuple):
    """What `linear_separability` finds on the held-out codes."""

    accuracy: Result  # of the plane
    guessing: float  # share of the commoner label, which needs no plane
    entropy: float  # H(label | side of the plane), in nats: 0 if they are separated
    hits: Tensor  # (n,) bool: which of the held-out codes lie on the right side


@course_defaults()
def linear_separability(codes: Tensor, labels: Tensor, *, held_out: float = 0.25) -> Separability:
    """How well a plane through the space of codes (N, k) divides labels (N,), True and False.

    The plane is that of logistic regression on standardised codes, fitted to all but the last share `held_out`.
    ValueError also if one label is missing in either part.
    """
    x = float64(checks.tensor("codes", codes, "(N, k)").detach()).cpu().numpy()
    y = checks.labels("labels", labels.long(), len(x), 2).cpu().numpy().astype(bool)
    n = int(len(x) * (1 - checks.real("held_out", held_out, positive=True)))
    if any(part.all() or not part.any() for part in (y[:n], y[n:])):
        raise ValueError(
            "labels: expected both in the fitted and in the held-out part, found one of them only"
        )
    # imported where it is used: it takes a second
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    plane = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x[:n], y[:n])
    side = torch.from_numpy(plane.predict(x[n:]))
    label = torch.from_numpy(y[n:])
    hits, share = side == label, float(label.double().mean())
    conditional = _information(label.long(), label.long()) - _information(label.long(), side.long())
    accuracy = proportion("accuracy of a plane", float(hits.double().mean()), len(label))
    return Separability(accuracy, max(share, 1 - share), float(conditional), hits)


def _from_zero(factors: Tensor, n: int | str = "N") -> Tensor:
    factors = checks.tensor("factors", factors, f"({n}, F)", dtype="int").cpu()
    # A negative index would count from the end, and merge two values into one.
    if int(factors.min()) < 0:
        raise ValueError(f"factors: expected whole numbers from 0, got {int(factors.min())}")
    return factors


def _information(a: Tensor, b: Tensor) -> Tensor:
    """I(a; b) of two columns of whole numbers (N,), in nats, from their joint histogram."""
    joint = torch.zeros(int(a.max()) + 1, int(b.max()) + 1, dtype=torch.float64)
    joint.index_put_((a, b), torch.ones(len(a), dtype=torch.float64), accumulate=True)
    joint /= len(a)
    entr = torch.special.entr
    return entr(joint.sum(0)).sum() + entr(joint.sum(1)).sum() - entr(joint).sum()
