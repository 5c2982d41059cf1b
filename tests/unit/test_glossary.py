"""The glossary: what its entries must hold, how they are sorted, and where chapters link to them."""

import re
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.core import publish_doctree

from tools import glossary
from tools.glossary import Entry, Finder, hungarian, hungarian_order, link_terms, order, plain, read, shown
from tools.notebooks import read as read_notebook
from tools.notebooks import text
from tools.project import BOOK, CourseError, notebooks

# The Hungarian alphabet, the letters of foreign names in it, and what stands between words.
HUNGARIAN = re.compile(r"[A-Za-zÁÉÍÓÖŐÚÜŰáéíóöőúüű0-9β (),/–-]+")
ENTRIES = read()


def prose(chapter):
    """A chapter's text, with one space between words."""
    (path,) = BOOK.glob(f"{chapter:02d}_*.ipynb")
    cells = [cell for cell in read_notebook(path)["cells"] if cell["cell_type"] == "markdown"]
    return re.sub(r"\s+", " ", " ".join(text(cell) for cell in cells))


def test_there_are_enough_entries_and_each_is_whole():
    assert len(shown()) >= 150
    for entry in ENTRIES:
        words = entry.definition.split()
        assert 5 <= len(words) <= 40, f"{entry.term}: {len(words)} words"
        assert re.search(r"[.?)]$", entry.definition), entry.term
        assert not re.search(r"[$*`]", entry.definition), entry.term
        assert all(why and not why.endswith(".") for why in entry.rejected.values()), entry.term


def test_hungarian_is_written_with_hungarian_letters():
    for entry in ENTRIES:
        for word in (entry.hungarian, *entry.rejected):
            assert HUNGARIAN.fullmatch(word), f"{entry.term}: {word!r}"
        assert entry.hungarian not in entry.rejected, entry.term


def test_entries_are_sorted_and_none_stands_twice():
    terms = [entry.term for entry in ENTRIES]
    expected = [entry.term for entry in sorted(ENTRIES, key=order)]
    wrong = [(found, wanted) for found, wanted in zip(terms, expected) if found != wanted]
    assert not wrong, f"expected {wrong[0][1]!r}, found {wrong[0][0]!r}"
    for names in (terms, [entry.anchor for entry in ENTRIES]):
        assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"term-[a-z0-9-]*[a-z0-9]", entry.anchor) for entry in ENTRIES)


def test_two_entries_share_a_spelling_only_if_one_of_them_is_used_in_its_own_chapter_alone():
    owners = {}
    for entry in ENTRIES:
        for spelling in {plain(spelling) for spelling in entry.spellings}:
            owners.setdefault(spelling, []).append(entry)
    for spelling, shared in owners.items():
        assert len(shared) == 1 or all(entry.everyday for entry in shared), spelling


def test_each_chapter_has_terms_and_mentions_them():
    chapters = {int(path.name[:2]) for path in notebooks()}
    assert chapters == {entry.chapter for entry in shown()}
    assert all(entry.chapter <= 17 for entry in ENTRIES)
    silent = []
    for chapter in chapters:
        mentioned = {entry.term for entry, _, _ in Finder(ENTRIES, chapter).all(prose(chapter))}
        silent += [(chapter, e.term) for e in shown() if e.chapter == chapter and e.term not in mentioned]
    assert silent == []


def test_hungarian_terms_are_sorted_as_in_hungary():
    words = [
        "csonkolás",
        "cz",
        "oda",
        "ódon",
        "odú",
        "öl",
        "ősz",
        "sz",
        "Shannon",
        "átlag",
        "alap",
        "zaj",
        "β-VAE",
        "1-b",
    ]
    assert sorted(words, key=hungarian_order) == [
        "alap", "átlag", "1-b", "β-VAE", "cz", "csonkolás", "oda", "ódon", "odú", "öl", "ősz", "Shannon", "sz", "zaj",
    ]  # fmt: skip


def test_the_page_has_an_anchor_for_each_entry_and_the_index_leads_to_all():
    letters, entries = glossary.english(shown())
    anchors = [term["ids"][0] for term in entries.findall(nodes.term)]
    assert anchors == [entry.anchor for entry in shown()]
    assert {link["refid"] for link in letters.findall(nodes.reference)} <= set(anchors)
    (index,) = hungarian(shown())
    assert sorted(link["refid"] for link in index.findall(nodes.reference)) == sorted(anchors)
    said = entries.astext()
    assert "Not „dekonvolúció”: it is not the inverse of a convolution." in said
    assert "nincs bevett magyar szó; „posterior collapse”" in said


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("- {term: a, hungarian: b, chapter: 1}", "a: expected definition, found None"),
        ("- {term: a, hungarian: b, chapter: x, definition: c}", "a: expected chapter, found 'x'"),
        ("- {term: a, hungarian: b, chapter: 1, definition: c, use: d}", "expected fields .*, found use"),
    ],
)
def test_a_defective_entry_is_named(source, message, tmp_path):
    path = tmp_path / "glossary.yml"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(CourseError, match=message):
        read(path)


