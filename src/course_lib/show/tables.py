"""Tables that are tables: read out as such, and scrolling in themselves where a screen is too narrow."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

NUMBER = re.compile(r"[-−+±<>≤≥≈]?\s?[\d.]|[—–-]?$")


@dataclass(frozen=True)
class Table:
    """What `table` returns; a notebook shows it as HTML, a terminal as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_html_(self) -> str:
        # Columns of numbers stand to the right, so that digits of one weight stand below each other.
        sides = [
            "left" if k == 0 or not all(map(NUMBER.match, cells)) else "right"
            for k, cells in enumerate(zip(*self.rows, strict=True))
        ]

        def line(cells: Sequence[str], tags: Sequence[str]) -> str:
            written = [
                f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag.split()[0]}>'
                for cell, side, tag in zip(cells, sides, tags, strict=True)
            ]
            return f"<tr>{''.join(written)}</tr>"

        head = line(self.columns, ['th scope="col"'] * len(sides))
        body = "".join(line(row, ['th scope="row"'] + ["td"] * (len(sides) - 1)) for row in self.rows)
        return f'<div class="course-table"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'

    def __repr__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table with the heads `columns`; each of `rows` has a cell for each, and its first cell names it.

    Cells are shown as ``str`` gives them, so numbers come written as they should be read: ``f"{value:.2f}"``.
    """
    if not rows:
        raise ValueError("rows: expected at least one, got none")
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"rows: expected {len(columns)} cells in each, got {len(row)}: {list(row)}")
    return Table(tuple(map(str, columns)), tuple(tuple(map(str, row)) for row in rows))
