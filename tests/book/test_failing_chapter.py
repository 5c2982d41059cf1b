"""A chapter whose cell fails still has its page, which says so; the sound ones are kept and stay as they are."""

from __future__ import annotations

import ast
import io
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import build_book, execute, show_claims
from tools.build_book import build_site, execute_all, failing_cells
from tools.execute import Executed, Failure

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def write(path: Path, *cells: nbformat.NotebookNode, title: str) -> None:
    """A chapter with a title and the given cells."""
    path.parent.mkdir(exist_ok=True)
    opening = new_markdown_cell(f"({title.lower()})=\n# {title}\n\nA promise.", id="opening")
    nbformat.write(new_notebook(cells=[opening, *cells], metadata=KERNEL), path)


def code(name: str, source: str, *tags: str) -> nbformat.NotebookNode:
    return new_code_cell(source, id=name, metadata={"tags": list(tags)} if tags else {})


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two chapters: Bad claims that 2 + 2 < 3 in a folded cell; Good counts how often it was run."""
    root = tmp_path_factory.mktemp("tiny")
    write(
        root / "book" / "bad.ipynb",
        code("fine", "fine = 1\nprint('before the failure')"),
        code("wrong", "assert 2 + 2 < 3\nnever = 2", "remove-output", "hide-input"),
        code("missing", "never + 1"),
        code("missing-too", "never + 2"),
        code("on-purpose", "1 / 0", "raises-exception"),
        code("after", "print('after', 'the', 'failure')"),
        title="Bad",
    )
    count = root / "runs.txt"
    write(
        root / "book" / "good.ipynb",
        code(
            "count", f"with open({str(count)!r}, 'a') as file:\n    file.write('x')\nprint('sound', 'result')"
        ),
        title="Good",
    )
    top = Path(build_book.__file__).parents[1]
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters: [{file: book/bad}, {file: book/good}]\n"
    )
    (root / "index.md").write_text("# Start\n")
    (root / "_config.yml").write_text(
        "title: t\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
        f"sphinx: {{local_extensions: {{tools.course_pages: {top}}}, extra_extensions: [sphinx.ext.autodoc]}}\n"
    )
    return root


def build(root: Path) -> list[Executed]:
    """What main() does with a folder, without the leaderboard."""
    files = sorted((root / "book").glob("*.ipynb"))
    failed = execute_all(files, root / "_build" / "executed", "key", root / "_build" / "logs" / "kernels.log")
    build_site(root)
    return failed


@pytest.fixture(scope="module")
def built(book: Path) -> list[Executed]:
    return build(book)


def page(book: Path, name: str) -> str:
    """The text of a page, without markup."""
    html = (book / "_build" / "html" / "book" / f"{name}.html").read_text()
    return " ".join(re.sub(r"<[^>]*>", "", html).split())


def test_both_pages_are_there_and_the_failing_one_says_what_was_claimed_and_what_came(
    book: Path, built: list[Executed]
) -> None:
    claim = "AssertionError: claimed 2 + 2 &lt; 3; found 2 + 2 = 4"
    bad = page(book, "bad")
    # In the box at the top, and in the cell's own output although the cell is folded and its output removed.
    assert bad.count(claim) == 2
    assert bad.index("Not everything on this page holds") < bad.index(claim) < bad.index("A promise.")
    assert "2 more failed for a name that an earlier cell should have defined" in bad
    assert "before the failure" in bad
    assert "after the failure" in bad
    good = page(book, "good")
    assert "sound result" in good
    assert "holds on the machine" not in good


def test_the_box_links_to_the_cell(book: Path, built: list[Executed]) -> None:
    html = (book / "_build" / "html" / "book" / "bad.html").read_text()
    link = re.search(r'href="#([^"]*)"[^>]*>(?:<[^>]*>)*The cell', html)
    assert link
    place = html.index(f'id="{link[1]}"')
    assert html.index("before the failure") < place < html.index("never")


def test_the_list_names_the_cause_and_counts_what_follows(built: list[Executed]) -> None:
    assert failing_cells(built) == (
        "  bad.ipynb, cell wrong: AssertionError: claimed 2 + 2 < 3; found 2 + 2 = 4\n"
        "  bad.ipynb: 2 more missed a name, the first is missing"
    )


def test_the_sound_notebook_is_kept_and_the_failing_one_runs_again(
    book: Path, built: list[Executed], capsys: pytest.CaptureFixture[str]
) -> None:
    source = book / "book" / "good.ipynb"
    notebook = nbformat.read(source, as_version=4)
    notebook.cells[0].source += " Reworded."
    nbformat.write(notebook, source)
    assert [result.name for result in build(book)] == ["bad.ipynb"]
    assert (book / "runs.txt").read_text() == "x"
    assert "executed (1 of 2 kept)" in capsys.readouterr().out
    assert "Reworded." in page(book, "good")
    assert "sound result" in page(book, "good")


@pytest.mark.parametrize("change", ["code", "key"])
def test_other_code_or_another_key_is_another_run(change: str, tmp_path: Path) -> None:
    path = tmp_path / "book" / "a.ipynb"
    write(path, code("one", "1"), title="A")
    before = execute.notebook_key(nbformat.read(path, as_version=4), "key")
    write(path, code("one", "2" if change == "code" else "1"), title="A")
    after = execute.notebook_key(nbformat.read(path, as_version=4), "other" if change == "key" else "key")
    assert before != after


def test_a_kernel_that_ends_leaves_an_error_where_it_did(tmp_path: Path) -> None:
    path = tmp_path / "book" / "dead.ipynb"
    cells = [code("one", "1"), code("dies", "import os; os._exit(1)"), code("never", "3")]
    write(path, *cells, title="Dead")
    notebook = execute.run(path, (tmp_path / "log").open("w"))
    assert list(execute.failures(notebook)) == [
        Failure(
            "dies",
            "DeadKernelError: expected a result, the cell ended its kernel (too little memory?); "
            "the cells after it did not run",
        )
    ]
    assert notebook.cells[1].outputs[0].data["text/plain"] == "1"


def test_a_cell_that_hangs_ends_its_chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "CELL_TIMEOUT", 1)
    path = tmp_path / "book" / "slow.ipynb"
    write(path, code("hangs", "import time; time.sleep(60)"), title="Slow")
    notebook = execute.run(path, (tmp_path / "log").open("w"))
    (failure,) = execute.failures(notebook)
    assert failure.cell == "hangs"
    assert failure.line.startswith("TimeoutError: expected a result, the cell took longer than 1 s")


@pytest.mark.parametrize("deaths", [1, execute.KERNEL_STARTS])
def test_a_kernel_that_does_not_start_is_started_again(
    deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "book" / "a.ipynb"
    write(path, code("one", "1"), title="A")
    tries = []

    def unlucky(notebook: nbformat.NotebookNode, folder: Path, log: Any) -> None:
        tries.append(1)
        if len(tries) <= deaths:
            raise RuntimeError("the kernel did not start: port taken")

    monkeypatch.setattr(execute, "_kernel_run", unlucky)
    found = list(execute.failures(execute.run(path, io.StringIO())))
    if deaths == 1:
        assert (len(tries), found) == (2, [])
    else:
        assert found == [Failure("one", "RuntimeError: the kernel did not start: port taken")]


def test_main_lists_the_failures_and_returns_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the site built all the same."""
    result = Executed("bad.ipynb", (Failure("wrong", "AssertionError: claimed 2 < 1"),), 1.0)
    sites = []
    monkeypatch.setattr(build_book, "VENDOR", tmp_path)
    monkeypatch.setattr(build_book, "execution_key", lambda: "key")
    monkeypatch.setattr(build_book, "prepare_leaderboard", lambda: None)
    monkeypatch.setattr(build_book, "prepare_zoo", lambda: None)
    monkeypatch.setattr(build_book, "execute_all", lambda *_: [result])
    monkeypatch.setattr(build_book, "build_site", lambda: sites.append(1))
    assert build_book.main() == 1
    assert sites == [1]
    assert "bad.ipynb, cell wrong: AssertionError: claimed 2 < 1" in capsys.readouterr().err
    monkeypatch.setattr(build_book, "execute_all", lambda *_: [])
    assert build_book.main() == 0


