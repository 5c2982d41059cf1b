"""Games between models: two GANs swap their discriminators, and tournaments rate many generators and discriminators.

Chapter 15; the thesis, section 4.2. Discriminators give logits, > 0 for real; TypeError or ValueError for others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from course_lib import checks
from course_lib.metrics.result import Z95, Result
from course_lib.precision import course_defaults, float64

ELO = 400 / math.log(10)  # points per unit of log-odds: 400 points ahead means ten wins for each loss
_CENTRE = 1500.0  # the average rating, by convention


class DisconnectedGames(ValueError):
    """Ratings do not exist: some group of players never lost to, or never met, the others."""


@dataclass(frozen=True)
class Battle:
    """The outcome of two models that swap their discriminators. ``winner`` is 1, 2, or 0 for a tie."""

    winner: int
    test: Result  # r_test: error rate of D₁ on test data over that of D₂
    samples: Result  # r_samples: error rate of D₁ on G₂'s samples over that of D₂ on G₁'s


@course_defaults()
def adversarial_metric(
    d1_test: Tensor, d2_test: Tensor, d1_on_g2: Tensor, d2_on_g1: Tensor, *, tolerance: float = 0.1
) -> Battle:
    """Who wins if model 1 = (G₁, D₁) and model 2 = (G₂, D₂) swap discriminators (Im et al. 2016, section 4).

    Model 1 wins if r_samples < 1, model 2 if > 1; a tie unless r_test is 1 within a factor of 1 + tolerance. Logits on
    one test set are (N,) each, d1_on_g2 those of D₁ on samples of G₂ (M,). ValueError if no error is in a denominator.
    """
    checks.real("tolerance", tolerance, positive=True)
    checks.logits("d1_test", d1_test, "(N,)")
    checks.logits("d2_test", d2_test, f"({len(d1_test)},)")
    checks.logits("d1_on_g2", d1_on_g2, "(M,)")
    checks.logits("d2_on_g1", d2_on_g1, "(K,)")
    e1, e2 = _wrong(d1_test, is_real=True), _wrong(d2_test, is_real=True)
    test = _ratio("r_test", e1, e2, "d2_test", paired=True)
    on_g2, on_g1 = _wrong(d1_on_g2, is_real=False), _wrong(d2_on_g1, is_real=False)
    samples = _ratio("r_samples", on_g2, on_g1, "d2_on_g1", paired=False)
    fair = 1 / (1 + tolerance) <= test.value <= 1 + tolerance
    winner = 0 if not fair or samples.value == 1 else 1 if samples.value < 1 else 2
    return Battle(winner, test, samples)


@dataclass(frozen=True, eq=False)
class Games:
    """Who beat whom how often: ``wins[i, j]`` games were won by player i against player j."""

    names: tuple[str, ...]
    wins: Tensor  # (P, P) float64, >= 0; half a win each is a draw

    def __post_init__(self) -> None:
        wins = checks.tensor("wins", self.wins, "(P, P)")
        if len(set(self.names)) != len(self.names) or len(self.names) != len(wins):
            wanted = f"one of its own for each of {len(wins)} players"
            raise ValueError(f"names: expected {wanted}, got {list(self.names)}")
        if bool((wins < 0).any()):
            raise ValueError(f"wins: expected counts >= 0, got {float(wins.min()):g}")
        if bool((wins.diagonal() != 0).any()):
            raise ValueError("wins: expected zeros on the diagonal, for nobody plays against themselves")
        object.__setattr__(self, "wins", float64(wins))

    @course_defaults()
    def __add__(self, other: Games) -> Games:
        """Both tournaments together; players are told apart by name, so that new ones may join."""
        names = tuple(dict.fromkeys(self.names + other.names))
        wins = torch.zeros(len(names), len(names), dtype=torch.float64)
        for games in (self, other):
            at = torch.tensor([names.index(name) for name in games.names])
            wins[at[:, None], at] += games.wins
        return Games(names, wins)


@course_defaults()
def play(
    fake: Mapping[str, Mapping[str, Tensor]],
    real: Mapping[str, Tensor] | None = None,
    *,
    batch: int | None = None,
) -> Games:
    """The tournament of generators against discriminators (Olsson et al. 2018): each sample is a game.

    A generator wins if the discriminator is wrong, or undecided. ``fake["G of wgan"]["D of vae"]`` are logits on
    samples of that generator, (N,); ``real["D of vae"]``, on real data (M,), count against each generator met. With
    `batch`, so many of either are one game, won by the majority (thesis, 4.2).
    """
    generators = list(fake)
    discriminators = list(dict.fromkeys(d for row in fake.values() for d in row))
    if not discriminators:
        raise ValueError("fake: expected at least one game of a generator against a discriminator, got none")
    if twice := set(generators) & set(discriminators):
        raise ValueError(f"fake: {sorted(twice)} name a generator and a discriminator; tell them apart")
    if real is not None and (missing := [d for d in discriminators if d not in real]):
        raise ValueError(f"real: expected logits of every discriminator that plays, got none of {missing}")
    names = (*generators, *discriminators)
    wins = torch.zeros(len(names), len(names), dtype=torch.float64)
    for g, row in fake.items():
        for d, logits in row.items():
            wrong = [_wrong(checks.logits(f"fake[{g!r}][{d!r}]", logits, "(N,)"), is_real=False)]
            if real is not None:
                wrong.append(_wrong(checks.logits(f"real[{d!r}]", real[d], "(M,)"), is_real=True))
            outcomes = torch.cat(wrong)
            if batch is not None:
                size, shortest = checks.whole("batch", batch), min(len(w) for w in wrong)
                if shortest < size:
                    got = f"as many as {g!r} against {d!r} has, got {size}"
                    raise ValueError(f"batch: expected at most {shortest} samples, {got}")
                parts = [w[: shortest // size * size].view(-1, size) for w in wrong]
                outcomes = float64(torch.cat(parts, 1).mean(1) > 0.5)
            i, j = names.index(g), names.index(d)
            wins[i, j] += outcomes.sum()
            wins[j, i] += (1 - outcomes).sum()
    return Games(names, wins)


def win_rates(games: Games) -> list[Result]:
    """Each player's mean over opponents of the share of games won (Olsson et al. 2018), within this tournament only."""
    totals = _totals(games)
    results = []
    for i, name in enumerate(games.names):
        n = totals[i][totals[i] > 0]
        p = games.wins[i][totals[i] > 0] / n
        error = float((p * (1 - p) / n).sum().sqrt()) / len(n)
        results.append(Result(f"win rate of {name}", float(p.mean()), Z95 * error, int(n.sum())))
    return results


