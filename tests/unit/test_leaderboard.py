"""The leaderboard: nobody is missing, rows of other weights are noticed, and the tables say what the record says."""

import copy
import math
import re

import matplotlib.pyplot as plt
import pytest
import torch

from course_lib import leaderboard, metrics, zoo
from course_lib.leaderboard import entries, figures, page, record
from course_lib.leaderboard.boards import BOARDS, class_entropy
from course_lib.leaderboard.entries import ENTRIES, NO_GENERATOR, Entry
from course_lib.leaderboard.page import Column, best
from course_lib.leaderboard.record import REAL
from course_lib.training import Runtime
from tests.unit.proof import generator
from tools import build_book
from tools.project import CourseError


def score(value, ci95=0.1):
    return {"value": value, "ci95": ci95, "n": 10, "extractor": "judge"}


def row(label, weights, **values):
    return {
        "label": label,
        "weights": weights,
        "n": BOARDS["digits"].n,
        "parameters": 7,
        "seconds": 0.001,
        "scores": {key: score(value) for key, value in values.items()},
    }


KEYS = {column.key for table in page.TABLES["digits"] for column in table.columns}


@pytest.fixture
def card():
    """A record that is up to date, of two models; the others are said not to be shipped."""
    board = BOARDS["digits"]
    values = dict.fromkeys(KEYS, 2.0)
    rows = {
        "vae_mnist_20": row("VAE", record._weights(board, ENTRIES["vae_mnist_20"]), **values),
        "ppca": row("pPCA", record._weights(board, ENTRIES["ppca"]), **{**values, "frechet": 3.0}),
        REAL: row("real, held out", record._weights(board, None), **{**values, "frechet": 0.1}),
    }
    return {
        "hardware": "cpu",
        "no_generator": NO_GENERATOR,
        "boards": {"digits": {**record.terms(board), "rows": rows}},
    }


@pytest.fixture(autouse=True)
def quick_probe(request, monkeypatch):
    """The real one takes seconds, and has its own test."""
    if "real_probe" not in request.fixturenames:
        monkeypatch.setattr(record, "probe", lambda board: {"frechet": 1.0, "precision": 0.5})


@pytest.fixture
def real_probe():
    return record.probe


@pytest.fixture
def two_shipped(monkeypatch):
    monkeypatch.setattr(record, "shipped", lambda *names: names in ((), ("vae_mnist_20",)))


# Nobody is missing


def test_the_page_shows_the_pictures_that_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "samples", lambda board, rows: plt.figure())
    figures.draw(tmp_path)
    shown = re.findall(r"\{figure\} _generated/(\S+)", page.page(page.record()))
    assert sorted(shown) == sorted(path.name for path in tmp_path.iterdir()) != []


def test_samples_stand_below_real_ones_and_scores_are_those_of_the_record():
    rows = leaderboard.rows("discs")
    axis = figures.samples("discs", rows).axes[0]
    assert axis.get_yticklabels()[0].get_text() == rows[REAL]["label"]
    assert len(axis.get_yticklabels()) == len(rows)
    axes = figures.scores("discs", rows).axes
    assert len(axes) == 4
    drawn = {c.lines[0].get_xdata()[0] for c in axes[0].containers}
    assert drawn == {row["scores"]["nearest"]["value"] for name, row in rows.items() if name != REAL}
    plt.close("all")


def test_the_leaderboard_is_up_to_date(real_probe):
    """If this fails: python -m course_lib.leaderboard."""
    assert page.defects() == []


def test_every_checkpoint_is_a_generator_or_has_a_reason():
    used = {name for entry in ENTRIES.values() for name in entry.weights}
    assert set(zoo.names()) == used | set(NO_GENERATOR)
    assert not set(ENTRIES) & set(NO_GENERATOR)
    assert all(len(reason) > 10 for reason in NO_GENERATOR.values())
    assert {entry.board for entry in ENTRIES.values()} == set(BOARDS) == set(page.TABLES)


def test_a_new_checkpoint_must_be_classified(card, two_shipped, monkeypatch):
    assert record.defects(card) == []
    names = zoo.names()
    monkeypatch.setattr(zoo, "names", lambda: [*names, "stylegan"])
    assert record.defects(card) == [
        "stylegan is neither among ENTRIES nor among NO_GENERATOR of course_lib/leaderboard/entries.py"
    ]


