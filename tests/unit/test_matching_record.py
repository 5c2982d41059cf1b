"""The recorded experiment of chapter 14: what is drawn, and that all sources meet the same real pictures."""

import pytest
import torch

from course_lib import metrics
from course_lib.cards import full_name
from course_lib.experiments import EXPERIMENTS, matching
from course_lib.metrics.assignment import hungarian


def pictures(n, seed=0):
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def scored():
    real, test = pictures(200), pictures(200, 1)
    grey = {"grey": lambda n, g: torch.zeros(n, 1, 4, 4)}
    return matching.scores_by_size(real, {**matching.sources(test, {}), **grey}, (20, 40), (3, 2))


def test_it_is_registered():
    assert EXPERIMENTS["matching"] == full_name(matching.record_matching)


def test_there_is_a_number_for_every_source_size_and_repeat(scored):
    assert scored["sizes"] == [20, 40]
    for kind in ("scores", "ci95"):
        assert {name: [len(run) for run in runs] for name, runs in scored[kind].items()} == {
            "TEST": [3, 2],
            "grey": [3, 2],
        }
    assert {name: len(rows) for name, rows in scored["above"].items()} == {"grey": 2}


def test_a_score_is_the_mean_cost_of_the_cheapest_matching(scored):
    """The constant generator's: the mean distance from the real pictures drawn; and TEST's, by the Hungarian method."""
    generator = torch.Generator().manual_seed(0)
    x = matching.draw(pictures(200), 20, generator)
    y = matching.draw(pictures(200, 1), 20, generator)
    assert scored["scores"]["grey"][0][0] == pytest.approx(float(x.flatten(1).norm(dim=1).mean()), rel=1e-6)
    c = metrics.cost_matrix(x.flatten(1), y.flatten(1)).numpy()
    test = c[range(20), hungarian(c)[0]].mean()
    assert scored["scores"]["TEST"][0][0] == pytest.approx(test, rel=1e-9)
    above = scored["above"]["grey"][0][0]
    assert above == pytest.approx(scored["scores"]["grey"][0][0] - test, rel=1e-9)


def test_repeats_differ_and_another_run_gives_the_same(scored):
    runs = scored["scores"]["TEST"][0]
    assert len(set(runs)) == 3
    sources = matching.sources(pictures(200, 1), {})
    again = matching.scores_by_size(pictures(200), sources, (20,), (3,))
    assert again["scores"]["TEST"][0] == runs


def test_pictures_are_drawn_without_repetition_and_not_in_file_order():
    x = torch.arange(50.0)[:, None]
    drawn = matching.draw(x, 30, torch.Generator().manual_seed(0))
    assert len(drawn.unique()) == 30
    assert not torch.equal(drawn, x[:30])


def test_seconds_are_taken_for_every_size_and_the_sparse_variant_goes_on():
    found = matching.seconds(pictures(400), (16, 48))
    assert found["n"] == [16, 48]
    assert found["n_sparse"] == [16, 48, 96, 192]
    assert len(found["dense"]) == len(found["scipy"]) == len(found["pot"]) == 2
    assert len(found["sparse"]) == 4
    assert min(found["dense"] + found["scipy"] + found["pot"] + found["sparse"]) >= 0
