"""Diagrams of models: boxes with shapes, and arrows, as SVG that takes its ink from the page.

A box is ``(title, second line, kind)``; its kind, one of `KINDS`, gives it the colour that the kind has in the whole
book.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from course_lib.show.look import CODE, CRITIC, GENERATED, GENERATOR, HIGHLIGHT, REAL, TEXT

KINDS = {
    "real": REAL,
    "generated": GENERATED,
    "network": GENERATOR,
    "critic": CRITIC,
    "code": CODE,
    "loss": HIGHLIGHT,
    "plain": TEXT,
}
WIDTH, HEIGHT, ROW_GAP, COLUMN_GAP = 140, 58, 46, 36
LETTER = 7.2  # width of a letter of an arrow's label, in pixels at most


@dataclass(frozen=True)
class Diagram:
    """What `diagram` returns: HTML that a notebook shows."""

    svg: str

    def _repr_html_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return "a diagram; it needs a notebook or a browser"


def diagram(
    grid: Sequence[Sequence[str | None]],
    boxes: Mapping[str, tuple[str, str, str]],
    arrows: Sequence[tuple[str, ...]],
) -> Diagram:
    """Draw `boxes` where `grid` has their names (None leaves a place empty), and `arrows` between them.

    An arrow is ``(from, to)``, ``(from, to, label)`` or ``(from, to, label, "dashed")``; dashed ones are for gradients.
    Between places of one row or one column it is straight; past a box between them it goes round; else it goes along
    the row first. Four columns at most stay readable on a telephone.

    Raises:
        ValueError: a name of the grid or of an arrow that is no box, or a box of an unknown kind.
    """
    columns = max(map(len, grid))
    places = {name: (r, c) for r, row in enumerate(grid) for c, name in enumerate(row) if name is not None}
    for name in [*places, *(end for arrow in arrows for end in arrow[:2])]:
        if name not in boxes or name not in places:
            raise ValueError(
                f"expected names of boxes that stand in the grid, got {name!r}; boxes: {', '.join(boxes)}"
            )
    for name, box in boxes.items():
        if box[2] not in KINDS:
            raise ValueError(f"boxes: expected {name!r} to be one of {', '.join(KINDS)}, got {box[2]!r}")
    gaps = [COLUMN_GAP] * columns
    for start, end, label, *_ in (arrow for arrow in arrows if len(arrow) > 2):
        (r, c), (r2, c2) = places[start], places[end]
        if r == r2 and abs(c - c2) == 1:
            gaps[min(c, c2)] = max(gaps[min(c, c2)], round(LETTER * len(label)) + 22)
    left = [sum(gaps[:c]) + c * WIDTH + 8 for c in range(columns)]
    top = [r * (HEIGHT + ROW_GAP) + 30 for r in range(len(grid))]
    width, height = left[-1] + WIDTH + 8, top[-1] + HEIGHT + 30
    centres = {name: (left[c] + WIDTH / 2, top[r] + HEIGHT / 2) for name, (r, c) in places.items()}
    parts = [_arrow(arrow, places, centres) for arrow in arrows]
    parts += [_box(boxes[name], *centres[name]) for name in places]
    told = "; ".join(_told(boxes, arrow) for arrow in arrows)
    # Markers are found by id within the whole page, and all diagrams' are alike.
    svg = (
        f'<svg class="course-diagram" role="img" aria-label="Diagram: {html.escape(told, quote=True)}" '
        f'viewBox="0 0 {width} {height}" style="width: 100%; max-width: {width}px; height: auto" '
        'font-family="system-ui, sans-serif" text-anchor="middle" fill="currentColor">'
        '<defs><marker id="course-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="context-stroke"/></marker></defs>'
        f"{''.join(parts)}</svg>"
    )
    return Diagram(svg)


def _told(boxes: Mapping[str, tuple[str, str, str]], arrow: tuple[str, ...]) -> str:
    start, end = (" ".join(filter(None, boxes[name][:2])) for name in arrow[:2])
    label = f" ({arrow[2]})" if len(arrow) > 2 and arrow[2] else ""
    return f"{start} leads to {end}{label}"


def _box(box: tuple[str, str, str], x: float, y: float) -> str:
    title, second, kind = box
    colour = KINDS[kind]
    high = y - 3 if second else y + 5
    lines = f'<text x="{x}" y="{high}" font-size="16" font-weight="600">{html.escape(title)}</text>'
    if second:
        lines += f'<text x="{x}" y="{y + 17}" font-size="13">{html.escape(second)}</text>'
    return (
        f'<rect x="{x - WIDTH / 2}" y="{y - HEIGHT / 2}" width="{WIDTH}" height="{HEIGHT}" rx="8" '
        f'fill="{colour}" fill-opacity="0.14" stroke="{colour}" stroke-width="2"/>{lines}'
    )


def _arrow(
    arrow: tuple[str, ...],
    places: Mapping[str, tuple[int, int]],
    centres: Mapping[str, tuple[float, float]],
) -> str:
    (r, c), (r2, c2) = places[arrow[0]], places[arrow[1]]
    (x, y), (x2, y2) = centres[arrow[0]], centres[arrow[1]]
    between = set(places.values()) - {(r, c), (r2, c2)}
    wide, high = WIDTH / 2 + 3, HEIGHT / 2 + 3
    right, down = (1 if x2 > x else -1), (1 if y2 > y else -1)
    if r == r2 and any(row == r and min(c, c2) < column < max(c, c2) for row, column in between):
        over = y - high - 17  # round the boxes between
        path, at = f"M{x} {y - high}V{over}H{x2}V{y2 - high}", ((x + x2) / 2, over - 5)
    elif r == r2:
        path, at = f"M{x + right * wide} {y}H{x2 - right * wide}", ((x + x2) / 2, y - 7)
    elif c == c2:
        path, at = f"M{x} {y + down * high}V{y2 - down * high}", (x + 8, (y + y2) / 2 + 4)
    else:
        path, at = f"M{x + right * wide} {y}H{x2}V{y2 - down * high}", (x2 - right * 8, y - 7)
    dashed = len(arrow) > 3 and arrow[3] == "dashed"
    look = f'stroke="{HIGHLIGHT}" stroke-dasharray="6 4"' if dashed else 'stroke="currentColor"'
    line = f'<path d="{path}" fill="none" {look} stroke-width="1.8" marker-end="url(#course-head)"/>'
    if len(arrow) > 2 and arrow[2]:
        anchor = "start" if c == c2 and r != r2 else "middle"
        line += f'<text x="{at[0]}" y="{at[1]}" font-size="13" text-anchor="{anchor}">{html.escape(arrow[2])}</text>'
    return line