def test_a_shipped_generator_without_a_row_is_found(card, two_shipped):
    del card["boards"]["digits"]["rows"]["vae_mnist_20"]
    assert record.defects(card) == ["vae_mnist_20 is shipped, but not on the board of digits"]
    card["boards"] = {}
    assert len(record.defects(card)) == 2


@pytest.mark.parametrize("whose", ["vae_mnist_20", "digit_classifier"])
def test_a_row_of_other_weights_is_found(card, two_shipped, whose):
    """Other weights of the model, or of the judge."""
    card["boards"]["digits"]["rows"]["vae_mnist_20"]["weights"][whose] = "0" * 64
    assert record.defects(card) == ["the row of vae_mnist_20 is that of other weights"]


@pytest.mark.parametrize("key", ["n", "n_matching", "seed"])
def test_a_board_of_other_numbers_is_found(card, two_shipped, key):
    card["boards"]["digits"][key] += 1
    assert f"was scored with {key} = " in record.defects(card)[0]


def test_a_changed_metric_is_found_and_rounding_is_not(card, two_shipped):
    probe = card["boards"]["digits"]["probe"]
    probe.update(frechet=1.0 + 1e-3, precision=0.5 + 2 / record.PROBED)
    assert record.defects(card) == []
    probe.update(frechet=1.02)
    assert "was scored by another frechet" in record.defects(card)[0]
    probe.update(frechet=1.0, precision=0.6)
    assert "was scored by another precision" in record.defects(card)[0]
    del probe["precision"]
    assert "was scored by another precision" in record.defects(card)[0]


def test_an_edited_page_is_found(card, two_shipped, monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "recorded", lambda name: card)
    path = tmp_path / "leaderboard.md"
    monkeypatch.setattr(page, "page_path", lambda: path)
    assert page.defects() == ["leaderboard.md is not what the record says"]
    path.write_text(page.page(card), encoding="utf-8")
    assert page.defects() == []
    path.write_text(page.page(card).replace("2.00", "1.00"), encoding="utf-8")
    assert page.defects() == ["leaderboard.md is not what the record says"]


def test_the_build_stops_and_names_the_command(monkeypatch):
    monkeypatch.setattr(leaderboard, "defects", lambda: ["dcgan is shipped, but not on the board"])
    with pytest.raises(CourseError, match=rf"dcgan is shipped.*{page.COMMAND}"):
        build_book.prepare_leaderboard()
    monkeypatch.setattr(leaderboard, "defects", list)
    build_book.prepare_leaderboard()


# Sampling


@pytest.mark.parametrize("name", list(ENTRIES))
def test_samplers_give_images_and_the_same_ones_for_a_seed(name):
    entry = ENTRIES[name]
    if not record.shipped(*entry.weights):
        pytest.skip(f"{name} is not shipped yet")
    sample = entries.sampler(entry)
    with torch.no_grad():
        x, again = sample(3, generator(1)), sample(3, generator(1))
    colours, side = {"digits": (1, 28), "discs": (1, 64), "moving discs": (1, 32), "avatars": (3, 64)}[
        entry.board
    ]
    assert tuple(x.shape) == (3, colours, side, side)
    assert x.dtype == torch.float32
    assert float(x.abs().max()) <= 1
    assert torch.equal(x, again)


def test_time_is_that_of_one_sample_and_threads_are_given_back():
    before, calls = torch.get_num_threads(), []

    def sample(n, g):
        calls.append((n, torch.get_num_threads()))
        return torch.randn(n, 10, generator=g)

    assert 0 < entries.seconds_per_sample(sample, n=20, repeats=3) < 0.1
    assert calls == [(20, 1)] * 4
    assert torch.get_num_threads() == before


# Scores


def test_class_entropy_in_cases_that_are_known():
    even = torch.eye(4).repeat(25, 1)
    assert class_entropy(even, extractor="c").value == pytest.approx(math.log(4))
    assert class_entropy(even, extractor="c").ci95 == pytest.approx(0, abs=1e-9)
    assert class_entropy(torch.eye(4)[:1].repeat(9, 1), extractor="c").value == 0