@dataclass(frozen=True, eq=False)
class Ratings:
    """Strengths of players on the Elo scale; only differences mean anything, and the average is 1500.

    A lead of r points wins 1/(1 + 10^(-r/400)) of the games: 100 points 64 %, 400 points 91 %.
    """

    names: tuple[str, ...]
    rating: Tensor  # (P,)
    ci95: Tensor  # (P,) half-widths, of each rating against the average
    games: Tensor  # (P,) games of each player
    covariance: Tensor = field(repr=False)  # (P, P) of the ratings, in points²
    dispersion: float = math.nan  # Pearson's χ² per degree of freedom: about 1 if the ratings explain all

    def results(self) -> list[Result]:
        """One `Result` per player, in the order of `names`."""
        rows = zip(self.names, self.rating.tolist(), self.ci95.tolist(), self.games.tolist(), strict=True)
        return [Result(f"rating of {name}", r, c, int(n)) for name, r, c, n in rows]

    def lead(self, first: str, second: str) -> Result:
        """Rating of `first` minus that of `second`, with an interval that knows how their errors are correlated."""
        i, j = (self.names.index(checks.choice("player", name, self.names)) for name in (first, second))
        c, value = self.covariance, float(self.rating[i] - self.rating[j])
        ci95 = Z95 * math.sqrt(float(c[i, i] + c[j, j] - 2 * c[i, j]))
        return Result(f"{first} ahead of {second}", value, ci95, int(min(self.games[i], self.games[j])))


