"""Battles and tournaments: the papers' rules by hand, ratings against closed forms and a logistic regression."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from course_lib.metrics.games import (
    ELO,
    DisconnectedGames,
    Games,
    adversarial_metric,
    bradley_terry,
    glicko2,
    play,
    win_rates,
)
from tests.unit.proof import generator

ABC = ("A", "B", "C")


def logits(wrong, right, *, is_real):
    """So many wrong and right answers, of different certainty."""
    sure = torch.linspace(0.1, 3, wrong + right)
    says_real = torch.arange(wrong + right) < (right if is_real else wrong)
    return torch.where(says_real, sure, -sure)


def random_games(players, games, seed=0, strengths=None):
    """A tournament of players of known strength: wins, and the log-strengths."""
    g = np.random.default_rng(seed)
    theta = g.standard_normal(players) if strengths is None else np.asarray(strengths)
    wins = np.zeros((players, players))
    for i in range(players):
        for j in range(i):
            won = g.binomial(games, 1 / (1 + math.exp(theta[j] - theta[i])))
            wins[i, j], wins[j, i] = won, games - won
    names = tuple(f"player {i}" for i in range(players))
    return Games(names, torch.from_numpy(wins)), theta


# Two models that swap discriminators


def battle(e1_test, e2_test, e1_samples, e2_samples, **options):
    """Error rates in per cent, of D₁ and D₂ on test data and on each other's samples."""
    test = [logits(e, 100 - e, is_real=True) for e in (e1_test, e2_test)]
    fake = [logits(e, 100 - e, is_real=False) for e in (e1_samples, e2_samples)]
    return adversarial_metric(*test, *fake, **options)


@pytest.mark.parametrize(
    ("errors", "winner"),
    [
        ((20, 20, 10, 40), 1),  # D₁ is deceived less by G₂ than D₂ by G₁
        ((20, 20, 40, 10), 2),
        ((20, 20, 30, 30), 0),
        ((10, 20, 10, 40), 0),  # D₂ errs twice as often on test data: unfair
        ((21, 20, 10, 40), 1),
        ((20, 0.0, 10, 40), None),
    ],
)
def test_the_winner_is_the_papers(errors, winner):
    if winner is None:
        with pytest.raises(ValueError, match="d2_test: expected some errors, got none in 100 samples"):
            battle(20, 0, 10, 40)
        return
    result = battle(*errors)
    assert result.winner == winner
    assert result.test.value == pytest.approx(errors[0] / errors[1])
    assert result.samples.value == pytest.approx(errors[2] / errors[3])
    mirrored = battle(errors[1], errors[0], errors[3], errors[2])
    assert mirrored.winner == {0: 0, 1: 2, 2: 1}[winner]


def test_how_near_one_is_a_parameter():
    assert battle(10, 20, 10, 40, tolerance=1.1).winner == 1
    assert battle(21, 20, 10, 40, tolerance=0.01).winner == 0


def test_error_rates_decide_and_not_raw_outputs():
    """The thesis compares D₁(x₂)/D₂(x₁): a single sure answer outweighs many, and another model wins."""
    d1_on_g2 = torch.tensor([9.0] + [-0.1] * 9)  # deceived once, thoroughly
    d2_on_g1 = torch.tensor([0.2] * 6 + [-9.0] * 4)
    test = logits(2, 8, is_real=True)
    assert adversarial_metric(test, test, d1_on_g2, d2_on_g1).winner == 1
    assert d1_on_g2.sigmoid().mean() > d2_on_g1.sigmoid().mean()


def test_intervals_of_the_ratios_cover():
    """Unpaired on samples; paired on test data, where both discriminators fail on the same hard images."""
    g = generator()
    results = []
    for _ in range(300):
        hard = torch.randn(400, generator=g)
        d1, d2 = (1 - hard + 0.5 * torch.randn(400, generator=g) for _ in range(2))
        results.append(
            adversarial_metric(d1, d2, torch.randn(400, generator=g), torch.randn(400, generator=g))
        )
    for ratios in ([r.test for r in results], [r.samples for r in results]):
        assert 0.91 < np.mean([abs(r.value - 1) < r.ci95 for r in ratios]) < 0.985


# Tournaments


