"""The built pages and the readers' edition agree, and the download button gives the edition."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.edition import editions, on_colab
from tools.notebooks import read, text
from tools.project import BOOK, every_notebook, notebooks, repository

CHAPTERS = pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.name[:2])


@CHAPTERS
def test_equations_have_the_same_numbers(path: Path, site: Path) -> None:
    page = (site / "book" / f"{path.stem}.html").read_text(encoding="utf-8")
    cells = read(site / "_sources" / "book" / path.name)["cells"]
    prose = "\n".join(text(cell) for cell in cells if cell["cell_type"] == "markdown")
    numbers = re.findall(r'class="eqno">\(([\d.]+)\)', page)
    assert numbers == re.findall(r"\\tag\{([\d.]+)\}", prose)
    referred = re.findall(r'href="#equation-[\w-]+">\(([\d.]+)\)', page)
    assert set(referred) <= set(numbers)


@pytest.mark.parametrize("path", every_notebook(), ids=lambda path: path.stem)
def test_the_download_is_the_edition(path: Path, site: Path) -> None:
    place = path.relative_to(BOOK).as_posix()
    page = (site / "book" / place).with_suffix(".html").read_text(encoding="utf-8")
    up = "../" * (1 + place.count("/"))
    assert f'href="{up}_sources/book/{place}"' in page
    (content,) = editions(repository(), on_colab(repository()), [path]).values()
    assert (site / "_sources" / "book" / place).read_text(encoding="utf-8") == content