def test_entries_wait_for_their_chapter(tmp_path):
    path = tmp_path / "glossary.yml"
    path.write_text(
        "- {term: b, hungarian: b, chapter: 1, definition: c}\n- {term: a, hungarian: b, chapter: 2, definition: c}\n"
    )
    (tmp_path / "01_one.ipynb").touch()
    assert [entry.term for entry in shown(path, tmp_path)] == ["b"]


SMALL = [
    Entry("latent space", "látens tér", 1, "Where codes lie.", short="LS"),
    Entry("latent", "látens", 1, "Not observed."),
    Entry("mode", "módusz", 8, "A peak.", everyday=True),
    Entry("critic", "kritikus", 10, "A judge without probabilities.", established=False),
    Entry("Bayes' rule", "Bayes-tétel", 1, "It turns a condition around."),
    Entry("sum", "összeg", 1, "Of numbers.", everyday=True),
    Entry("sum of squares", "négyzetösszeg", 2, "Of squares.", forms=("sum",), everyday=True),
]

CHAPTER = """
The critic
==========

A latent space comes first, but its bold definition has the link.

Here is a **latent space**, with a critic in the same paragraph.

A mode of a program; ``critic``; `critic <https://example.org>`__; :math:`critic`.

.. note::

   In a box, a critic is not the running text.

Now critics, and a second latent by Bayes’ rule; the criticism is none.

.. figure:: a.png

   Of Bayes' rule.

Of Bayes'
rule.

**the mode**

References
----------

The latent critic, by Bayes' rule.
"""


@pytest.fixture
def document():
    return publish_doctree(CHAPTER, settings_overrides={"report_level": 5})


def links(document):
    return [(link.astext(), link["refuri"]) for link in document.findall(glossary.TermLink)]


def test_first_uses_become_links(document):
    before = document.astext()
    linked = link_terms(document, SMALL, 10, "g.html")
    assert document.astext() == before
    assert links(document) == [
        ("latent space", "g.html#term-latent-space"),  # in bold, though an earlier paragraph mentions it
        (
            "critics",
            "g.html#term-critic",
        ),  # not in a title, code, a link, a formula, a box or beside another link
        ("Bayes'\nrule", "g.html#term-bayes-rule"),  # not in a caption
        ("the mode", "g.html#term-mode"),  # an everyday word, but in bold
    ]
    assert [entry.term for entry in linked] == ["latent space", "mode", "critic", "Bayes' rule"]
    link = next(link for link in document.findall(glossary.TermLink) if link.astext() == "critics")
    assert link["hungarian"] == "nincs bevett magyar szó; „kritikus”"
    assert link["definition"] == "A judge without probabilities."


def test_a_chapter_finds_a_place_for_all_its_own_terms():
    box = "A latent space and a latent, by Bayes' rule.\n\n.. note::\n\n   No sum here, no critic."
    document = publish_doctree(box)
    link_terms(document, SMALL, 1, "g.html")
    assert [name for name, _ in links(document)] == ["latent space", "latent", "Bayes' rule", "sum"]


def test_spellings():
    def found(sentence, chapter=1):
        return [(entry.term, sentence[a:b]) for entry, a, b in Finder(SMALL, chapter).all(sentence)]

    assert found("Latent spaces, an LS, no ls, pre-latent") == [
        ("latent space", "Latent spaces"),
        ("latent space", "LS"),
    ]
    assert found("Bayes’ rule") == [("Bayes' rule", "Bayes’ rule")]
    assert found("a mode, a sum") == [("sum", "sum")]
    assert found("a mode, a sum", 8) == [("mode", "mode")]
    assert found("a sum", 2) == [("sum of squares", "sum")]
    assert Finder(SMALL, 3).whole("The critic").term == "critic"
    assert Finder(SMALL, 3).whole("The critic learns") is None


def test_a_link_carries_its_entry_as_html():
    body = []
    translator = SimpleNamespace(body=body, starttag=lambda node, tag, suffix, **given: (tag, given))
    glossary._visit_link(translator, glossary._link(SMALL[0], "g.html", nodes.Text("latent space")))
    assert body == [
        (
            "a",
            {
                "href": "g.html#term-latent-space",
                "data-term": "latent space",
                "data-hungarian": "látens tér",
                "data-definition": "Where codes lie.",
            },
        )
    ]