def test_every_sample_is_a_game_and_the_generator_wins_errors():
    fake = {
        "G1": {"D1": logits(3, 7, is_real=False), "D2": logits(8, 2, is_real=False)},
        "G2": {"D1": logits(1, 9, is_real=False), "human": torch.tensor([1.0, -1.0, -1.0])},
    }
    games = play(fake)
    assert games.names == ("G1", "G2", "D1", "D2", "human")
    expected = torch.zeros(5, 5)
    expected[0, 2], expected[2, 0] = 3, 7
    expected[0, 3], expected[3, 0] = 8, 2
    expected[1, 2], expected[2, 1] = 1, 9
    expected[1, 4], expected[4, 1] = 1, 2
    assert torch.equal(games.wins, expected.double())
    real = {d: logits(2, 4, is_real=True) for d in ("D1", "D2", "human")}
    both = play(fake, real)
    met = expected + expected.T > 0
    assert torch.equal(both.wins - games.wins, (met * torch.tensor([[2.0]] * 2 + [[4.0]] * 3)).double())


def test_undecided_answers_are_errors():
    assert play({"G": {"D": torch.zeros(3)}}, {"D": torch.zeros(2)}).wins[0, 1] == 5


def test_in_batches_the_majority_decides_as_in_the_thesis():
    """Half right is enough for the discriminator; what does not fill a batch is left out."""
    fake = {"G": {"D": torch.tensor([1.0, 1, -1, -1, 1, 1, 1])}}
    real = {"D": torch.tensor([-1.0, -1, 1, 1, -1, -1])}
    assert play(fake, batch=2).wins.tolist() == [[0, 2], [1, 0]]
    assert play(fake, real, batch=2).wins.tolist() == [[0, 2], [1, 0]]
    assert play({"G": {"D": torch.tensor([1.0, -1.0])}}, batch=2).wins.tolist() == [[0, 0], [1, 0]]


def test_win_rates_are_means_over_opponents():
    """A generator's rate does not depend on whom it met more often."""
    games = Games(("G", "D1", "D2"), torch.tensor([[0.0, 90, 2], [10, 0, 0], [8, 0, 0]]))
    rates = win_rates(games)
    assert [r.value for r in rates] == pytest.approx([(0.9 + 0.2) / 2, 0.1, 0.8])
    assert rates[0].n == 110
    assert rates[0].ci95 == pytest.approx(1.96 * math.sqrt(0.09 / 100 + 0.16 / 10) / 2)
    assert rates[0].name == "win rate of G"


def test_games_of_two_tournaments_add_up_by_name():
    first = Games(("A", "B"), torch.tensor([[0.0, 3], [1, 0]]))
    second = Games(("C", "A"), torch.tensor([[0.0, 5], [2, 0]]))
    total = first + second
    assert total.names == ABC
    assert total.wins.tolist() == [[0, 3, 2], [1, 0, 0], [5, 0, 0]]


# Ratings


def test_two_players_have_the_closed_form():
    """log(w₁₂/w₂₁), with variance 1/w₁₂ + 1/w₂₁."""
    ratings = bradley_terry(Games(("A", "B"), torch.tensor([[0.0, 30], [10, 0]])))
    assert float(ratings.rating.diff()) == pytest.approx(-ELO * math.log(3), rel=1e-9)
    assert float(ratings.rating.mean()) == pytest.approx(1500)
    lead = ratings.lead("A", "B")
    assert lead.value == pytest.approx(ELO * math.log(3), rel=1e-9)
    assert lead.ci95 == pytest.approx(1.96 * ELO * math.sqrt(1 / 30 + 1 / 10), rel=1e-6)
    assert ratings.lead("B", "A").value == -lead.value
    assert ratings.games.tolist() == [40, 40]
    assert math.isnan(ratings.dispersion)
    assert str(ratings.results()[0]).startswith("rating of A 1595")
    # 400 points ahead are ten wins for each loss
    ten = bradley_terry(Games(("A", "B"), torch.tensor([[0.0, 10], [1, 0]])))
    assert ten.lead("A", "B").value == pytest.approx(400, rel=1e-9)


