"""The readers' edition: no MyST is left of any chapter, code stays as it is, and each rule does what it says."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from tools.course_pages import number_by_chapter, open_edition
from tools.edition import Bibliography, Book, edition, editions, figure_of, on_colab, parse_file, read_book
from tools.notebooks import normalised, read, tags, text
from tools.project import BOOK, ROOT, CourseError, every_notebook, notebooks
from tools.setup_cell import setup_source

URL = "https://github.com/someone/some-course"
MYST = re.compile(
    r"\{[\w:.-]+\}`|^[ ]*:::|^[ ]*```\{|\$\$[ ]*\([\w-]+\)|^\([\w-]+\)=|^:[\w-]+:|\{cite|:label:",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def book() -> Book:
    return read_book()


@pytest.mark.parametrize("path", every_notebook(), ids=lambda path: path.stem)
def test_a_chapter(path: Path, book: Book) -> None:
    source = normalised(read(path), URL)
    fresh = edition(read(path), path.name, book, URL, on_colab(URL))
    captions = [cell for cell in fresh["cells"] if cell["id"].endswith("-caption")]
    cells = [cell for cell in fresh["cells"] if cell not in captions]
    assert [cell["id"] for cell in cells] == [cell["id"] for cell in source["cells"]]
    assert len(captions) == sum(figure_of(cell) is not None for cell in source["cells"])
    for cell in captions:
        assert re.match(rf"\*\*(Figure|Table) {int(path.name[:2])}\.\d+\.\*\* \S", text(cell))
        assert not MYST.search(text(cell))
    for before, after in zip(source["cells"], cells):
        assert after["metadata"] == before["metadata"]
        if before["cell_type"] == "markdown":
            assert not (found := MYST.search(text(after))), f"{before['id']}: {found[0]!r} is left"
            continue
        title, _, rest = text(after).partition("\n")
        assert text(before) in (text(after), rest)
        folded = after["metadata"].get("jupyter", {}).get("source_hidden", False)
        assert title.startswith("# @title ") or not folded
        if text(before) == rest:
            assert folded and title.startswith("# @title ")


@pytest.mark.parametrize("path", every_notebook(), ids=lambda path: path.stem)
def test_a_plain_renderer_shows_nothing_raw(path: Path, book: Book) -> None:
    """As Colab and GitHub do: CommonMark and tables, formulas left to MathJax."""
    plain = MarkdownIt("commonmark").enable("table")
    for cell in edition(read(path), path.name, book, URL, on_colab(URL))["cells"]:
        if cell["cell_type"] == "markdown":
            page = re.sub(r"\$\$.+?\$\$|\$[^$]+\$", "", plain.render(text(cell)), flags=re.DOTALL)
            page = re.sub(r"<(code|pre)\b.*?</\1>", "", page, flags=re.DOTALL)
            raw = re.search(
                r":::|\{[\w:-]+\}|\]\(|^\([\w-]+\)=|&lt;/?(?:details|summary)|\*\*", page, re.MULTILINE
            )
            assert not raw, f"{cell['id']}: {page[max(0, raw.start() - 40) : raw.end() + 40]!r}"


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.name[:2])
def test_equations_are_numbered_within_the_chapter(path: Path, book: Book) -> None:
    cells = edition(read(path), path.name, book, URL, on_colab(URL))["cells"]
    prose = "\n".join(text(cell) for cell in cells if cell["cell_type"] == "markdown")
    numbers = re.findall(r"\\tag\{([\d.]+)\}\n\$\$", prose)
    chapter = int(path.name[:2])
    assert numbers == [f"{chapter}.{k}" for k in range(1, len(numbers) + 1)]
    source = "\n".join(text(cell) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")
    assert len(numbers) == len(re.findall(r"\$\$ \(", source))
    for label in re.findall(r"\{eq\}`([\w-]+)`", source):
        assert f"({book.numbers[label]})" in prose


@pytest.mark.parametrize("path", every_notebook(), ids=lambda path: path.stem)
def test_the_references_are_the_works_that_the_chapter_cites(path: Path, book: Book) -> None:
    cells = {cell["id"]: cell for cell in read(path)["cells"]}
    source = "\n".join(text(cell) for cell in cells.values() if cell["cell_type"] == "markdown")
    keys = {key for keys in re.findall(r"\{cite:[pt]\}`([^`]+)`", source) for key in keys.split(",")}
    fresh = edition(read(path), path.name, book, URL, on_colab(URL))["cells"]
    listed = re.findall(r"(?m)^- \*\*(.+?) \((\w+)\)\.\*\*", text(fresh[-1]))
    assert sorted(listed) == sorted(book.bibliography.names(key) for key in keys)
    assert len(set(listed)) == len(listed) > 0


def test_titles_of_folded_cells_say_what_they_hide() -> None:
    (content,) = editions(URL, on_colab(URL), [BOOK / "06_vae_trained.ipynb"]).values()
    fresh = json.loads(content)
    first = {cell["id"]: text(cell).splitlines()[0] for cell in fresh["cells"] if cell["cell_type"] == "code"}
    assert first["setup"] == "# @title Setup: run me first"
    assert first["pre-quiz"] == "# @title Quiz"
    assert first["sweep-figure"] == "# @title Figure: code"
    assert first["exercise1-solution"] == "# @title Solution"
    assert sum(line.startswith("# @title") for line in first.values()) == sum(
        bool({"hide-cell", "hide-input", "remove-input"} & set(tags(cell))) for cell in fresh["cells"]
    )


BIB = """
@article{one, author={K{\\H{o}}nig, D{\\'e}nes}, title={On graphs}, journal={A*b}, year={1931}, doi={10.1/x_y}}
@article{two, author={van der Maaten, Laurens and Hinton, Geoffrey}, title={Seeing}, journal={B}, year={2008}}
@misc{three, author={A, B and C, D and E, F}, title={Many}, year={2020}, url={https://example.org/}}
@misc{four, author={A, B and C, D and G, H}, title={More}, year={2020}}
"""


@pytest.fixture
def small(tmp_path: Path) -> Book:
    (tmp_path / "references.bib").write_text(BIB, encoding="utf-8")
    book = Book(Bibliography(parse_file(str(tmp_path / "references.bib"))))
    book.add_page(
        "06_a.ipynb", "(top)=\n# 6. A\n\n$$ y $$\n\n$$\nx\n$$ (eq-x)\n\n:::{exercise} T\n:label: ex-6-1\n:::"
    )
    book.add_page("07_b.ipynb", "# 7. B\n\n(there)=\n## 7.1 There")
    book.add_page("guide.md", "# Guide")
    return book


def plain(source: str, book: Book, **cell: Any) -> str:
    """The edition of one Markdown cell in chapter 6."""
    notebook = {"cells": [{"cell_type": "markdown", "id": "prose", "metadata": {}, "source": source, **cell}]}
    return text(edition(notebook, "06_a.ipynb", book, URL, on_colab(URL))["cells"][0])


COLAB = "https://colab.research.google.com/github/someone/some-course/blob/colab"
RULES = {
    "{cite:p}`one,two`": "(Kőnig, 1931; van der Maaten & Hinton, 2008)",
    "{cite:t}`two` found": "van der Maaten & Hinton (2008) found",
    "{cite:p}`three, four`": "(A et al., 2020a; A et al., 2020b)",
    "see {eq}`eq-x`": "see (6.1)",
    "$$ y $$ and\n\n$$\nx\n$$ (eq-x)\n\nend": "$$ y $$ and\n\n$$\nx\n\\tag{6.1}\n$$\n\nend",
    "(top)=\n# 6. A": "# 6. A",
    "{ref}`there`": f"[7.1 There]({COLAB}/07_b.ipynb)",
    "{ref}`over there <there>`": f"[over there]({COLAB}/07_b.ipynb)",
    "{ref}`top`": "6. A",
    "{numref}`ex-6-1`": "Exercise 6.1",
    "{doc}`07_b`": f"[7. B]({COLAB}/07_b.ipynb)",
    "{term}`code <latent code>`, {math}`x^2`": "code, $x^2$",
    "[next](07_b.ipynb)": f"[next]({COLAB}/07_b.ipynb)",
    "[next](07_b)": f"[next]({COLAB}/07_b.ipynb)",
    "[help](guide.md#guide-help)": f"[help]({URL}/blob/main/book/guide.md)",
    "[out](https://example.org/)": "[out](https://example.org/)",
    ":::{exercise} T\n:nonumber:\n:label: ex-6-1\n\nDo {eq}`eq-x`.\n:::": "**Exercise 6.1. T**\n\nDo (6.1).",
    ":::{note}\na\n\nb\n:::": "> **Note**\n>\n> a\n>\n> b",
    ":::{admonition} Why $x$?\n:class: tip\na\n:::": "> **Why $x$?**\n>\n> a",
    ":::{dropdown} More\na\n:::": "<details><summary>More</summary>\n\na\n\n</details>",
    "::::{note}\n:::{tip}\na\n:::\n::::": "> **Note**\n>\n> > **Tip**\n> >\n> > a",
    ":::{prf:theorem} König\na\n:::": "> **Theorem (König)**\n>\n> a",
    "```{math}\n:label: eq-x\nx\n```": "$$\nx\n\\tag{6.1}\n$$",
    "```python\n:::{note}\n{eq}`x`\n```": "```python\n:::{note}\n{eq}`x`\n```",
    "{cite:p}`one`\n\n```{bibliography}\n:list: bullet\n```": (
        "(Kőnig, 1931)\n\n- **Kőnig (1931).** Dénes Kőnig. On graphs. *A\\*b*, 1931. "
        "[doi:10.1/x\\_y](https://doi.org/10.1/x_y)."
    ),
}


@pytest.mark.parametrize("source", RULES)
def test_each_rule(source: str, small: Book) -> None:
    assert plain(source, small) == RULES[source]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{abbr}`x`", "the role 'abbr', which has no rule"),
        (":::{figure} a.png\n:::", "the directive 'figure', which has no rule"),
        (":::{note}\na", "expected ':::' to end"),
        ("a\n:::", "has MyST without a rule"),
        ("a\n+++\nb", "has MyST without a rule"),
        ("{cite:p}`nobody`", "expected a key of references.bib, found 'nobody'"),
        ("{eq}`eq-y`", "found 'eq-y'"),
        ("{doc}`08_c`", "found '08_c'"),
        ("[x](08_c.ipynb)", "expected a link to a page of the book"),
        ("![x](a.png)", "expected a link to a page of the book"),
    ],
)
def test_what_has_no_rule_is_named_with_its_cell(source: str, message: str, small: Book) -> None:
    with pytest.raises(CourseError, match=r"^06_a\.ipynb: cell 'prose': ") as raised:
        plain(source, small)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_label_belongs_to_one_thing(small: Book) -> None:
    with pytest.raises(CourseError, match="found 'eq-x' twice"):
        small.add_page("08_c.ipynb", "# 8. C\n\n$$ z $$ (eq-x)")


@pytest.mark.parametrize("url", ["https://github.com/OWNER/x", "https://gitlab.com/me/x"])
def test_links_become_words_where_the_address_is_unknown(url: str, small: Book) -> None:
    cells = [
        {"cell_type": "markdown", "id": "prose", "metadata": {}, "source": "the [next](07_b.ipynb) chapter"}
    ]
    fresh = edition({"cells": cells}, "06_a.ipynb", small, url, on_colab(url))
    assert text(fresh["cells"][0]) == "the next chapter"


def test_the_colab_button_opens_the_edition() -> None:
    buttons = [
        {
            "buttons": [
                {
                    "text": "Colab",
                    "url": "https://colab.research.google.com/github/a/b/blob/main/book/06_a.ipynb",
                },
                {"text": "Repository", "url": "https://github.com/a/b/blob/main/book/06_a.ipynb"},
            ]
        },
        {"text": "Print"},
    ]
    open_edition(buttons)
    urls = [entry["url"] for entry in buttons[0]["buttons"]]
    assert urls == [
        on_colab("https://github.com/a/b")("06_a.ipynb"),
        "https://github.com/a/b/blob/main/book/06_a.ipynb",
    ]


def test_the_book_numbers_as_the_edition_does() -> None:
    figures = {
        "book/06_a": {"displaymath": {"equation-y": (24,), "equation-x": (23,)}, "figure": {"f": (3,)}},
        "book/notation": {"displaymath": {"equation-z": (40,)}, "figure": {"g": (17,), "h": (18,)}},
        "book/index": {},
    }
    number_by_chapter(figures)
    assert figures == {
        "book/06_a": {"displaymath": {"equation-x": (6, 1), "equation-y": (6, 2)}, "figure": {"f": (6, 1)}},
        "book/notation": {"displaymath": {"equation-z": (40,)}, "figure": {"g": (1,), "h": (2,)}},
        "book/index": {},
    }


def test_a_downloaded_notebook_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError) as raised:
        exec(setup_source(URL), {})
    said = str(raised.value)
    assert said.startswith("expected the course's library, found none; ") and "\n" not in said
    assert URL in said and "`make lab`" in said and "pip install" in said


def test_the_publishing_workflow_writes_the_branch_that_the_button_opens() -> None:
    workflow = (ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8")
    assert '"$commit:refs/heads/colab"' in workflow
    assert on_colab(URL)("06_a.ipynb").split("/blob/")[1] == "colab/06_a.ipynb"
