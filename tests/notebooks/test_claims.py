"""The tool that runs the chapters under other conditions: what it reports, and what it lists as close."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tools import claims
from tools.claims import Condition, Recorder, failures, margins, run

CELLS = {
    "sum": "print('seed', seed := __import__('os').environ['COURSE_SEED'])\nassert seed == '0', 'luck'",
    "bound": "value = 3.0\nassert value > 2.9 and value < 300, 'no'",
    "meant": "raise RuntimeError('as the text says')",
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny notebook, run under two conditions; the folder with both copies."""
    folder = tmp_path_factory.mktemp("claims")
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in CELLS.items()]
    cells[-1].metadata["tags"] = [claims.MAY_FAIL]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "01_tiny.ipynb")
    for name, seed in (("native", 0), ("seed-1", 1)):
        (folder / name).mkdir()
        nbformat.write(
            run(folder / "01_tiny.ipynb", Condition(seed=seed))[0], folder / name / "01_tiny.ipynb"
        )
    return folder


def read(folder: Path, condition: str) -> nbformat.NotebookNode:
    return nbformat.read(folder / condition / "01_tiny.ipynb", as_version=4)


def test_a_claim_that_needs_a_seed_fails_under_another(executed: Path) -> None:
    assert failures(read(executed, "native")) == []
    (found,) = failures(read(executed, "seed-1"))
    assert (found.cell, found.error, found.printed) == ("sum", "AssertionError: luck", "seed 1")


def test_the_executed_copy_keeps_the_cells_as_they_were_written(executed: Path) -> None:
    assert [cell.source for cell in read(executed, "native").cells] == list(CELLS.values())


def test_only_the_close_comparison_is_listed(executed: Path) -> None:
    (line,) = margins(executed)
    assert "01 bound: value > 2.9" in line
    assert "native 3 | 2.9; seed-1 3 | 2.9" in line


def test_a_kernel_that_dies_is_a_failure_of_its_cell(tmp_path: Path) -> None:
    sources = {"fine": "print('here')", "deadly": "import os\nos._exit(1)", "after": "pass"}
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in sources.items()]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_dies.ipynb")
    (found,) = failures(run(tmp_path / "01_dies.ipynb", Condition())[0])
    assert (found.cell, found.error.split(":")[0]) == ("deadly", "DeadKernelError")


def test_recording_changes_no_result() -> None:
    recorder = Recorder()
    source = "xs = [1, 5]\nassert 0 < xs[0] <= 1 and all(x < 6 for x in xs)\nassert not xs[1] < 2"
    source += "\nassert (array < 2).any()"  # it selects: no bound
    tree = recorder.visit(ast.parse(source))
    exec(compile(tree, "cell", "exec"), {claims.WATCH: recorder, "array": np.arange(3)})
    slack = {text: values[0] for (_, text), values in recorder.found.items()}
    assert slack == {"0 < xs[0] <= 1": 1.0, "x < 6": 6 / 5, "xs[1] < 2": 2 / 5}


def test_slack_says_how_far_the_sides_are_apart() -> None:
    assert claims._slack(1e-6, 1e-4, "Lt") == pytest.approx(100)
    assert claims._slack(3.0, 2.0, "Gt") == pytest.approx(1.5)
    assert claims._slack(-0.95, -0.9, "Lt") == pytest.approx(0.95 / 0.9)
    assert claims._slack(-1.0, 2.0, "Lt") == math.inf
    assert claims._slack(3.0, 2.0, "Lt") < 1


def test_a_chapter_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        claims.main(["--chapters", "99"])
    assert "99" in capsys.readouterr().err