def test_three_balanced_players_are_equal():
    circle = torch.tensor([[0.0, 9, 1], [1, 0, 9], [9, 1, 0]])
    ratings = bradley_terry(Games(ABC, circle))
    assert torch.allclose(ratings.rating, torch.full((3,), 1500.0, dtype=torch.float64))
    assert ratings.dispersion == pytest.approx(3 * 16 / 2.5 / 1)  # and one number each explains nothing
    even = bradley_terry(Games(ABC, torch.full((3, 3), 5.0).fill_diagonal_(0)))
    assert float(even.ci95[0]) == pytest.approx(1.96 * ELO * math.sqrt(2 / 3 / (3 * 2.5)), rel=1e-9)


@pytest.mark.parametrize("bipartite", [False, True])
def test_ratings_are_a_logistic_regressions(bipartite):
    """Without penalty, on one row per game +1 for the winner and -1 for the loser; its Hessian gives errors."""
    games, _ = random_games(7, 20)
    if bipartite:  # generators meet discriminators only
        side = torch.arange(7) < 3
        games = Games(games.names, games.wins * (side[:, None] ^ side))
    rows, weights = [], []
    for i in range(7):
        for j in range(7):
            if games.wins[i, j] > 0:
                row = np.zeros(7)
                row[i], row[j] = 1, -1
                rows += [row, -row]
                weights += [float(games.wins[i, j])] * 2
    x, y = np.array(rows), np.tile([1, 0], len(rows) // 2)
    fit = LogisticRegression(
        C=np.inf, fit_intercept=False, tol=1e-12, max_iter=100_000, solver="newton-cholesky"
    )
    theta = fit.fit(x[:, 1:], y, sample_weight=weights).coef_[0]
    theta = np.concatenate([[0], theta])
    ratings = bradley_terry(games)
    assert np.abs((ratings.rating.numpy() - 1500) / ELO - (theta - theta.mean())).max() < 1e-6
    p = 1 / (1 + np.exp(-x @ theta))
    hessian = (x * (np.array(weights) * p * (1 - p))[:, None]).T @ x / 2  # every game is there twice
    errors = np.sqrt(np.linalg.pinv(hessian).diagonal()) * ELO * 1.96
    assert ratings.ci95.numpy() == pytest.approx(errors, rel=1e-6)


def test_a_step_that_forgets_the_opponents_is_caught():
    """Known wrong: win rates as strengths; who met weak opponents only is rated too high."""
    wins = torch.tensor([[0.0, 10, 0], [10, 0, 90], [0, 10, 0]])
    ratings = bradley_terry(Games(ABC, wins))
    assert float(ratings.lead("A", "B").value) == pytest.approx(0, abs=1e-6)
    assert float(ratings.lead("B", "C").value) == pytest.approx(ELO * math.log(9), rel=1e-9)
    rates = [r.value for r in win_rates(Games(ABC, wins))]
    assert rates[1] > rates[0] == 0.5


def test_ratings_do_not_depend_on_names_or_order():
    games, _ = random_games(6, 15, seed=1)
    ratings, order = bradley_terry(games), torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = bradley_terry(Games(tuple(f"x{i}" for i in order), games.wins[order][:, order]))
    assert torch.allclose(shuffled.rating, ratings.rating[order], atol=1e-7)
    assert torch.allclose(shuffled.ci95, ratings.ci95[order], atol=1e-7)
    assert shuffled.dispersion == pytest.approx(ratings.dispersion, rel=1e-7)


def test_intervals_cover_the_true_strengths():
    theta = np.array([-1.0, -0.3, 0.2, 1.1])
    truth = 1500 + ELO * (theta - theta.mean())
    fits = [bradley_terry(random_games(4, 40, seed, theta)[0]) for seed in range(250)]
    covered = [np.abs(r.rating.numpy() - truth) < r.ci95.numpy() for r in fits]
    assert 0.92 < np.mean(covered) < 0.975
    leads = [r.lead("player 3", "player 0") for r in fits]
    assert 0.9 < np.mean([abs(x.value - ELO * 2.1) < x.ci95 for x in leads]) < 0.985
    assert np.mean([r.dispersion for r in fits]) == pytest.approx(1, abs=0.15)


def test_a_human_who_only_judges_enters_the_rating():
    g = generator(3)
    models = {
        f"G{i}": {f"D{j}": torch.randn(200, generator=g) + 0.5 * (i - j) for j in range(3)} for i in range(3)
    }
    answers = {
        f"G{i}": {"human": (torch.rand(20, generator=g) < 0.2 + 0.1 * i).float() * 2 - 1} for i in range(3)
    }
    ratings = bradley_terry(play(models) + play(answers))
    by_name = {r.name.removeprefix("rating of "): r for r in ratings.results()}
    assert by_name["human"].n == 60
    assert by_name["human"].value > by_name["D0"].value
    assert by_name["human"].ci95 > by_name["D0"].ci95
    assert by_name["G2"].value > by_name["G1"].value > by_name["G0"].value


# Where ratings do not exist


@pytest.mark.parametrize(
    ("wins", "groups"),
    [
        (
            [[0, 5, 0, 0], [5, 0, 0, 0], [0, 0, 0, 5], [0, 0, 5, 0]],
            r"(a, b \| c, d|c, d \| a, b)",
        ),  # never met
        (
            [[0, 5, 3, 3], [5, 0, 3, 3], [0, 0, 0, 5], [0, 0, 5, 0]],
            r"(a, b \| c, d|c, d \| a, b)",
        ),  # never lost
        ([[0, 5, 3, 0], [5, 0, 3, 3], [2, 2, 0, 5], [0, 0, 0, 0]], r"a, b, c \| d"),
    ],
)
def test_disconnected_games_are_named_and_a_prior_helps(wins, groups):
    games = Games(tuple("abcd"), torch.tensor(wins).double())
    with pytest.raises(DisconnectedGames, match=rf"no finite ones exist.*: {groups}; play more games.*prior"):
        bradley_terry(games)
    ratings = bradley_terry(games, prior=1.0)
    assert bool(ratings.rating.isfinite().all()) and bool((ratings.ci95 > 0).all())


def test_without_the_check_ratings_run_away():
    """Known wrong: MM on a tournament with an unbeaten player moves for ever."""
    games = Games(("A", "B"), torch.tensor([[0.0, 5], [0, 0]]))
    strength = torch.ones(2, dtype=torch.float64)
    leads = []
    for _ in range(3):
        for _ in range(100):
            strength = (games.wins.sum(1) + 1e-9) / (
                (games.wins + games.wins.T) / (strength[:, None] + strength)
            ).sum(1)
        leads.append(float(strength.log().diff().abs()))
    assert leads[0] > 15  # a lead of 2,600 points after five games, set by the 1e-9 alone
    with pytest.raises(DisconnectedGames):
        bradley_terry(games)


def test_the_prior_is_games_against_an_average_player():
    """As if that player were in the table, at 1500, with half the games won; its pull vanishes with more games."""
    games = Games(("A", "B"), torch.tensor([[0.0, 5], [0, 0]]))
    a, b = bradley_terry(games, prior=2.0).rating.tolist()
    assert a - 1500 == pytest.approx(1500 - b)
    t = (a - 1500) / ELO  # 5 games against B at -t, 2 against the average at 0: wins expected = wins had
    assert 5 / (1 + math.exp(-2 * t)) + 2 / (1 + math.exp(-t)) == pytest.approx(6, abs=1e-9)
    many, _ = random_games(5, 5000)
    assert torch.allclose(bradley_terry(many, prior=1.0).rating, bradley_terry(many).rating, atol=1)


def test_a_chain_that_hangs_by_few_games_converges_or_says_so():
    names = tuple(str(i) for i in range(12))
    wins = torch.zeros(12, 12)
    for i in range(11):
        wins[i, i + 1], wins[i + 1, i] = 99, 1
    ratings = bradley_terry(Games(names, wins))
    assert ratings.rating.diff().tolist() == pytest.approx([-ELO * math.log(99)] * 11, rel=1e-6)
    with pytest.raises(RuntimeError, match=r"not converged after 5 steps.*raise steps"):
        bradley_terry(Games(names, wins), steps=5)


def test_glicko2_is_glickmans_example():
    """Example of the Glicko-2 system (2013): a player of 1500 beats 1400 and loses to 1550 and 1700."""
    rating, deviation, volatility = glicko2(
        1500,
        200,
        0.06,
        torch.tensor([1400.0, 1550, 1700]),
        torch.tensor([30.0, 100, 300]),
        torch.tensor([1.0, 0, 0]),
    )
    assert rating == pytest.approx(1464.06, abs=0.02)
    assert deviation == pytest.approx(151.52, abs=0.01)
    assert volatility == pytest.approx(0.05999, abs=1e-5)


def test_glicko2_of_a_surprise_raises_the_volatility():
    opponents, deviations = torch.full((10,), 2000.0), torch.full((10,), 30.0)
    rating, deviation, volatility = glicko2(1500, 50, 0.06, opponents, deviations, torch.ones(10))
    assert rating > 1550 and deviation > 50 and volatility > 0.06
    even = glicko2(
        1500, 200, 0.06, torch.full((2,), 1500.0), torch.full((2,), 30.0), torch.tensor([1.0, 0.0])
    )
    assert even[0] == pytest.approx(1500) and even[1] < 200


W = torch.tensor([[0.0, 1], [1, 0]])
GAMES = Games(("A", "B"), W)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Games(("A", "B"), -W), ValueError, "wins: expected counts >= 0, got -1"),
        (lambda: Games(("A", "B"), W[:, :1]), ValueError, r"wins: expected shape \(P, P\).*\(2, 1\)"),
        (lambda: Games(("A", "B"), W + 1), ValueError, "wins: expected zeros on the diagonal"),
        (lambda: Games(("A", "B"), W * math.nan), ValueError, "wins: expected finite"),
        (lambda: Games(("A", "A"), W), ValueError, "names: expected one of its own"),
        (lambda: Games(("A",), W), ValueError, "names: expected one of its own for each of 2"),
        (
            lambda: bradley_terry(Games(ABC, torch.nn.functional.pad(W, (0, 1, 0, 1)))),
            ValueError,
            r"games: expected every player to have played, got no game of \['C'\]",
        ),
        (
            lambda: win_rates(Games(ABC, torch.nn.functional.pad(W, (0, 1, 0, 1)))),
            ValueError,
            r"got no game of \['C'\]",
        ),
        (lambda: bradley_terry(GAMES, prior=-1), ValueError, "prior must be a finite number >= 0"),
        (
            lambda: bradley_terry(GAMES).lead("A", "Z"),
            ValueError,
            "player must be one of 'A', 'B'; received 'Z'",
        ),
        (lambda: play({}), ValueError, "fake: expected at least one game"),
        (lambda: play({"G": {"G": W[0]}}), ValueError, r"fake: \['G'\] name a generator and a discriminator"),
        (lambda: play({"G": {"D": W}}), ValueError, r"fake\['G'\]\['D'\]: expected shape \(N,\)"),
        (
            lambda: play({"G": {"D": W[0]}}, {}),
            ValueError,
            r"real: expected logits of every .* none of \['D'\]",
        ),
        (lambda: play({"G": {"D": W[0]}}, batch=3), ValueError, "batch: expected at most 2 samples.*got 3"),
        (
            lambda: adversarial_metric(W[0], W[0, :1], W[0], W[0]),
            ValueError,
            r"d2_test: expected shape \(2,\)",
        ),
        (
            lambda: adversarial_metric(W[0], W[0], W[0], -W[0] - 1),
            ValueError,
            "d2_on_g1: expected some errors",
        ),
        (
            lambda: adversarial_metric(W[0], W[0], W[0], W[0], tolerance=0),
            ValueError,
            "tolerance must be .*> 0",
        ),
        (
            lambda: glicko2(1500, 0, 0.06, W[0], W[0], W[0]),
            ValueError,
            "deviation must be a finite number > 0",
        ),
        (lambda: glicko2(1500, 9, 0.06, W[0], W[0], 2 * W[0]), ValueError, "scores: expected 0, ½ or 1"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_probabilities_taken_for_logits_are_noticed():
    """A discriminator that is always right, after a sigmoid, was called always wrong."""
    fake, real = torch.linspace(0.01, 0.1, 20), torch.linspace(0.9, 0.99, 20)
    with pytest.warns(UserWarning, match=r"expected logits.*torch\.logit"):
        games = play({"G": {"D": fake}}, {"D": real})
    assert games.wins[0, 1] == 20  # all generated ones called real
    games = play({"G": {"D": torch.logit(fake)}}, {"D": torch.logit(real)})
    assert games.wins[1, 0] == 40
