"""The readers' edition of a chapter: the committed notebook without what only the book's build understands.

Colab, GitHub and JupyterLab show Markdown, not MyST. Here citations become names and years, references become numbers
and titles, directives become plain Markdown, and folded code gets the title that Colab shows in its place. Code itself
and cell ids stay as they are. A construct that has no rule is an error that names the cell: write a rule, or write it
plainly.

``python -m tools.edition FOLDER`` writes the edition for Colab and for downloads; ``make lab`` opens another one, whose
links lead to files on this computer.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pybtex.backends import markdown, plaintext
from pybtex.database import BibliographyData, Entry, Person, parse_file
from pybtex.richtext import Text
from pybtex.style.formatting.unsrt import Style

from tools.notebooks import FOLDED, dumps, normalised, read, tags, text
from tools.project import BOOK, CourseError, address_is_set, every_notebook, repository
from tools.setup_cell import CELL_ID

Notebook = dict[str, Any]
# From a page of the book (its file's name) to where a reader of this edition finds it; None where that is unknown.
Addresses = Callable[[str], str | None]

BRANCH = "colab"  # where the publishing workflow puts this edition, and the Colab button looks for it
TITLE = "# @title "

_TARGET = re.compile(r"^\(([\w-]+)\)=[ ]*\n", re.MULTILINE)
# All displayed equations, labelled or not, so that none begins where another ends.
_EQUATION = re.compile(r"\$\$(?P<body>.+?)\$\$(?:[ ]*\((?P<label>[\w-]+)\))?", re.DOTALL)
_OPENING = re.compile(r"(?P<fence>:{3,}|`{3,})\{(?P<name>[\w:.-]+)\}[ ]*(?P<title>.*)")
_OPTION = re.compile(r":([\w-]+):[ ]*(.*)")
_ROLE = re.compile(r"\{(?P<name>[\w:.-]+)\}`(?P<body>[^`]+)`")
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+)\)")
# Anything of MyST that the rules below should have taken away.
LEFT = re.compile(r"\{[\w:.-]+\}`|^[ ]*:{3,}|^[ ]*`{3,}\{|^\([\w-]+\)=[ ]*$|^\+\+\+", re.MULTILINE)

ADMONITIONS = (
    "attention",
    "caution",
    "danger",
    "error",
    "hint",
    "important",
    "note",
    "seealso",
    "tip",
    "warning",
)


class _Markdown(markdown.Backend):
    """Entries of the bibliography with as few backslashes as Markdown needs."""

    def format_str(self, string: str) -> str:
        """Escape only what would be read as emphasis, code or a link."""
        return re.sub(r"([\\`*_\[\]])", r"\\\1", string)


def _surname(person: Person) -> str:
    """A person's family name in Unicode, with its particles: "van der Maaten"."""
    return Text.from_latex(" ".join(person.prelast_names + person.last_names)).render(
        plaintext.Backend("utf-8")
    )


def _authors(entry: Entry) -> str:
    """Whom a citation names: one author, two, or the first "et al."."""
    people = entry.persons.get("author") or entry.persons["editor"]
    names = [_surname(person) for person in people]
    return f"{names[0]} et al." if len(names) > 2 else " & ".join(names)


class Bibliography:
    """Citations by author and year, and the list of works that belongs to them."""

    def __init__(self, data: BibliographyData) -> None:
        """Works of the same authors and year are told apart by a letter."""
        self.data = data
        alike = defaultdict(list)
        for key, entry in data.entries.items():
            alike[_authors(entry), entry.fields["year"]].append(key)
        self._names = {
            key: (who, year + ("abcdefgh"[place] if len(keys) > 1 else ""))
            for (who, year), keys in alike.items()
            for place, key in enumerate(keys)
        }

    def names(self, key: str) -> tuple[str, str]:
        """Authors and year of a work; a key that the bibliography lacks is an error."""
        if key not in self._names:
            raise CourseError(f"expected a key of references.bib, found {key!r}")
        return self._names[key]

    def cite(self, keys: list[str], *, textual: bool) -> str:
        """`Kingma & Welling (2014)` within a sentence, `(Kingma & Welling, 2014)` beside it."""
        named = [self.names(key) for key in keys]
        if textual:
            return "; ".join(f"{who} ({year})" for who, year in named)
        return f"({'; '.join(f'{who}, {year}' for who, year in named)})"

    def references(self, keys: set[str]) -> str:
        """A Markdown list of the works, in the order of their authors."""
        ordered = sorted(keys, key=lambda key: (self.names(key)[0].lower(), self.names(key)[1]))
        formatted = Style().format_entries([self.data.entries[key] for key in ordered], self.data)
        works = (re.sub(r"\s+", " ", work.text.render(_Markdown("utf-8"))) for work in formatted)
        return "\n".join(
            "- **{} ({}).** {}".format(*self.names(key), work)
            for key, work in zip(ordered, works, strict=True)
        )