def test_the_interval_of_class_entropy_covers():
    share = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    truth, hits = float(torch.special.entr(share).sum()), 0
    g = generator(3)
    for _ in range(400):
        y = torch.multinomial(share, 500, replacement=True, generator=g)
        found = class_entropy(torch.nn.functional.one_hot(y, 3).double(), extractor="c")
        hits += abs(found.value - truth) <= found.ci95
    assert 0.92 <= hits / 400 <= 0.98


def test_only_rows_of_other_weights_are_scored_again(monkeypatch):
    scored = []

    def scores(sets):
        scored.append(len(sets.x))
        return {"frechet": metrics.mean("m", sets.g[:, 0])}

    board = BOARDS["digits"]._replace(
        n=4,
        judges=(),
        real=lambda n: (torch.zeros(n, 1, 28, 28), torch.ones(n, 1, 28, 28)),
        features=lambda x: x.flatten(1),
        scores=scores,
    )
    entry = Entry("digits", "grey", (), lambda: lambda n, g: torch.rand(n, 1, 28, 28, generator=g))
    monkeypatch.setattr(record, "BOARDS", {"digits": board})
    monkeypatch.setattr(record, "ENTRIES", {"grey": entry})
    monkeypatch.setattr(record, "_last", dict)
    first = record.record_leaderboard(Runtime("cpu", "cpu"), quiet=True)
    rows = first["boards"]["digits"]["rows"]
    assert list(rows) == ["grey", REAL]
    assert len(scored) == 2
    assert rows["grey"]["scores"]["frechet"]["n"] == 4
    known = copy.deepcopy(first["boards"])
    monkeypatch.setattr(record, "_last", lambda: known)
    second = record.record_leaderboard(Runtime("cpu", "cpu"), quiet=True)
    assert len(scored) == 2
    assert second["boards"]["digits"]["rows"]["grey"]["scores"] == rows["grey"]["scores"]
    known["digits"]["rows"]["grey"]["weights"] = {"another": "0"}
    record.record_leaderboard(Runtime("cpu", "cpu"), quiet=True)
    assert len(scored) == 3
    known["digits"]["n_matching"] += 1
    record.record_leaderboard(Runtime("cpu", "cpu"), quiet=True)
    assert len(scored) == 5  # the board is another one now


# Tables


def of(**values):
    """Rows with one score "s" of (value, ci95)."""
    return {name: {"scores": {"s": score(*pair)}} for name, pair in values.items()}


def test_the_best_and_who_cannot_be_told_from_it():
    rows = of(a=(1.0, 0.1), b=(1.12, 0.1), c=(1.2, 0.1), TEST=(0.1, 0.1))
    assert best(rows, Column("s", "s", "low")) == ["a", "b"]
    assert best(rows, Column("s", "s", "high")) == ["b", "c"]
    assert best(of(a=(1.0, None), b=(1.1, None), TEST=(0, 0)), Column("s", "s", "high")) == ["b"]


def test_nearest_to_real_may_be_on_either_side():
    rows = of(a=(1.0, 0.0), b=(2.2, 0.0), c=(4.0, 0.0), TEST=(2.0, 0.0))
    assert best(rows, Column("s", "s", "real")) == ["b"]
    assert best({name: rows[name] for name in ("a", REAL)}, Column("s", "s", "real")) == []


def test_the_page_shows_every_row_and_score(card):
    text = page.page(card)
    heads = [line for line in text.splitlines() if line.startswith("| model")]
    assert len(heads) == len(page.TABLES["digits"]) + 1
    for table in page.TABLES["digits"]:
        assert len(table.columns) <= 3  # or a telephone would have to scroll
        assert all(column.heading in text for column in table.columns)
    assert text.count("| VAE |") == text.count("| pPCA |") == len(heads)
    first = re.search(r"\| model \| Fréchet.*?\n\n", text + "\n\n", re.DOTALL).group()
    assert [line.split("|")[1].strip() for line in first.strip().splitlines()[2:]] == [
        "*real, held out*",
        "VAE",
        "pPCA",
    ]
    assert "**2.00 ± 0.10**" in first
    assert all(f"`{name}`" in text for name in NO_GENERATOR)
