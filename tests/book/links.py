"""Every link of the built site that points into the site itself: does its file, and its anchor, exist?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools.project import address_is_set


class _Page(HTMLParser):
    """Collects what a page links to and what can be linked to in it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for key in ("href", "src"):
            if value := given.get(key):
                self.links.append(value)
        for key in ("id", "name"):
            if value := given.get(key):
                self.anchors.add(value)


@cache
def parse(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def broken(path: Path, site: Path) -> Iterator[str]:
    """The links of a page that lead nowhere, each with the reason."""
    for link in dict.fromkeys(parse(path).links):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            if parts.scheme in ("http", "file", "ftp"):
                yield f"{link}: expected https or a link within the site"
            if not address_is_set(link):
                yield f"{link}: the repository's address is not set, expected no link to it"
            continue
        start = site if parts.path.startswith("/") else path.parent
        target = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            yield f"{link}: no such file"
        elif (
            parts.fragment
            and target.suffix == ".html"
            and unquote(parts.fragment) not in parse(target).anchors
        ):
            yield f"{link}: no such anchor in {target.name}"
