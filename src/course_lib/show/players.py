"""Pictures that move: a slider over drawn positions, and a film that plays through them.

Both need the browser alone, so they work on a built page, where no Python runs. All pictures are drawn beforehand.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

FILM_KB = 300  # the most that the pictures of a film may weigh
SHARP, QUALITY = 160, 85  # dots per inch and WebP quality of a slider's pictures
FILM_SHARP, FILM_QUALITY = 110, 70

# `hidden` chooses the picture. A film plays once when it comes into view, unless the reader prefers reduced motion.
PLAYER = Template("""<div class="course-player" id="$id">
<div class="course-frames">$frames</div>
<div class="course-controls">$button<label>$label <input type="range" min="0" max="$last" value="$first"></label>
<output>$name</output></div>
<script>
(() => {
  const root = document.getElementById("$id"), names = $names, wait = $wait;
  const range = root.querySelector("input"), said = root.querySelector("output");
  const button = root.querySelector("button"), frames = root.querySelector(".course-frames").children;
  let timer = null;
  const show = (k) => {
    for (let i = 0; i < frames.length; i++) frames[i].hidden = i !== k;
    range.value = k;
    said.textContent = names[k];
    range.setAttribute("aria-valuetext", names[k]);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    if (button) button.textContent = "Play";
  };
  const play = () => {
    if ([$first, frames.length - 1].includes(+range.value)) show(0);
    button.textContent = "Pause";
    timer = setInterval(() => {
      show(+range.value + 1);
      if (+range.value === frames.length - 1) stop();
    }, wait);
  };
  range.addEventListener("input", () => { stop(); show(+range.value); });
  show(+range.value);
  if (!button) return;
  button.addEventListener("click", () => (timer ? stop() : play()));
  if (!("IntersectionObserver" in window) || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    if (!timer) play();
  }, {threshold: 0.6});
  seen.observe(root);
})();
</script></div>""")


@dataclass(frozen=True)
class Player:
    """What `slider` and `film` return: HTML that a notebook shows."""

    page: str

    def _repr_html_(self) -> str:
        return self.page

    def __repr__(self) -> str:
        return "a picture that moves; it needs a notebook or a browser"


def slider(
    label: str,
    values: Sequence[Any],
    draw: Callable[[Any], Figure],
    describe: Callable[[Any], str],
    *,
    start: Any = None,
) -> Player:
    """A slider named `label` over `values`; each position shows the figure ``draw(value)``.

    `describe` gives each picture's text for readers who do not see it. `start` is shown first.
    """
    first = 0 if start is None else _place("start", start, values)
    return _player(
        label, values, [_webp(draw(value), SHARP, QUALITY) for value in values], describe, first, 0.0
    )


def film(
    label: str,
    values: Sequence[Any],
    draw: Callable[[Any], Figure],
    describe: Callable[[Any], str],
    *,
    seconds: float = 6.0,
    rest: Any = None,
) -> Player:
    """A film of the figures ``draw(value)``, one after another within `seconds`; arguments as those of `slider`.

    It has a button to play and to pause, and rests at the value `rest` (default: the last) until it plays. Raises
    ValueError where its pictures weigh more than `FILM_KB`.
    """
    resting = len(values) - 1 if rest is None else _place("rest", rest, values)
    pictures = [_webp(draw(value), FILM_SHARP, FILM_QUALITY) for value in values]
    kilobytes = sum(map(len, pictures)) / 1000
    if kilobytes > FILM_KB:
        raise ValueError(
            f"values: expected pictures of at most {FILM_KB} kB together, got {kilobytes:.0f} kB in {len(pictures)}; "
            "take fewer or smaller ones"
        )
    return _player(label, values, pictures, describe, resting, seconds)


def _place(name: str, value: Any, values: Sequence[Any]) -> int:
    """Where `value` stands among the values."""
    if value not in values:
        raise ValueError(f"{name}: expected one of {list(values)}, got {value!r}")
    return list(values).index(value)


def _player(
    label: str,
    values: Sequence[Any],
    pictures: list[bytes],
    describe: Callable[[Any], str],
    first: int,
    seconds: float,
) -> Player:
    """The HTML of a slider, or, if it lasts any `seconds`, of a film."""
    if len(values) < 2:
        raise ValueError(f"values: expected at least two positions to move between, got {len(values)}")
    frames = [
        f'<img src="data:image/webp;base64,{base64.b64encode(picture).decode()}" '
        f'alt="{html.escape(describe(value), quote=True)}"{"" if k == first else " hidden"}>'
        for k, (value, picture) in enumerate(zip(values, pictures, strict=True))
    ]
    names = [str(value) for value in values]
    escaped = [name.replace("\\", "\\\\").replace('"', '\\"').replace("<", "\\u003c") for name in names]
    page = PLAYER.substitute(
        id="player-" + hashlib.sha256(b"".join([label.encode(), *pictures])).hexdigest()[:12],
        frames="".join(frames),
        button='<button type="button">Play</button> ' if seconds else "",
        label=html.escape(label),
        last=len(names) - 1,
        first=first,
        name=html.escape(names[first]),
        names="[" + ", ".join(f'"{name}"' for name in escaped) + "]",
        wait=round(1000 * seconds / len(names)),
    )
    return Player(page)


def _webp(figure: Figure, dpi: int, quality: int) -> bytes:
    """The figure as a picture file; the figure is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=dpi, pil_kwargs={"quality": quality})
    plt.close(figure)
    return buffer.getvalue()