@course_defaults()
def bradley_terry(games: Games, *, prior: float = 0.0, steps: int = 100_000) -> Ratings:
    """Maximum-likelihood ratings (Bradley & Terry 1952): player i beats j with probability π_i/(π_i + π_j).

    Hunter's (2004) MM step π_i = W_i / Σ_j n_ij/(π_i + π_j), and Newton's; RuntimeError after `steps` of them.
    DisconnectedGames where there is no maximum (Ford 1957), unless a `prior` > 0 gives each player so many games, half
    of them won, against one of average strength. Intervals (Fisher information) are around the average rating.
    """
    checks.real("prior", prior)
    totals = _totals(games)
    if prior == 0:
        _require_connected(games)
    won = games.wins.sum(1) + prior / 2
    strength = torch.ones(len(won), dtype=torch.float64)

    def probabilities(strength: Tensor) -> Tensor:
        return strength[:, None] / (strength[:, None] + strength)  # (P, P)

    def gradient(strength: Tensor) -> Tensor:
        """Of the log-likelihood by the log-strengths, (P,): wins had minus wins expected."""
        return won - (totals * probabilities(strength)).sum(1) - prior * strength / (1 + strength)

    def covariance(strength: Tensor) -> Tensor:
        """Inverse Fisher information (P, P) of the log-strengths, around their average if there is no prior."""
        p = probabilities(strength)
        weight, of_prior = totals * p * p.T, prior * strength / (1 + strength) ** 2
        information = (weight.sum(1) + of_prior).diag() - weight
        if bool((of_prior > 0).any()):
            return torch.linalg.inv(information)
        mean = torch.full_like(weight, 1 / len(weight))  # projects on where all rise together
        return torch.linalg.inv(information + mean) - mean

    for step in range(checks.whole("steps", steps)):
        meetings = (totals / (strength[:, None] + strength)).sum(1) + prior / (strength + 1)
        strength = won / meetings
        if prior == 0:
            strength = strength / strength.log().mean().exp()  # the scale is free
        if step % 10 == 9:  # MM climbs surely but slowly; Newton's step ends it, if it leads on
            newton = covariance(strength) @ gradient(strength)
            nearer = strength * newton.exp()
            if gradient(nearer).norm() < gradient(strength).norm():
                strength = nearer
            if float(newton.abs().max()) < 1e-10:
                break
    else:
        raise RuntimeError(f"ratings: not converged after {steps} steps; raise steps")
    p, spread = probabilities(strength), covariance(strength) * ELO**2
    rating, ci95 = _CENTRE + ELO * strength.log(), Z95 * spread.diagonal().clamp(min=0).sqrt()
    met = totals.triu(1) > 0
    freedom = int(met.sum()) - (len(won) - 1)
    chi2 = float(((games.wins - totals * p) ** 2 / (totals * p * p.T))[met].sum())
    dispersion = chi2 / freedom if freedom > 0 else math.nan
    return Ratings(games.names, rating, ci95, totals.sum(1), spread, dispersion)


