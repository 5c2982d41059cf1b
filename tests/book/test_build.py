"""The build: what it must refuse, what it may keep, and what it wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tools import build_book
from tools.build_book import build_site, execution_key
from tools.project import EXECUTED, CourseError, every_notebook


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
    """The chapters and appendices as the build ran them."""
    for path in every_notebook():
        kept = EXECUTED / path.name
        assert kept.is_file(), (
            f"{path.name}: expected it executed in {EXECUTED}, found nothing; run `make book`"
        )
        yield path.name, nbformat.read(kept, as_version=4)


def undescribed(cells: list[dict]) -> list[str]:
    """Ids of the cells whose outputs hold a picture that their metadata do not describe."""
    found = []
    for cell in cells:
        pictures = [
            o for o in cell.get("outputs", []) if any(k.startswith("image/") for k in o.get("data", {}))
        ]
        alt = cell.get("metadata", {}).get("mystnb", {}).get("image", {}).get("alt", "")
        if pictures and len(alt) < 20:
            found.append(cell["id"])
    return found


def test_every_figure_has_a_description_in_its_cell(site: Path) -> None:
    for name, notebook in executed():
        assert undescribed(notebook.cells) == [], name


def test_an_undescribed_figure_is_found() -> None:
    picture = {"outputs": [{"output_type": "display_data", "data": {"image/png": ""}}]}
    long = {"mystnb": {"image": {"alt": "A histogram of the pixel values of all digits"}}}
    cells = [{"id": "a", **picture}, {"id": "b", **picture, "metadata": long}, {"id": "c"}]
    assert undescribed(cells) == ["a"]


def test_the_site_is_ready_for_publishing(site: Path) -> None:
    assert (site / ".nojekyll").is_file()
    assert (site / "_static" / "vendor" / "mathjax" / "tex-chtml-full.js").is_file()
    assert not list(site.rglob("axe*.js"))
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    assert size < 60e6, f"expected a site below 60 MB, found {size / 1e6:.0f} MB"
