"""The glossary in the built site: each link's card, by mouse, keyboard and touch, and what it costs a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.book import visit
from tests.book.links import parse
from tests.book.test_pages import CHAPTERS
from tools.glossary import PAGE, shown

LINK = re.compile(r'<a class="course-term"[^>]*?href="([^"]*)"[^>]*>')
HEAVIEST = 20_000  # bytes that the links may add to a page
CHAPTER = next(iter(CHAPTERS), "")


@pytest.mark.parametrize("page", CHAPTERS)
def test_links_lead_to_entries_and_are_light(page: str, site: Path) -> None:
    html = (site / page).read_text(encoding="utf-8")
    links = list(LINK.finditer(html))
    assert len(links) >= 15
    assert sum(len(link[0].encode()) + len("</a>") for link in links) <= HEAVIEST
    anchors = parse(site / f"{PAGE}.html").anchors
    targets = [unquote(link[1]).split("#") for link in links]
    assert {file for file, _ in targets} == {"appendix/glossary.html"}
    assert [anchor for _, anchor in targets if anchor not in anchors] == []
    assert len({anchor for _, anchor in targets}) == len(targets)  # first uses only


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_explains_its_own_terms(page: str, site: Path) -> None:
    chapter = int(Path(page).name[:2])
    linked = {link[1].split("#")[1] for link in LINK.finditer((site / page).read_text(encoding="utf-8"))}
    own = {entry.anchor for entry in shown() if entry.chapter == chapter}
    assert own - linked == set()


@pytest.fixture
def opened(browser: Browser, base: str) -> Iterator[Page]:
    page = visit.open_page(browser, base + CHAPTER)
    page.evaluate("() => document.documentElement.classList.add('course-show-all')")
    yield page
    page.context.close()


def word(page: Page, number: int) -> Locator:
    """A term of the chapter, in the middle of the window."""
    term = page.locator("a.course-term").nth(number)
    term.evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")
    return term


def test_the_card_opens_under_the_pointer_and_stays_there(opened: Page) -> None:
    term, card = word(opened, 2), opened.get_by_role("tooltip", include_hidden=True)
    expect(card).to_be_hidden()
    term.hover()
    expect(card).to_be_visible()
    for part in ("term", "hungarian", "definition"):
        expect(card).to_contain_text(term.get_attribute(f"data-{part}") or "missing")
    assert term.get_attribute("aria-describedby") == card.get_attribute("id")
    assert card.locator("[lang=hu]").count() == 1
    card.hover()  # the pointer may go to the card
    opened.wait_for_timeout(600)
    expect(card).to_be_visible()
    opened.keyboard.press("Escape")  # without moving the pointer
    expect(card).to_be_hidden()
    assert term.get_attribute("aria-describedby") is None
    term.hover()
    opened.mouse.move(2, 2)
    expect(card).to_be_hidden()


def test_the_card_opens_on_focus_and_escape_keeps_the_focus(opened: Page) -> None:
    term, card = word(opened, 1), opened.get_by_role("tooltip", include_hidden=True)
    term.focus()
    expect(card).to_be_visible()
    opened.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(term).to_be_focused()
    opened.keyboard.press("Tab")
    opened.keyboard.press("Shift+Tab")
    expect(card).to_be_visible()
    opened.keyboard.press("Enter")
    opened.wait_for_url(f"**/{PAGE}.html#term-*")


@pytest.mark.parametrize("place", ["first", "last"])
def test_the_card_fits_a_telephone(place: str, opened: Page) -> None:
    opened.set_viewport_size(visit.TELEPHONE)
    terms = opened.locator("a.course-term")
    for number in range(4) if place == "first" else range(terms.count() - 4, terms.count()):
        word(opened, number).focus()
        box = opened.get_by_role("tooltip").bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= visit.TELEPHONE["width"]
        assert 0 <= box["y"] <= visit.TELEPHONE["height"] - box["height"]


def test_a_first_tap_opens_the_card_and_a_second_one_the_glossary(browser: Browser, base: str) -> None:
    context = browser.new_context(viewport=visit.TELEPHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(base + CHAPTER)
    page.evaluate("() => document.documentElement.classList.add('course-show-all')")
    term, card = word(page, 0), page.get_by_role("tooltip", include_hidden=True)
    term.tap()
    expect(card).to_be_visible()
    expect(card).to_contain_text("Tap the word again")
    assert page.url == base + CHAPTER
    page.locator("article h1").evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")
    page.locator("article h1").tap()
    expect(card).to_be_hidden()
    word(page, 0).tap()
    expect(card).to_be_visible()
    term.tap()
    page.wait_for_url(f"**/{PAGE}.html#term-*")
    context.close()


def test_axe_accepts_an_open_card(opened: Page) -> None:
    word(opened, 0).focus()
    expect(opened.get_by_role("tooltip")).to_be_visible()
    seen = visit.Visit(CHAPTER)
    for mode in ("light", "dark"):
        if mode == "dark":
            opened.evaluate(visit.DARKEN)
            word(opened, 0).focus()
        seen.axe[mode] = [finding for finding in visit._axe(opened) if "course-" in str(finding["nodes"])]
    assert visit.axe_defects(seen) == []


def test_without_script_the_words_are_plain_links(browser: Browser, base: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(base + CHAPTER)
    page.locator("a.course-term").first.click()
    page.wait_for_url(f"**/{PAGE}.html#term-*")
    context.close()
