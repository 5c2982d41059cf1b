"""The appendices that are written by hand: what they point to exists, and their order is right."""

import re

import pytest
import yaml
from pybtex.database import parse_file

from tools.project import ROOT

BOOK = ROOT / "book"
HISTORY = (BOOK / "appendix" / "history.md").read_text(encoding="utf-8")
WATCH = (BOOK / "appendix" / "watch_and_play.md").read_text(encoding="utf-8")
PAGES = {"history": HISTORY, "watch_and_play": WATCH}
CHAPTER = re.compile(r"\]\(\.\./((\d\d)_\w+\.ipynb)\)")
TAGS = {"code", "game", "noise", "style", "score"}

# (year, name, kind, text) of each entry of the timeline
ENTRIES = re.findall(
    r"^\[(\d{4})\]\{\.course-year\} \*\*(.+?)\*\* \[(\w+)\]\{\.course-tag \.course-(?:\w+)\}\n: ((?:.+\n)+)",
    HISTORY,
    re.MULTILINE,
)
# (chapter, body) of each section of the links
SECTIONS = re.findall(r"^### Chapter (\d+): .+?\n\n(.*?)(?=^##|\Z)", WATCH, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", [*PAGES, "zoo"])
def test_the_page_is_in_the_contents_and_on_the_first_page(name):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert f"book/appendix/{name}" in files
    assert f"(appendix/{name})" in (BOOK / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_chapters_that_are_named_exist_and_have_that_number(name):
    found = re.findall(r"\[[Cc]hapter (\d+)\]\(\.\./((\d\d)_\w+\.ipynb)\)", PAGES[name])
    assert len(found) == len(CHAPTER.findall(PAGES[name])) > 10
    for number, file, digits in found:
        assert int(number) == int(digits)
        assert (BOOK / file).is_file()


@pytest.mark.parametrize("name", PAGES)
def test_sentences_are_short(name):
    text = re.sub(
        r"```.*?```|^---.*?^---|\{cite:[pt]\}`[^`]*`|\]\([^)]*\)|\]\{[^}]*\}",
        "",
        PAGES[name],
        flags=re.S | re.M,
    )
    sentences = [s for s in re.split(r"(?<=[.?!])\s+|\n\n|\n- |\n: ", text) if len(s.split()) > 2]
    lengths = [len(s.split()) for s in sentences]
    assert max(lengths) <= 40, max(sentences, key=lambda s: len(s.split()))
    assert sum(lengths) / len(lengths) <= 14


# History


def test_years_are_in_order_and_entries_are_as_many_as_a_reader_can_take():
    years = [int(year) for year, *_ in ENTRIES]
    assert years == sorted(years)
    assert years[0] == 1990
    assert 25 <= len(ENTRIES) <= 35
    assert len(ENTRIES) == HISTORY.count("{.course-year}") == len({name for _, name, *_ in ENTRIES})


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[1])
def test_an_entry_has_a_source_a_kind_and_a_chapter(entry):
    year, _, kind, text = entry
    assert kind in TAGS
    keys = re.findall(r"\{cite:[pt]\}`([^`]+)`", text)
    assert keys
    assert CHAPTER.search(text)
    published = [int(re.search(r"\d{4}", key)[0]) for key in keys]
    assert min(abs(p - int(year)) for p in published) <= 1  # a conference may be a year later


def test_sources_are_in_the_bibliography():
    known = parse_file(str(BOOK / "references.bib")).entries
    keys = {key for keys in re.findall(r"\{cite:[pt]\}`([^`]+)`", HISTORY) for key in keys.split(",")}
    assert keys <= set(known)


# Watch and play


def test_every_chapter_has_two_to_four_links_each_with_a_kind_and_a_word_on_what_to_look_for():
    numbers = [int(number) for number, _ in SECTIONS]
    assert numbers == sorted(numbers)
    ready = {int(path.name[:2]) for path in BOOK.glob("[0-9][0-9]_*.ipynb")}
    assert set(numbers) >= ready
    for number, body in SECTIONS:
        assert [int(digits) for _, digits in CHAPTER.findall(body)] == [int(number)]
        items = re.split(r"^- ", body, flags=re.MULTILINE)[1:]
        assert 2 <= len(items) <= 4, number
        for item in items:
            assert re.match(r"\[(play|watch|read)\]\{\.course-tag \.course-\1\} \[", item), item
            assert len(re.sub(r"\]\([^)]*\)", "", item).split()) >= 10, item


def test_addresses_are_whole_and_stand_once():
    addresses = re.findall(r"\]\((\w+://[^)]+)\)", WATCH)
    assert len(addresses) == len(set(addresses)) >= 40
    assert all(re.fullmatch(r"https://[\w.-]+\.[a-z]{2,}(/[\w./?=#%~-]*)?", address) for address in addresses)