@course_defaults()
def glicko2(
    rating: float,
    deviation: float,
    volatility: float,
    opponents: Tensor,
    deviations: Tensor,
    scores: Tensor,
    *,
    tau: float = 0.5,
) -> tuple[float, float, float]:
    """One player's rating, deviation and volatility after one period of games, by Glicko-2 (Glickman 2013).

    Opponents' ratings and deviations are (m,); scores (m,) are 1, 0, or ½ for a draw. New players begin at 1500, 350
    and 0.06. `tau`, from 0.3 to 1.2, limits how fast the volatility changes.
    """
    for name, value in (("deviation", deviation), ("volatility", volatility), ("tau", tau)):
        checks.real(name, value, positive=True)
    checks.tensor("opponents", opponents, "(m,)")
    checks.tensor("deviations", deviations, f"({len(opponents)},)")
    checks.tensor("scores", scores, f"({len(opponents)},)")
    if bool((scores < 0).any() or (scores > 1).any()):
        raise ValueError(f"scores: expected 0, ½ or 1, got {float(scores.min()):g} … {float(scores.max()):g}")
    scale = 173.7178
    mu, phi = (rating - _CENTRE) / scale, deviation / scale
    mu_j, phi_j = (float64(opponents) - _CENTRE) / scale, float64(deviations) / scale
    g = 1 / (1 + 3 * phi_j**2 / math.pi**2).sqrt()
    expected = torch.sigmoid(g * (mu - mu_j))
    v = 1 / float((g**2 * expected * (1 - expected)).sum())
    gain = float((g * (float64(scores) - expected)).sum())
    delta = v * gain

    def f(x: float) -> float:  # its root is the logarithm of the new squared volatility (step 5)
        e = math.exp(x)
        d = phi**2 + v + e
        return e * (delta**2 - d) / (2 * d**2) - (x - math.log(volatility**2)) / tau**2

    a = math.log(volatility**2)
    if delta**2 > phi**2 + v:
        b = math.log(delta**2 - phi**2 - v)
    else:
        b = a - tau
        while f(b) < 0:
            b -= tau
    fa, fb = f(a), f(b)
    while abs(b - a) > 1e-9:  # the Illinois variant of false position
        c = a + (a - b) * fa / (fb - fa)
        fc = f(c)
        a, fa = (b, fb) if fc * fb <= 0 else (a, fa / 2)
        b, fb = c, fc
    new_volatility = math.exp(a / 2)
    phi = 1 / math.sqrt(1 / (phi**2 + new_volatility**2) + 1 / v)
    return _CENTRE + scale * (mu + phi**2 * gain), scale * phi, new_volatility


def _wrong(logits: Tensor, *, is_real: bool) -> Tensor:
    """Whether the discriminator errs: 1 or 0 per sample; undecided is an error."""
    return float64((logits <= 0) if is_real else (logits >= 0))


def _ratio(name: str, above: Tensor, below: Tensor, whose: str, *, paired: bool) -> Result:
    p, q = float(above.mean()), float(below.mean())
    if q == 0:
        raise ValueError(
            f"{whose}: expected some errors, got none in {len(below):,} samples, which leaves {name} undefined; "
            "judge more samples, or call the battle decided"
        )
    if p == 0:
        return Result(name, 0.0, math.nan, len(above), len(below))
    variance = (1 - p) / (p * len(above)) + (1 - q) / (q * len(below))
    if paired:  # the same data: errors that both make do not change the ratio
        variance -= 2 * (float((above * below).mean()) - p * q) / (p * q * len(above))
    return Result(name, p / q, Z95 * p / q * math.sqrt(max(variance, 0.0)), len(above), len(below))


def _totals(games: Games) -> Tensor:
    totals = games.wins + games.wins.T
    idle = [name for name, n in zip(games.names, totals.sum(1).tolist(), strict=True) if n == 0]
    if idle:
        raise ValueError(f"games: expected every player to have played, got no game of {idle}; omit them")
    return totals


def _require_connected(games: Games) -> None:
    from scipy.sparse.csgraph import connected_components

    count, group = connected_components(games.wins.numpy() > 0, directed=True, connection="strong")
    if count > 1:
        groups = [[name for name, g in zip(games.names, group, strict=True) if g == c] for c in range(count)]
        listed = " | ".join(", ".join(g) for g in sorted(groups, key=len, reverse=True))
        raise DisconnectedGames(
            "ratings: no finite ones exist, for between these groups nobody, or only one side, has ever won: "
            f"{listed}; play more games between them, or state a prior (prior=1)"
        )