def said(source: str) -> str:
    """What the rewritten assertion says when it fails."""
    tree = ast.fix_missing_locations(show_claims.Claims().visit(ast.parse(source)))
    with pytest.raises(AssertionError) as caught:
        exec(compile(tree, "cell", "exec"), show_claims.reporter())
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 6.2e-4\nassert x < 1e-4", "claimed x < 0.0001; found x = 0.00062"),
        ("assert 1 < 2 * 2 < 3", "claimed 1 < 2 * 2 < 3; found 2 * 2 = 4"),
        ("a, b = 1, 2\nassert a < b and b < a", "claimed a < b and b < a; found a = 1, b = 2"),
        ("assert all(k < 2 for k in range(9))", "claimed all((k < 2 for k in range(9))); found k = 2"),
        ("import math\nx = 1.5\nassert math.isclose(x, 2)", "claimed math.isclose(x, 2); found x = 1.5"),
        ("right = False\nassert right, 'why'", "why; claimed right"),
        ("assert 1 < 2\nassert len('ab') == 3", "claimed len('ab') == 3; found len('ab') = 2"),
        (
            "import torch\nassert torch.tensor(0.5) > 1",
            "claimed torch.tensor(0.5) > 1; found torch.tensor(0.5) = 0.5",
        ),
        (
            "import numpy as np\nx = np.arange(20.0)\nassert (x < 5).all()",
            "claimed (x < 5).all(); found x = ndarray of shape (20,), 0 to 19",
        ),
    ],
)
def test_a_failing_assertion_says_what_was_claimed_and_what_came(source: str, expected: str) -> None:
    assert said(source) == expected


def test_what_a_claim_compares_is_evaluated_once() -> None:
    draws = "from itertools import count\ndraw = count().__next__\nassert draw() > 0"
    assert said(draws).endswith("found draw() = 0")


def test_values_of_a_claim_that_holds_are_let_go() -> None:
    functions = show_claims.reporter()
    tree = show_claims.Claims().visit(ast.parse("assert value() == 1"))
    kept = functions[show_claims.NOTE].__closure__[0].cell_contents
    exec(compile(tree, "cell", "exec"), {**functions, "value": lambda: 1})
    assert kept == {}
