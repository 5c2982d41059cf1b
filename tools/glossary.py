"""Sphinx extension: the glossary's page and the links that lead to it, both made from `book/appendix/glossary.yml`.

The directives ``course-glossary`` and ``course-glossary-hungarian`` list the entries by their English and by their
Hungarian names. In each chapter the first use of a term becomes a link to its entry: its bold definition if there is
one, else its mention in the first paragraph of the running text that has no such link yet. The link carries the
definition and the Hungarian term, so that `course.js` can show them beside the word; without the script it is a link.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx import addnodes

from tools.project import BOOK, CourseError

SOURCE = BOOK / "appendix" / "glossary.yml"
PAGE = "book/appendix/glossary"
# Hungarian letters that stand behind those that they begin with; long vowels stand with the short ones.
OWN_LETTERS = {
    **{pair: f"{pair[0]}\ufffe" for pair in ("cs", "dz", "gy", "ly", "ny", "sz", "ty", "zs")},
    "dzs": "d\uffff",
    "ö": "o\ufffe",
    "ü": "u\ufffe",
}
LONG = str.maketrans("áéíóőúű", "aeioöuü")
NONE = "nincs bevett magyar szó"  # no established Hungarian word


@dataclass(frozen=True)
class Entry:
    """One term; the head of the source says what its fields mean."""

    term: str
    hungarian: str
    chapter: int
    definition: str
    short: str = ""
    established: bool = True
    rejected: dict[str, str] = field(default_factory=dict)
    forms: tuple[str, ...] = ()
    everyday: bool = False

    @property
    def anchor(self) -> str:
        """Where the entry stands on its page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", plain(self.term)).strip("-")

    @property
    def letter(self) -> str:
        """The capital under which it is listed."""
        return order(self)[0].upper()

    @property
    def spoken(self) -> str:
        """The Hungarian term, or that there is none and what one hears instead."""
        return self.hungarian if self.established else f"{NONE}; „{self.hungarian}”"

    @property
    def spellings(self) -> tuple[str, ...]:
        """All forms by which a text mentions it."""
        return tuple(filter(None, (self.term, self.short, *self.forms)))