@dataclass
class Book:
    """What a chapter may refer to: numbers, titles and the bibliography."""

    bibliography: Bibliography
    numbers: dict[str, str] = field(default_factory=dict)  # label of an equation or exercise -> "6.3"
    captions: dict[str, str] = field(default_factory=dict)  # name of a captioned output -> "Figure 6.3"
    sections: dict[str, tuple[str, str]] = field(default_factory=dict)  # label of a heading -> (page, title)
    pages: dict[str, str] = field(default_factory=dict)  # file's name -> title

    def add_page(self, name: str, prose: str, figures: Sequence[dict[str, Any]] = ()) -> None:
        """Collect a page's title, labelled headings, equations, exercises, figures; numbers count within the chapter.

        `figures` are the captioned outputs of its cells in order, as ``mystnb.figure`` describes them.
        """
        chapter = name[:2].lstrip("0")
        heading = re.search(r"^# (.+)$", prose, re.MULTILINE)
        self.pages[name] = heading[1].strip() if heading else name
        for label, title in re.findall(r"^\(([\w-]+)\)=[ ]*\n+#+ (.+)$", prose, re.MULTILINE):
            self.sections[label] = (name, title.strip())
        equations = [match["label"] for match in _EQUATION.finditer(prose) if match["label"]]
        exercises = re.findall(r"^:{3,}\{exercise\}.*\n(?::[\w-]+:.*\n)*?:label: (\S+)", prose, re.MULTILINE)
        for labels in (equations, exercises):
            for number, label in enumerate(labels, 1):
                if label in self.numbers:
                    raise CourseError(
                        f"{name}: expected labels of their own, found {label!r} twice; rename one"
                    )
                self.numbers[label] = f"{chapter}.{number}"
        count = Counter()
        for figure in figures:
            count[word := kind_of(figure)] += 1
            if "name" in figure:
                self.captions[figure["name"]] = f"{word} {chapter}.{count[word]}"


def figure_of(cell: dict[str, Any]) -> dict[str, Any] | None:
    """How a cell's output is captioned in the book, if it is."""
    figure = cell.get("metadata", {}).get("mystnb", {}).get("figure", {})
    return figure if "caption" in figure else None


def kind_of(figure: dict[str, Any]) -> str:
    """Figures and tables are counted apart."""
    return "Table" if figure.get("classes") == "table" else "Figure"


def _keys(body: str) -> list[str]:
    """The works that one citation names."""
    return [key.strip() for key in body.split(",")]


