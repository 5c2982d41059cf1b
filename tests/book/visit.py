"""One visit to one page of the built site, in light and in dark, on a desk and on a telephone.

`visit` loads a page and writes down all that the tests ask about, so that each page is loaded once; the functions below
it turn the record into defects, one line each. They are tried on pages with planted defects in test_detectors.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
DESK = {"width": 1200, "height": 900}  # no code needs scrolling at this width
TELEPHONE = {"width": 390, "height": 844}

# Wait for MathJax, fonts and widgets: they are drawn after `load`.
READY = """async () => {
  await document.fonts.ready;
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  const views = document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]').length;
  const end = performance.now() + 15000;
  while (document.querySelectorAll('.widget-subarea > *, .jupyter-widgets').length < views && performance.now() < end)
    await new Promise((resolve) => setTimeout(resolve, 50));
  await new Promise((resolve) => setTimeout(resolve, 700));
}"""

FORMULAS = r"""() => {
  const main = document.querySelector('main') || document.body;
  const raw = [];
  const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (parent.closest('pre, code, script, style, mjx-container, textarea, .highlight')) continue;
    if (/\$\$|\\\(|\\\[|\\begin\{|\$[^$\n]+\$/.test(node.textContent)) raw.push(node.textContent.trim().slice(0, 80));
  }
  const marked = main.querySelectorAll('.math').length;
  // An undefined macro is no error to MathJax: it is set in red.
  const wrong = 'mjx-merror, [data-mjx-error], mjx-mtext[style*="color: red"]';
  const errors = [...main.querySelectorAll(wrong)].map(
    (e) => e.getAttribute('data-mjx-error') || e.textContent || 'undefined macro');
  return {raw, errors, marked, typeset: main.querySelectorAll('mjx-container').length,
          bare: [...main.querySelectorAll('.math')].filter((e) => !e.querySelector('mjx-container')).length};
}"""

IMAGES = """() => [...document.querySelectorAll(
  'article img:not(.toggler), body:not(:has(article)) main img')].map((e) => {
  const style = getComputedStyle(e), clear = 'rgba(0, 0, 0, 0)';
  let ground = style.backgroundColor;
  for (let p = e.parentElement; ground === clear && p && p.closest('div.cell_output'); p = p.parentElement)
    ground = getComputedStyle(p).backgroundColor;
  return {alt: e.getAttribute('alt'), src: (e.getAttribute('src') || '').slice(0, 120), filter: style.filter,
          ground, loaded: e.complete && e.naturalWidth > 0,
          figure: Boolean(e.closest('div.cell_output, .jupyter-widgets'))};
})"""

# The page is as wide as the window, nothing is cut off where it cannot be scrolled to, and no picture is squeezed.
WIDTH = """() => {
  const wide = window.innerWidth, scrolls = (e) => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(p).overflowX)) return true;
    return false;
  };
  const out = [...document.querySelectorAll('article *, body:not(:has(article)) main *')].filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width > 1 && box.right > wide + 1 && !scrolls(e);
  });
  const squeezed = [...document.images].filter((e) => {
    const drawn = e.width / e.height, natural = e.naturalWidth / e.naturalHeight;
    return e.width > 20 && e.naturalWidth && Math.abs(drawn / natural - 1) > 0.03;
  });
  return {page: document.documentElement.scrollWidth, window: wide,
          squeezed: squeezed.map((e) => `${(e.alt || e.src).slice(0, 60)}: ${e.width} x ${e.height}`),
          out: out.slice(0, 5).map((e) => e.tagName + '.' + e.className)};
}"""

# Code and outputs that are wider than their column, and pictures, films and tables without a caption. On a telephone
# code and tables may scroll in themselves; solutions are folded, and quizzes have questions for captions.
WIDE = """(desk) => [...document.querySelectorAll('div.cell pre, .cell_output .output, .course-table')]
  .filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1)
  .filter((e) => desk || !(e.matches('.cell_input pre, .course-table') || e.querySelector('.course-table')))
  .map((e) => `${e.scrollWidth} in ${e.clientWidth} px: ${e.textContent.trim().slice(0, 60)}`)"""
CAPTIONS = """() => [...document.querySelectorAll(
  '.cell_output :is(img, svg.course-diagram, .course-player, .course-table)')]
  .filter((e) => !e.closest('.tag_solution, .jupyter-widgets') && !e.closest('figure')?.querySelector('figcaption'))
  .map((e) => e.getAttribute('alt') || e.textContent.slice(0, 60) || e.className)"""

DARKEN = """async () => {
  const button = [...document.querySelectorAll('.theme-switch-button')].find((e) => e.checkVisibility());
  for (let i = 0; button && i < 4 && document.documentElement.dataset.theme !== 'dark'; i++) {
    button.click();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  return document.documentElement.dataset.theme || '';
}"""

GROUND = "() => [document.body, document.querySelector('main')].map((e) => e && getComputedStyle(e).backgroundColor)"
# Without preload: axe would fetch style sheets again, from wrong addresses, and the console would complain.
CHECK = "async () => (await axe.run(document, {resultTypes: ['violations'], preload: false})).violations"


@dataclass
class Visit:
    """What one page showed."""

    page: str
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    formulas: dict[str, Any] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    dark_images: list[dict[str, Any]] = field(default_factory=list)
    theme: str = ""
    light_ground: list[str] = field(default_factory=list)
    dark_ground: list[str] = field(default_factory=list)
    widths: dict[str, Any] = field(default_factory=dict)
    wide: dict[str, list[str]] = field(default_factory=dict)
    uncaptioned: list[str] = field(default_factory=list)
    axe: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def open_page(browser: Browser, url: str, record: Visit | None = None) -> Page:
    """A page in a fresh context, loaded and drawn; what it says and asks for goes into `record`."""
    page = browser.new_context(viewport=DESK, color_scheme="light", reduced_motion="reduce").new_page()
    if record is not None:
        page.on("console", lambda m: record.console.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: record.console.append(str(error)))
        page.on("request", lambda request: record.requests.append(request.url))
        page.on("requestfailed", lambda request: record.failed.append(request.url))
        page.on("response", lambda r: record.failed.append(r.url) if r.status >= 400 else None)
    page.goto(url, wait_until="load")
    page.evaluate(READY)
    return page


def _axe(page: Page) -> list[dict[str, Any]]:
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    return page.evaluate(CHECK)


def visit(browser: Browser, base: str, name: str) -> Visit:
    """Load `base + name` and record everything."""
    seen = Visit(name)
    page = open_page(browser, base + name, seen)
    page.evaluate(
        "() => document.documentElement.classList.add('course-show-all')"
    )  # what predictions hold back too
    page.wait_for_timeout(300)
    seen.formulas = page.evaluate(FORMULAS)
    seen.wide["desk"] = page.evaluate(WIDE, True)
    seen.uncaptioned = page.evaluate(CAPTIONS)
    seen.images = page.evaluate(IMAGES)
    seen.light_ground = page.evaluate(GROUND)
    seen.axe["light"] = _axe(page)
    page.set_viewport_size(TELEPHONE)
    page.wait_for_timeout(300)
    seen.widths = page.evaluate(WIDTH)
    seen.wide["telephone"] = page.evaluate(WIDE, False)
    seen.axe["telephone"] = _axe(page)
    page.set_viewport_size(DESK)
    page.wait_for_timeout(300)
    seen.theme = page.evaluate(DARKEN)
    seen.dark_ground = page.evaluate(GROUND)
    seen.dark_images = page.evaluate(IMAGES)
    seen.axe["dark"] = _axe(page)
    page.context.close()
    return seen


def console_defects(seen: Visit) -> list[str]:
    """Errors in the console, exceptions, and files of the site that did not come."""
    return [*seen.console, *(f"did not load: {url}" for url in seen.failed)]


def foreign_requests(seen: Visit, base: str) -> list[str]:
    """Requests that leave the site."""
    return [url for url in seen.requests if not url.startswith((base, "data:", f"blob:{base}"))]


def formula_defects(seen: Visit) -> list[str]:
    """TeX left as text, formulas with errors, formulas not typeset."""
    found = [f"TeX in the text: {text}" for text in seen.formulas["raw"]]
    found += [f"MathJax says: {error}" for error in seen.formulas["errors"]]
    if seen.formulas["bare"]:
        found.append(f"{seen.formulas['bare']} of {seen.formulas['marked']} formulas were not typeset")
    return found


def alt_defects(seen: Visit) -> list[str]:
    """Images that did not load, or whose alternative text tells a blind reader nothing."""
    found = []
    for image in seen.images:
        alt, src = image["alt"] or "", image["src"]
        if not image["loaded"]:
            found.append(f"{src}: did not load")
        if len(alt.strip()) < 20 or re.fullmatch(r"\S+\.(png|svg|jpe?g|gif|webp)", alt.strip()):
            found.append(f"{src}: expected alternative text of 20 characters or more, found {alt!r}")
    return found


def dark_defects(seen: Visit) -> list[str]:
    """A page that does not turn dark, or figures that get a light card or a filter there."""
    found = []
    if seen.theme != "dark" or seen.dark_ground == seen.light_ground:
        found.append(
            f"expected the switch to darken the page, found {seen.theme!r} with ground {seen.dark_ground}"
        )
    for image in seen.dark_images:
        if image["figure"] and (image["filter"] != "none" or image["ground"] != "rgba(0, 0, 0, 0)"):
            found.append(
                f"{image['src']}: dark mode sets filter {image['filter']} and ground {image['ground']}"
            )
    return found


def width_defects(seen: Visit) -> list[str]:
    """What makes the page scroll sideways on a telephone, and pictures that lost their proportions there."""
    wide = seen.widths
    found = [f"sticks out: {name}" for name in wide["out"]]
    found += [f"squeezed: {name}" for name in wide["squeezed"]]
    if wide["page"] > wide["window"]:
        found.append(f"the page is {wide['page']} px wide in a window of {wide['window']} px")
    return found


def column_defects(seen: Visit) -> list[str]:
    """Code and outputs wider than their column."""
    return [f"{where}: {what}" for where, found in seen.wide.items() for what in found]


def caption_defects(seen: Visit) -> list[str]:
    """Pictures, films, diagrams and tables without a caption."""
    return [f"expected a caption: {what}" for what in seen.uncaptioned]


def axe_defects(seen: Visit) -> list[str]:
    """Serious and critical findings of axe-core."""
    return [
        f"{mode}: {finding['id']} ({finding['impact']}): {node['html'][:160]}"
        for mode, findings in seen.axe.items()
        for finding in findings
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"][:3]
    ]
