"""The build: what it must refuse, what it may keep, and what it wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_cache.executors import load_executor
from jupyter_cache.executors.base import ExecutorRunResult
from nbformat.v4 import new_code_cell, new_notebook

from tools import build_book
from tools.build_book import CACHE, build_site, execute, execution_key, prepare_cache
from tools.notebooks import read
from tools.project import CourseError, notebooks


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """As little of a course as the key looks at."""
    for name in (
        "src/course_lib/a.py",
        "data/mnist/x.gz",
        "book/quizzes/01.json",
        "requirements.txt",
        "constraints.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["src/course_lib/a.py", "data/mnist/x.gz", "book/quizzes/01.json", "constraints.txt"]
)
def test_the_key_follows_every_source(name: str, tree: Path) -> None:
    before = execution_key(tree)
    assert execution_key(tree) == before
    (tree / name).write_text("2")
    assert execution_key(tree) != before


def test_the_key_follows_budget_and_large_files(tree: Path) -> None:
    assert execution_key(tree, "gpu") != execution_key(tree, "cpu")
    (tree / "data" / "big").write_bytes(bytes(2_000_000))
    before = execution_key(tree)
    os.utime(tree / "data" / "big", (1, 1))
    assert execution_key(tree) != before


def test_the_cache_goes_when_the_key_does(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert not prepare_cache(folder, "one")
    (folder / "kept").touch()
    assert prepare_cache(folder, "one")
    assert (folder / "kept").exists()
    assert not prepare_cache(folder, "two")
    assert not (folder / "kept").exists()


def test_a_failing_notebook_ends_the_build(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.ipynb"
    cells = [new_code_cell("fine = 1"), new_code_cell("wrong = fine / 0")]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    with pytest.raises(CourseError, match=r"bad\.ipynb failed"):
        execute([path], tmp_path / "cache")
    shown = capfd.readouterr().err
    assert "wrong = fine / 0" in shown
    assert "ZeroDivisionError" in shown


@pytest.mark.parametrize("deaths", [1, 99])
def test_a_kernel_that_died_at_its_start_is_started_again(
    deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What jupyter-cache calls errored is no fault of the notebook: two kernels may choose the same port."""
    path = tmp_path / "good.ipynb"
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_code_cell("1 + 1")], metadata=metadata), path)
    runs = []

    class Unlucky:
        def __init__(self, cache: object) -> None:
            self.real = load_executor("local-serial", cache)

        def run_and_cache(self, timeout: float) -> ExecutorRunResult:
            runs.append(timeout)
            if len(runs) <= deaths:
                return ExecutorRunResult(succeeded=[], excepted=[], errored=[str(path)])
            return self.real.run_and_cache(timeout=timeout)

    monkeypatch.setattr("jupyter_cache.executors.load_executor", lambda name, cache: Unlucky(cache))
    if deaths == 1:
        execute([path], tmp_path / "cache")
        assert len(runs) == 2
    else:
        with pytest.raises(CourseError, match=r"good\.ipynb failed"):
            execute([path], tmp_path / "cache")


@pytest.mark.parametrize(
    "text", ["# Page\n\n{ref}`nowhere`\n", "# Page\n\n[a](missing.md)\n", "# Page\n\n{doc}`none`\n"]
)
def test_a_warning_ends_the_build(text: str, tmp_path: Path) -> None:
    (tmp_path / "_config.yml").write_text(
        "title: t\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
    )
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(CourseError, match="without warnings"):
        build_site(tmp_path)


def test_a_missing_asset_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build_book, "VENDOR", Path("nowhere"))
    assert build_book.main() == 1
    assert (
        "nowhere: expected the front-end assets, found nothing; run `make install`" in capsys.readouterr().err
    )


def executed() -> Iterator[tuple[str, nbformat.NotebookNode]]:
    """The chapters as the build ran them."""
    from jupyter_cache import get_cache

    cache = get_cache(str(CACHE))
    for path in notebooks():
        record = cache.get_cached_project_nb(str(path))
        assert record is not None, f"{path.name}: expected it in the cache of the build; run `make book`"
        yield path.name, cache.get_cache_bundle(record.pk).nb


def undescribed(cells: list[dict], sources: list[dict]) -> list[str]:
    """Ids of the cells whose outputs hold a picture that their metadata do not describe."""
    found = []
    for cell, source in zip(cells, sources, strict=True):
        pictures = [
            o for o in cell.get("outputs", []) if any(k.startswith("image/") for k in o.get("data", {}))
        ]
        alt = source.get("metadata", {}).get("mystnb", {}).get("image", {}).get("alt", "")
        if pictures and len(alt) < 20:
            found.append(source["id"])
    return found


def test_every_figure_has_a_description_in_its_cell(site: Path) -> None:
    for (name, notebook), path in zip(executed(), notebooks(), strict=True):
        # The cache keeps a notebook's code cells only.
        sources = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]
        assert undescribed(notebook.cells, sources) == [], name


def test_an_undescribed_figure_is_found() -> None:
    cell = {"outputs": [{"output_type": "display_data", "data": {"image/png": ""}}]}
    long = {"mystnb": {"image": {"alt": "A histogram of the pixel values of all digits"}}}
    assert undescribed([cell, cell, {}], [{"id": "a"}, {"id": "b", "metadata": long}, {"id": "c"}]) == ["a"]


def test_the_site_is_ready_for_publishing(site: Path) -> None:
    assert (site / ".nojekyll").is_file()
    assert (site / "_static" / "vendor" / "mathjax" / "tex-chtml-full.js").is_file()
    assert not list(site.rglob("axe*.js"))
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    assert size < 60e6, f"expected a site below 60 MB, found {size / 1e6:.0f} MB"
