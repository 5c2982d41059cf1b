"""Keyboard and controls: does Tab reach everything, with a visible focus; do sliders and quizzes answer?"""

from __future__ import annotations

from playwright.sync_api import Page

# Number every control that a sighted reader could click in the main content.
MARK = """() => {
  const wanted = 'a[href], button, input, select, textarea, summary, [role=slider], [role=textbox], [tabindex="0"]';
  const seen = [...document.querySelectorAll('main :is(' + wanted + ')')].filter((e) =>
    !e.disabled && e.type !== 'hidden' && e.getAttribute('tabindex') !== '-1'
    && e.checkVisibility({visibilityProperty: true}));
  seen.forEach((e, k) => { e.dataset.control = k; });
  return seen.map((e) => [e.type === 'radio' ? 'radio ' + e.name : '', e.outerHTML.slice(0, 120)]);
}"""

WHERE = """() => {
  const e = document.activeElement;
  const shown = [e, e.closest('label')].some((x) => x && (getComputedStyle(x).outlineStyle !== 'none'
    && parseFloat(getComputedStyle(x).outlineWidth) > 0 || getComputedStyle(x).boxShadow !== 'none'));
  return [e.dataset.control ?? null, shown];
}"""


def keyboard_defects(page: Page) -> list[str]:
    """Controls of the main content that Tab does not reach, and those that do not show the focus."""
    controls = page.evaluate(MARK)
    page.evaluate("() => { document.activeElement.blur(); window.getSelection().removeAllRanges(); }")
    page.locator("main").evaluate("e => { e.setAttribute('tabindex', '-1'); e.focus(); }")
    reached: set[int] = set()
    hidden: set[int] = set()
    lost = 0
    for _ in range(2 * len(controls) + 60):
        page.keyboard.press("Tab")
        number, shown = page.evaluate(WHERE)
        if number is None:
            lost += 1
            if lost > 40 or len(reached) == len(controls):
                break
            continue
        lost = 0
        reached.add(int(number))
        if not shown:
            hidden.add(int(number))
    # Radio buttons of one question are one stop; the arrow keys go on from there.
    groups = {controls[k][0] for k in reached} - {""}
    missed = [c[1] for k, c in enumerate(controls) if k not in reached and c[0] not in groups]
    return [f"Tab does not reach {html}" for html in missed] + [
        f"no visible focus on {controls[k][1]}" for k in hidden
    ]


# What a slider shows: images and text of its whole widget, without the slider's own number.
SHOWN = """(handle) => {
  let root = handle.closest('.jupyter-widgets, .course-player');
  for (let p = root; p; p = p.parentElement) if (p.matches('.jupyter-widgets')) root = p;
  const images = [...root.querySelectorAll('img, canvas, svg')].filter((e) => !e.hidden).map((e) =>
    (e.getAttribute('alt') || '') + (e.getAttribute('src') || e.outerHTML));
  const texts = [...root.querySelectorAll('.widget-html-content, .jp-OutputArea, .widget-label')]
    .filter((e) => !e.closest('.widget-slider')).map((e) => e.textContent);
  return JSON.stringify([images, texts]);
}"""


SLIDERS = ".jupyter-widgets [role=slider], .course-player input[type=range]"
# Its name, its value and its largest value, as assistive technology reads them.
STATE = """(e) => [e.getAttribute('aria-label') || [...(e.labels || [])].map((l) => l.textContent).join(' '),
  e.getAttribute('aria-valuenow') ?? e.value ?? '', e.getAttribute('aria-valuemax') ?? e.max ?? '',
  e.matches('input') ? e.getAttribute('aria-valuetext') : 'read by the widget']"""


def slider_defects(page: Page) -> list[str]:
    """Sliders that have no name, say only their number, or change nothing."""
    found = []
    handles = page.locator(SLIDERS)
    for index in range(handles.count()):
        handle = handles.nth(index)
        name, value, last, says = handle.evaluate(STATE)
        if not name.strip():
            found.append(f"slider {index} has no accessible name")
        if not says:
            found.append(f"slider {name!r} has no text for its value")
        before = handle.evaluate(SHOWN)
        handle.focus()
        page.keyboard.press("ArrowLeft" if float(value or 0) >= float(last or 0) else "ArrowRight")
        page.wait_for_timeout(300)
        if handle.evaluate(STATE)[1] == value:
            found.append(f"slider {name!r} does not move")
        if handle.evaluate(SHOWN) == before:
            found.append(f"slider {name!r} changes nothing that is shown")
    return found


def film_defects(page: Page) -> list[str]:
    """Films that do not play to their end, or do not stop when they are told."""
    found = []
    films = page.locator(".course-player:has(button)")
    for index in range(films.count()):
        button, position = films.nth(index).locator("button"), films.nth(index).locator("input")
        name = position.evaluate(STATE)[0]
        button.scroll_into_view_if_needed()
        if button.inner_text() != "Play":
            found.append(f"film {name!r}: expected it to wait for its reader, found it playing")
        start = position.input_value()
        button.click()
        for _ in range(40):  # up to four seconds: some films rest long on each picture
            page.wait_for_timeout(100)
            if position.input_value() != start:
                break
        if position.input_value() == start:
            found.append(f"film {name!r} does not play")
        if button.inner_text() == "Play":  # a slow machine: it has come to its end
            continue
        button.click()
        stopped = position.input_value()
        page.wait_for_timeout(900)
        if position.input_value() != stopped:
            found.append(f"film {name!r} does not stop")
    return found


def prediction_defects(page: Page) -> list[str]:
    """Predictions that hold nothing back, that show it too early, or do not give it free."""
    found = []
    cells = page.locator("div.cell.tag_predict")
    for index in range(cells.count()):
        cell = cells.nth(index)
        name = cell.locator(".Quiz").first.inner_text()[:60]
        waiting = page.locator(".course-waits")
        before = waiting.count()
        decline = cell.locator(".course-decline")
        if not decline.count():
            found.append(f"{name!r} holds nothing back")
            continue
        if any(waiting.nth(k).is_visible() for k in range(before)):
            found.append(f"{name!r}: a result is shown before an answer")
        if index % 2:
            decline.click()
        else:
            cell.locator("input[type=radio]").first.focus()
            page.keyboard.press("Space")
        page.wait_for_timeout(150)
        if waiting.count() >= before or decline.count():
            found.append(f"{name!r} gives nothing free")
    return found


def quiz_defects(page: Page) -> list[str]:
    """Questions whose answers cannot be given by keyboard, or that give no feedback."""
    found = []
    quizzes = page.locator(".Quiz")
    for index in range(quizzes.count()):
        quiz = quizzes.nth(index)
        name = quiz.get_attribute("aria-label") or f"question {index}"
        feedback = quiz.locator("div[id^=fb]")
        radios = quiz.locator("input[type=radio]")
        for number in range(radios.count()):
            feedback.evaluate("e => { e.textContent = ''; }")
            radios.nth(number).focus()
            page.keyboard.press("Space")
            if len(feedback.inner_text().strip()) < 2:
                found.append(f"{name}: answer {number} gives no feedback")
        field = quiz.locator("input.Input-text")
        if field.count():
            field.first.focus()
            page.keyboard.type("123456")
            page.keyboard.press("Enter")
            if len(feedback.inner_text().strip()) < 2:
                found.append(f"{name}: a number gives no feedback")
        elif not radios.count():
            found.append(f"{name}: expected answers to choose or a field, found neither")
    return found