def _prose(notebook: Notebook) -> str:
    """All Markdown of a notebook."""
    return "\n\n".join(text(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def read_book(folder: Path = BOOK) -> Book:
    """Collect the labels of all pages and the bibliography."""
    book = Book(Bibliography(parse_file(str(folder / "references.bib"))))
    pages = [*folder.glob("*.ipynb"), *folder.glob("*.md"), *folder.glob("appendix/*.ipynb")]
    for path in sorted(pages, key=lambda path: path.name):
        if not path.name.startswith("."):
            if path.suffix == ".ipynb":
                notebook = read(path)
                book.add_page(
                    path.name, _prose(notebook), list(filter(None, map(figure_of, notebook["cells"])))
                )
            else:
                book.add_page(path.name, path.read_text(encoding="utf-8"))
    return book


@dataclass
class _Chapter:
    """The rules, with what they need to know of one chapter."""

    name: str
    book: Book
    address: Addresses
    cited: set[str]  # in the whole chapter

    def plain(self, prose: str) -> str:
        """A piece of MyST as plain Markdown: blocks first, then what stands within lines."""
        lines = prose.split("\n")
        done: list[str] = []
        words: list[str] = []
        while lines:
            line = lines.pop(0)
            opening = _OPENING.fullmatch(line.rstrip())
            if not opening and not re.match(r"`{3,}", line):
                words.append(line)
                continue
            fence = opening["fence"] if opening else re.match(r"`+", line)[0]
            if fence not in (stripped := [other.rstrip() for other in lines]):
                raise CourseError(f"expected {fence!r} to end what begins with {line!r}, found no such line")
            end = stripped.index(fence)
            body, closing, lines = lines[:end], lines[end], lines[end + 1 :]
            done.append(self._within(words))
            words = []
            done.append(
                self._directive(opening["name"], opening["title"].strip(), body)
                if opening
                else "\n".join([line, *body, closing])
            )
        return "\n".join(piece for piece in [*done, self._within(words)] if piece is not None)

    def _directive(self, name: str, title: str, body: list[str]) -> str:
        """One block with its rule; `body` still has its options."""
        options = {}
        while body and (option := _OPTION.fullmatch(body[0].rstrip())):
            options[option[1]] = option[2].strip()
            body = body[1:]
        content = "\n".join(body).strip("\n")
        if name == "bibliography":
            return self.book.bibliography.references(self.cited)
        if name == "math":
            label = f" ({options['label']})" if "label" in options else ""
            return self.plain(f"$$\n{content}\n$${label}")
        inner, title = self.plain(content), self.plain(title)
        if name == "exercise":
            return f"**Exercise {self.book.numbers[options['label']]}. {title}**\n\n{inner}"
        if name == "dropdown":
            return f"<details><summary>{title}</summary>\n\n{inner}\n\n</details>"
        if name == "admonition":
            return _quote(title, inner)
        if name in ADMONITIONS:
            heading = "See also" if name == "seealso" else name.capitalize()
            return _quote(heading, f"{title}\n\n{inner}" if title else inner)
        if name.startswith("prf:"):
            kind = name.removeprefix("prf:").capitalize()
            return _quote(f"{kind} ({title})" if title else kind, inner)
        raise CourseError(f"has the directive {name!r}, which has no rule in tools/edition.py; add one")

    def _within(self, lines: list[str]) -> str | None:
        """Everything that is not a block of its own: targets, equations, roles, links."""
        if not lines:
            return None
        prose = _TARGET.sub("", "\n".join(lines) + "\n")[:-1]
        prose = _EQUATION.sub(self._equation, prose)
        prose = _ROLE.sub(self._role, prose)
        prose = _LINK.sub(self._link, prose)
        if left := LEFT.search(prose):
            near = prose[left.start() :].splitlines()[0][:60]
            raise CourseError(
                f"has MyST without a rule in tools/edition.py, {near!r}; add a rule or write it plainly"
            )
        return prose

    def _equation(self, match: re.Match[str]) -> str:
        if not match["label"]:
            return match[0]
        return f"$${match['body'].rstrip()}\n\\tag{{{self.book.numbers[match['label']]}}}\n$$"

    def _role(self, match: re.Match[str]) -> str:
        name, body = match["name"], match["body"].strip()
        if name in ("cite:p", "cite:t"):
            return self.book.bibliography.cite(_keys(body), textual=name == "cite:t")
        if name == "math":
            return f"${body}$"
        if name == "term":
            return re.sub(r"\s*<[^<>]*>$", "", body)
        if name in ("ref", "numref", "doc", "eq"):
            explicit = re.fullmatch(r"(.+?)\s*<([^<>]+)>", body, re.DOTALL)
            wording, label = (explicit[1], explicit[2]) if explicit else ("", body)
            return self._reference(name, wording, label)
        raise CourseError(f"has the role {name!r}, which has no rule in tools/edition.py; add one")

    def _reference(self, role: str, wording: str, label: str) -> str:
        """A number where the label has one, else the title of what it names, as a link where that leads anywhere."""
        if label in self.book.captions:
            return self.book.captions[label]
        if label in self.book.numbers:
            number = self.book.numbers[label]
            return wording or (f"Exercise {number}" if label.startswith("ex-") else f"({number})")
        if role == "doc":
            page = next((page for page in self.book.pages if Path(page).stem == Path(label).stem), "")
            title = self.book.pages.get(page)
        else:
            page, title = self.book.sections.get(label, ("", None))
        if title is None:
            raise CourseError(f"expected a label of the book in {{{role}}}, found {label!r}")
        return self._linked(wording or title, page)

    def _linked(self, words: str, page: str) -> str:
        address = None if page == self.name else self.address(page)
        return f"[{words}]({address})" if address else words

    def _link(self, match: re.Match[str]) -> str:
        """Links to the book's pages lead to where this edition has them; others stay."""
        path, _, label = match["target"].partition("#")
        if re.match(r"[a-z]+:", match["target"]):
            return match[0]
        if not path:
            return self._reference("ref", match["text"], label)
        page = Path(path).name if Path(path).suffix else f"{Path(path).name}.ipynb"
        if match["image"] or page not in self.book.pages:
            raise CourseError(f"expected a link to a page of the book, found {match['target']!r}")
        return self._linked(match["text"] or self.book.pages[page], page)


def _quote(title: str, body: str) -> str:
    """A block that stands apart, in plain Markdown."""
    return "\n".join(f"> {line}".rstrip() for line in [f"**{title}**", "", *body.split("\n")])


def title_of(cell: dict[str, Any]) -> str:
    """What stands in place of a folded cell."""
    if cell["id"] == CELL_ID:
        return "Setup: run me first"
    if "quiz.ask(" in text(cell):
        return "Quiz"
    if {"predict", "check"} & set(tags(cell)):
        return "Question"
    if "checks" in tags(cell):
        return "Checks"
    if "solution" in tags(cell):
        return "Solution"
    return "Figure: code" if cell["id"].endswith("-figure") else "Code"


def edition(notebook: Notebook, name: str, book: Book, url: str, address: Addresses) -> Notebook:
    """The readers' edition of the chapter `name`; `url` is the repository that its setup cell fetches.

    Raises a CourseError of one line, with chapter and cell, for MyST that no rule covers and labels that lead nowhere.
    """
    fresh = normalised(notebook, url)
    roles = _ROLE.finditer(_prose(fresh))
    cited = {key for role in roles if role["name"].startswith("cite:") for key in _keys(role["body"])}
    chapter = _Chapter(name, book, address, cited)
    cells, count = [], Counter()
    for cell in fresh["cells"]:
        source = text(cell)
        cells.append(cell)
        if figure := figure_of(cell):
            count[word := kind_of(figure)] += 1
            caption = f"**{word} {name[:2].lstrip('0')}.{count[word]}.** {chapter.plain(figure['caption'])}"
            cells.append(
                {
                    "cell_type": "markdown",
                    "id": f"{cell['id']}-caption"[:64],
                    "metadata": {},
                    "source": [caption],
                }
            )
        if cell["cell_type"] == "markdown":
            try:
                source = chapter.plain(source)
            except CourseError as error:
                raise CourseError(f"{name}: cell {cell['id']!r}: {error}") from None
        elif FOLDED & set(tags(cell)) and not source.startswith(TITLE):
            if source.startswith("%%"):
                raise CourseError(
                    f"{name}: cell {cell['id']!r}: expected no cell magic in folded code, found one"
                )
            source = f"{TITLE}{title_of(cell)}\n{source}"
        cell["source"] = source.splitlines(keepends=True)
    fresh["cells"] = cells
    return fresh


def on_colab(url: str) -> Addresses:
    """Chapters open in Colab, other pages in the repository; nowhere while the repository's address is not set."""
    owner_and_name = url.removeprefix("https://github.com/")
    if owner_and_name == url or not address_is_set(url):
        return lambda page: None

    def address(page: str) -> str:
        if page.endswith(".ipynb"):
            return f"https://colab.research.google.com/github/{owner_and_name}/blob/{BRANCH}/{page}"
        return f"{url}/blob/main/book/{page}"

    return address


def editions(url: str, address: Addresses, files: list[Path] | None = None) -> dict[str, str]:
    """File name and content of each chapter's edition."""
    book = read_book()
    return {
        path.name: dumps(edition(read(path), path.name, book, url, address))
        for path in (files or every_notebook())
    }


def write(folder: Path, *, as_in_book: bool = False) -> None:
    """Write the edition for Colab and downloads into a folder: side by side, or in folders as the book has them."""
    url = repository()
    content = editions(url, on_colab(url))
    for path in every_notebook():
        target = folder / (path.relative_to(BOOK) if as_in_book else path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content[path.name], encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Write all chapters' editions into the given folder."""
    parser = argparse.ArgumentParser(prog="python -m tools.edition", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    try:
        write(parser.parse_args(arguments).folder)
    except (CourseError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
