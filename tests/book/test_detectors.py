"""Each detector finds a planted defect; a test that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.book import controls, links, visit
from tests.book.visit import Visit

BAD = """<!doctype html><html lang="en"><head><title>t</title></head><body><main><h1>Bad</h1>
<p>left as text: $x^2$ and \\(y\\)</p><p class="math">z</p><mjx-merror>oops</mjx-merror>
<mjx-mtext style="color: red;">undefined</mjx-mtext>
<img alt="plot.png" src="missing.png"><img src="missing2.png">
<div class="cell_output" style="background: white"><img alt="A figure with a description that is long enough"
 src="data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 width=%229%22 height=%229%22/%3E"></div>
<img alt="A figure that is squeezed" style="width: 700px; height: 90px; max-width: 100%"
 src="data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 width=%22700%22 height=%2290%22/%3E">
<div style="width: 700px">wide</div><p style="color: #ddd; background: #fff">pale text</p>
<a href="nowhere.html">a</a><a href="#nothing">b</a><a href="http://localhost/">c</a>
<a href="https://github.com/OWNER/course/issues">d</a>
<button tabindex="0" style="outline: none">silent</button><a id="jump" href="bad.html">jump</a>
<div class="jupyter-widgets"><div role="slider" tabindex="0" aria-valuenow="0" aria-valuemax="3"></div></div>
<div class="course-player"><button>Play</button><input type="range" max="3" readonly onkeydown="return false"></div>
<div class="cell tag_predict"><div class="Quiz">Predict. What?</div></div><h2>next</h2>
<div class="cell"><pre style="overflow: auto; width: 90px">a line of code that is far too wide</pre>
<div class="cell_output"><div class="course-table">table</div></div></div>
<div class="Quiz"><label id="fb1-0"><input type="radio" name="r"></label><div id="fb1"></div></div>
<div class="Quiz"><div id="fb2"></div></div>
<script>
console.error("planted"); fetch("http://127.0.0.1:9/other").catch(() => {});
document.querySelector('button').addEventListener('focus', (e) => e.target.blur());
document.getElementById('jump').addEventListener('focus', (e) => e.target.blur());
</script></main></body></html>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "bad.html").write_text(BAD, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path, serve: Callable[[Path], str]) -> str:
    return serve(folder)


@pytest.fixture(scope="module")
def bad(browser: Browser, address: str) -> Iterator[Visit]:
    return visit.visit(browser, address, "bad.html")


def test_links(folder: Path) -> None:
    found = "\n".join(links.broken(folder / "bad.html", folder))
    for link in (
        "nowhere.html: no such file",
        "#nothing: no such anchor",
        "http://localhost/: expected https",
        "https://github.com/OWNER/course/issues: the repository's address is not set",
    ):
        assert link in found
    assert "bad.html: no" not in found


def test_console(bad: Visit) -> None:
    found = "\n".join(visit.console_defects(bad))
    assert "planted" in found
    assert "missing.png" in found


def test_foreign_host(bad: Visit, address: str) -> None:
    assert visit.foreign_requests(bad, address) == ["http://127.0.0.1:9/other"]


def test_formulas(bad: Visit) -> None:
    found = "\n".join(visit.formula_defects(bad))
    for part in (
        "TeX in the text: left as text",
        "MathJax says: oops",
        "MathJax says: undefined",
        "1 of 1 formulas were not typeset",
    ):
        assert part in found


def test_images(bad: Visit) -> None:
    found = "\n".join(visit.alt_defects(bad))
    assert "found 'plot.png'" in found
    assert "found ''" in found
    assert "did not load" in found
    assert "image/svg" not in found


def test_dark(bad: Visit) -> None:
    found = "\n".join(visit.dark_defects(bad))
    assert "expected the switch to darken" in found
    assert "image/svg" in found


def test_width(bad: Visit) -> None:
    found = visit.width_defects(bad)
    assert any(line.startswith("sticks out: DIV") for line in found)
    assert [line for line in found if "squeezed" in line] == ["squeezed: A figure that is squeezed: 374 x 90"]


def test_columns_and_captions(bad: Visit) -> None:
    assert any(line.startswith("desk: ") and "a line of code" in line for line in visit.column_defects(bad))
    assert visit.caption_defects(bad) == [
        "expected a caption: A figure with a description that is long enough",
        "expected a caption: table",
    ]


def test_axe(bad: Visit) -> None:
    found = "\n".join(visit.axe_defects(bad))
    for rule in ("light: image-alt", "light: color-contrast", "dark: image-alt"):
        assert rule in found


def test_keyboard_sliders_quizzes(browser: Browser, address: str) -> None:
    page = visit.open_page(browser, address + "bad.html")
    assert any('Tab does not reach <a id="jump"' in line for line in controls.keyboard_defects(page))
    sliders = "\n".join(controls.slider_defects(page))
    for part in ("no accessible name", "no text for its value", "does not move", "changes nothing"):
        assert part in sliders
    assert any("does not play" in line for line in controls.film_defects(page))
    assert controls.prediction_defects(page) == ["'Predict. What?' holds nothing back"]
    quizzes = "\n".join(controls.quiz_defects(page))
    assert "gives no feedback" in quizzes
    assert "found neither" in quizzes
    page.context.close()
