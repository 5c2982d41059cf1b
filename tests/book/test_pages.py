"""Every page of the built site, as its readers meet it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser

from tests.book import controls, links, visit
from tests.book.visit import Visit
from tools.project import ROOT, SITE

PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.relative_to(SITE).parts and path != SITE / "index.html"
)
CHAPTERS = [page for page in PAGES if page.removeprefix("book/")[:2].isdigit()]

# A word that a reader would look for, and the chapter that search must offer for it.
SEARCHES = {
    "book/01_discriminative_vs_generative.html": "Feynman",
    "book/02_comparing_images.html": "structural",
    "book/03_pca_linear_autoencoder.html": "ellipsoid",
    "book/04_deep_autoencoders.html": "undercomplete",
    "book/05_vae_derived.html": "reparameterisation",
    "book/06_vae_trained.html": "disentanglement",
    "book/07_beyond_the_vae.html": "codebook",
    "book/08_gan_theory.html": "extragradient",
    "book/09_dcgan.html": "slerp",
    "book/10_wasserstein_gans.html": "Kantorovich",
    "book/11_stylegan.html": "demodulation",
    "book/12_after_stylegan.html": "deepfake",
    "book/13_scores_for_generators.html": "inception",
    "book/14_the_matching_score.html": "Hungarian",
    "book/15_games_between_models.html": "tournament",
    "book/16_style_transfer.html": "Gram",
    "book/17_towards_diffusion.html": "Tweedie",
}

every_page = pytest.mark.parametrize("page", PAGES)
every_chapter = pytest.mark.parametrize("page", CHAPTERS)


def test_the_site_holds_what_the_contents_list(site: Path) -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    assert {f"{name}.html" for name in files} <= set(PAGES)
    assert (site / "index.html").is_file()
    assert len(CHAPTERS) == sum(Path(name).name[:2].isdigit() for name in files) > 0


@every_page
def test_links_lead_somewhere(page: str, site: Path) -> None:
    assert list(links.broken(site / page, site)) == []


@every_page
def test_console_is_silent(page: str, visited: Callable[[str], Visit]) -> None:
    assert visit.console_defects(visited(page)) == []


@every_page
def test_no_other_host_is_asked(page: str, visited: Callable[[str], Visit], base: str) -> None:
    assert visit.foreign_requests(visited(page), base) == []


@every_page
def test_formulas_are_typeset(page: str, visited: Callable[[str], Visit]) -> None:
    seen = visited(page)
    assert visit.formula_defects(seen) == []
    assert seen.formulas["typeset"] > 0 or page not in CHAPTERS


@every_page
def test_images_say_what_they_show(page: str, visited: Callable[[str], Visit]) -> None:
    seen = visited(page)
    assert visit.alt_defects(seen) == []
    assert seen.images or page not in CHAPTERS


@every_page
def test_dark_mode(page: str, visited: Callable[[str], Visit]) -> None:
    assert visit.dark_defects(visited(page)) == []


@every_page
def test_nothing_scrolls_sideways_on_a_telephone(page: str, visited: Callable[[str], Visit]) -> None:
    assert visit.width_defects(visited(page)) == []


@every_page
def test_nothing_is_wider_than_its_column(page: str, visited: Callable[[str], Visit]) -> None:
    assert visit.column_defects(visited(page)) == []


@every_chapter
def test_figures_and_tables_have_captions(page: str, visited: Callable[[str], Visit]) -> None:
    assert visit.caption_defects(visited(page)) == []


@every_page
def test_axe_finds_nothing_serious(page: str, visited: Callable[[str], Visit]) -> None:
    assert visit.axe_defects(visited(page)) == []


@every_page
def test_keyboard_reaches_every_control(page: str, browser: Browser, base: str) -> None:
    opened = visit.open_page(browser, base + page)
    assert controls.keyboard_defects(opened) == []
    opened.context.close()


@every_chapter
def test_sliders_move_what_they_promise(page: str, browser: Browser, base: str) -> None:
    opened = visit.open_page(browser, base + page)
    opened.evaluate("() => document.documentElement.classList.add('course-show-all')")
    assert opened.locator(controls.SLIDERS).count() > 0
    assert controls.slider_defects(opened) == []
    assert controls.film_defects(opened) == []
    opened.context.close()


@every_chapter
def test_results_wait_for_predictions(page: str, browser: Browser, base: str) -> None:
    opened = visit.open_page(browser, base + page)
    assert opened.locator("div.cell.tag_predict").count() >= 3
    assert controls.prediction_defects(opened) == []
    assert not opened.locator(".course-waits").count()
    opened.context.close()


@every_chapter
def test_quizzes_answer(page: str, browser: Browser, base: str) -> None:
    opened = visit.open_page(browser, base + page)
    assert opened.locator(".Quiz").count() >= 2
    assert controls.quiz_defects(opened) == []
    opened.context.close()


def test_an_answer_whose_random_id_looks_like_a_feedback_box_stays_a_label(
    browser: Browser, base: str
) -> None:
    opened = visit.open_page(browser, base + CHAPTERS[0])
    quiz = '<div class="Quiz"><label id="fbAbc-0"><input type="radio">a</label><div id="fb7">b</div></div>'
    opened.evaluate("html => document.querySelector('main').insertAdjacentHTML('beforeend', html)", quiz)
    opened.wait_for_selector("#fb7[role='status']", state="attached")
    assert opened.locator("#fbAbc-0").get_attribute("role") is None
    opened.context.close()


@every_chapter
def test_search_finds_the_chapter(page: str, browser: Browser, base: str) -> None:
    assert page in SEARCHES, f"expected a search word for {page} in SEARCHES, found none; add one"
    opened = visit.open_page(browser, f"{base}search.html?q={SEARCHES[page]}")
    opened.wait_for_selector(f"#search-results a[href*='{Path(page).stem}']", timeout=15_000)
    opened.context.close()


def test_search_finds_nothing_for_no_word(browser: Browser, base: str) -> None:
    opened = visit.open_page(browser, f"{base}search.html?q=qwxzvk")
    opened.wait_for_timeout(1500)
    assert opened.locator("#search-results li").count() == 0
    opened.context.close()


def test_search_opens_from_a_page(browser: Browser, base: str) -> None:
    page, word = next(iter(SEARCHES.items()))
    opened = visit.open_page(browser, base + "book/guide.html")
    opened.keyboard.press("Control+k")
    opened.keyboard.type(word)
    opened.keyboard.press("Enter")
    opened.wait_for_selector(f"#search-results a[href*='{Path(page).stem}']", timeout=15_000)
    opened.context.close()