def plain(text: str) -> str:
    """Small letters without accents; Greek β as beta."""
    apart = unicodedata.normalize("NFKD", text.replace("β", "beta"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).casefold()


def order(entry: Entry) -> str:
    """By what an English list is sorted: the term from its first letter on."""
    return re.sub(r"^[^a-z]+", "", plain(entry.term))


def hungarian_order(text: str) -> tuple[str, str]:
    """By what a Hungarian list is sorted: letters such as `sz` are one, and long vowels and digits only break ties."""
    letters = "|".join(sorted(OWN_LETTERS, key=len, reverse=True))
    small = re.sub(r"^[0-9]+|[^\w ]", "", text.casefold().replace("β", "beta"))
    return re.sub(letters, lambda found: OWN_LETTERS[found[0]], small.translate(LONG)), text.casefold()


def read(path: Path = SOURCE) -> list[Entry]:
    """All entries, in the order of the file.

    Raises:
        CourseError: An entry lacks a field, or has one that is unknown or of another kind.
    """
    kinds = {entry.name: entry for entry in fields(Entry)}
    entries = []
    for number, given in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")), 1):
        name = given.get("term", f"entry {number}")
        if wrong := sorted(set(given) - set(kinds)):
            raise CourseError(f"{path.name}: {name}: expected fields {', '.join(kinds)}, found {wrong[0]}")
        for key in ("term", "hungarian", "chapter", "definition"):
            if not isinstance(given.get(key), int if key == "chapter" else str) or not given[key]:
                raise CourseError(f"{path.name}: {name}: expected {key}, found {given.get(key)!r}")
        entries.append(Entry(**{**given, "forms": tuple(given.get("forms", ()))}))
    return entries


@cache
def shown(path: Path = SOURCE, book: Path = BOOK) -> tuple[Entry, ...]:
    """The entries of the chapters that the book has, sorted; those of a chapter to come wait for it."""
    chapters = {int(notebook.name[:2]) for notebook in book.glob("[0-9][0-9]_*.ipynb")}
    return tuple(sorted((entry for entry in read(path) if entry.chapter in chapters), key=order))


# The page.


def _language(text: str, *classes: str) -> nodes.inline:
    """A Hungarian phrase, marked as such for screen readers and hyphenation."""
    return nodes.inline("", text, classes=["language-hu", *classes])


def _to_chapter(number: int, book: Path = BOOK) -> nodes.Node:
    """A link to a chapter, by its number."""
    (notebook,) = book.glob(f"{number:02d}_*.ipynb")
    text = nodes.inline("", f"Chapter {number}")
    return addnodes.pending_xref(
        "",
        text,
        refdomain="std",
        reftype="doc",
        reftarget=f"/book/{notebook.stem}",
        refexplicit=True,
        refwarn=True,
    )


def _described(entry: Entry) -> nodes.definition_list_item:
    """An entry as it stands on the page."""
    name = entry.term + (f" ({entry.short})" if entry.short and entry.short != entry.term else "")
    text = nodes.paragraph("", "", nodes.Text(f"{entry.definition} "), _to_chapter(entry.chapter))
    parts = [nodes.paragraph("", "", _language(entry.spoken, "course-hungarian")), text]
    for word, why in entry.rejected.items():
        parts.append(
            nodes.paragraph(
                "",
                "",
                nodes.Text("Not "),
                _language(f"„{word}”"),
                nodes.Text(f": {why}."),
                classes=["course-not"],
            )
        )
    return nodes.definition_list_item(
        "", nodes.term("", name, ids=[entry.anchor]), nodes.definition("", *parts)
    )


def _letters(entries: Iterable[Entry]) -> nodes.paragraph:
    """A line of links, one for each letter, to its first entry."""
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(entry.letter, entry)
    line = nodes.paragraph(classes=["course-letters"])
    for letter, entry in first.items():
        line += nodes.reference("", letter, internal=True, refid=entry.anchor)
        line += nodes.Text(" ")
    return line


def english(entries: Iterable[Entry]) -> list[nodes.Node]:
    """The entries with all that is known of them, after a line of letters."""
    items = [_described(entry) for entry in entries]
    return [_letters(entries), nodes.definition_list("", *items, classes=["course-glossary"])]


def hungarian(entries: Iterable[Entry]) -> list[nodes.Node]:
    """Each Hungarian term, and the English one that it leads to."""
    index = nodes.bullet_list(classes=["course-index"])
    for entry in sorted(entries, key=lambda entry: hungarian_order(entry.hungarian)):
        line = nodes.paragraph("", "", _language(entry.hungarian), nodes.Text(": "))
        line += nodes.reference("", entry.term, internal=True, refid=entry.anchor)
        index += nodes.list_item("", line)
    return [index]


class _List(Directive):
    """All entries on a page, which is read again when the source changes."""

    listed = staticmethod(english)

    def run(self) -> list[nodes.Node]:
        """The list of all entries."""
        self.state.document.settings.env.note_dependency(str(SOURCE))
        return self.listed(shown())


class _HungarianList(_List):
    listed = staticmethod(hungarian)


# The links in the chapters.


class TermLink(nodes.reference):
    """A link to an entry, which carries what the card beside the word says."""


def _visit_link(translator: Any, node: TermLink) -> None:
    """Open the link in HTML."""
    carried = {f"data-{key}": node[key] for key in ("term", "hungarian", "definition")}
    translator.body.append(translator.starttag(node, "a", "", href=node["refuri"], **carried))


def _depart_link(translator: Any, node: TermLink) -> None:
    """Close it."""
    translator.body.append("</a>")


def _link(entry: Entry, uri: str, *content: nodes.Node) -> TermLink:
    """A link from some text to an entry on the page at `uri`."""
    return TermLink(
        "",
        "",
        *content,
        classes=["course-term"],
        refuri=f"{uri}#{entry.anchor}",
        internal=True,
        term=entry.term,
        hungarian=entry.spoken,
        definition=entry.definition,
    )


def _pattern(spelling: str) -> str:
    """A regular expression for one spelling: either case at its start, any space, either apostrophe, a plural."""
    text = re.escape(spelling).replace(r"\ ", r"\s+").replace("'", "['’]")
    if spelling[0].isalpha() and not spelling[:2].isupper():
        text = f"[{spelling[0].lower()}{spelling[0].upper()}]{text[1:]}"
    return re.sub(r"y$", "(?:y|ies)", text) + "(?:s|es)?"


class Finder:
    """Finds the terms that a chapter may link to; a longer term hides the shorter ones in it.

    Args:
        entries: All entries.
        chapter: The chapter's number. Words with an everyday meaning count in their own chapter; elsewhere only if they
            are the `whole` of a phrase in bold.
    """

    def __init__(self, entries: Iterable[Entry], chapter: int) -> None:
        # Where two entries share a spelling, the one that this chapter defines has it.
        known: dict[str, Entry] = {}
        for entry in sorted(entries, key=lambda entry: entry.chapter != chapter):
            for spelling in entry.spellings:
                known.setdefault(spelling, entry)
        spellings = sorted(known, key=len, reverse=True)
        self._entries = [known[spelling] for spelling in spellings]
        choices = "|".join(f"({_pattern(spelling)})" for spelling in spellings)
        self._anywhere = re.compile(rf"(?<![\w-])(?:{choices})(?![\w-])")
        self._chapter = chapter

    def _each(self, text: str) -> Iterator[tuple[Entry, int, int]]:
        for found in self._anywhere.finditer(text):
            yield self._entries[found.lastindex - 1], found.start(), found.end()

    def all(self, text: str) -> Iterator[tuple[Entry, int, int]]:
        """Each mention in a text: its entry, where it begins and where it ends."""
        for entry, start, end in self._each(text):
            if entry.chapter == self._chapter or not entry.everyday:
                yield entry, start, end

    def whole(self, text: str) -> Entry | None:
        """The entry that a phrase as a whole names, an article aside."""
        text = re.sub(r"^(?:[Tt]he|[Aa]n?)\s+", "", text.strip())
        return next((entry for entry, start, end in self._each(text) if (start, end) == (0, len(text))), None)


# Where no link may stand: within other links, titles, captions, code, formulas, tables and what programs put out.
CLOSED = (
    nodes.title,
    nodes.rubric,
    nodes.caption,
    nodes.legend,
    nodes.figure,
    nodes.reference,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.table,
    nodes.citation,
    nodes.footnote,
    nodes.topic,
    addnodes.pending_xref,
)


def _above(node: nodes.Node) -> Iterator[nodes.Node]:
    """A node's parents, from the inside out."""
    while node.parent is not None:
        node = node.parent
        yield node


def _closed(node: nodes.Node) -> bool:
    """Whether a link may not stand here."""
    return any(
        isinstance(parent, CLOSED)
        or (isinstance(parent, nodes.section) and "references" in parent["ids"])
        or (isinstance(parent, nodes.container) and "cell" in parent["classes"])
        for parent in _above(node)
    )


def _aside(node: nodes.Node) -> bool:
    """Whether this is beside the running text: in what is folded, in a box or in an exercise."""
    return any(
        isinstance(parent, nodes.Admonition)
        or "dropdown" in parent.get("classes", [])
        or type(parent).__name__.startswith(("exercise", "dropdown"))
        for parent in _above(node)
        if isinstance(parent, nodes.Element)
    )


def _paragraph(node: nodes.Node) -> nodes.Node | None:
    """The paragraph that a node stands in."""
    return next((parent for parent in _above(node) if isinstance(parent, nodes.paragraph)), None)


def link_terms(document: nodes.document, entries: Iterable[Entry], chapter: int, uri: str) -> list[Entry]:
    """Turn the first use of each term into a link, in place.

    Args:
        document: A chapter.
        entries: All entries.
        chapter: The chapter's number.
        uri: The address of the glossary's page, as seen from the chapter.

    Returns:
        The entries that are linked now, in the order in which they were.
    """
    finder = Finder(entries, chapter)
    linked: dict[str, Entry] = {}
    taken: set[int] = set()  # paragraphs that have a link

    def record(entry: Entry, node: nodes.Node) -> None:
        linked[entry.term] = entry
        taken.add(id(_paragraph(node)))

    for strong in list(document.findall(nodes.strong)):
        entry = finder.whole(strong.astext())
        if entry and entry.term not in linked and not _closed(strong):
            record(entry, strong)
            strong.replace_self(_link(entry, uri, strong.deepcopy()))
    # One link in a paragraph: the chapter's own terms first, then those that it only mentions. Own terms for which
    # no paragraph was left stand where they can, in boxes and beside other links too.
    for own, anywhere in ((True, False), (False, False), (True, True)):
        for text in list(document.findall(nodes.Text)):
            paragraph = _paragraph(text)
            if paragraph is None or _closed(text):
                continue
            if not anywhere and (id(paragraph) in taken or _aside(text)):
                continue
            words, done, parts = text.astext(), 0, []
            for entry, start, end in finder.all(words):
                if entry.term in linked or (entry.chapter == chapter) is not own or (parts and not anywhere):
                    continue
                record(entry, text)
                parts += [nodes.Text(words[done:start]), _link(entry, uri, nodes.Text(words[start:end]))]
                done = end
            if parts:
                text.parent.replace(text, [*parts, nodes.Text(words[done:])])
    return list(linked.values())


def _resolved(app: Any, doctree: nodes.document, docname: str) -> None:
    """When a chapter is complete, before it is written."""
    if chapter := re.fullmatch(r"book/(\d\d)_\w+", docname):
        link_terms(doctree, shown(), int(chapter[1]), app.builder.get_relative_uri(docname, PAGE))


def setup(app: Any) -> dict[str, Any]:
    """Add directives, node and hook."""
    app.add_directive("course-glossary", _List)
    app.add_directive("course-glossary-hungarian", _HungarianList)
    app.add_node(TermLink, html=(_visit_link, _depart_link))
    app.connect("doctree-resolved", _resolved)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
