"""Where things are, and where the repository lives: the one place that other tools ask."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
SITE = ROOT / "_build" / "html"
EXECUTED = ROOT / "_build" / "executed"
VENDOR = BOOK / "_static" / "vendor"


class CourseError(Exception):
    """A mistake that one line can explain: what was expected, what came, what to do."""


def declared_repository(root: Path = ROOT) -> str:
    """The repository's URL as pyproject.toml states it; every other mention is derived from this one."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        url = project["urls"]["Repository"]
    except KeyError:
        raise CourseError(
            "pyproject.toml: expected [project.urls] with a Repository entry, found none; add it"
        ) from None
    if not re.fullmatch(r"https://[\w.-]+/[\w.-]+/[\w.-]+", url):
        raise CourseError(
            f"pyproject.toml: expected a Repository like https://github.com/OWNER/NAME, found {url!r}"
        )
    return url


def repository(environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> str:
    """The URL in force: a fork's workflow sets GITHUB_REPOSITORY (owner/name), which wins over pyproject.toml."""
    fork = environ.get("GITHUB_REPOSITORY", "")
    if not fork:
        return declared_repository(root)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", fork):
        raise CourseError(f"GITHUB_REPOSITORY: expected owner/name, found {fork!r}; correct or unset it")
    return f"{environ.get('GITHUB_SERVER_URL', 'https://github.com').rstrip('/')}/{fork}"


def address_is_set(url: str) -> bool:
    """Whether a repository's URL is more than the placeholder that a copy of the course starts with."""
    return "/OWNER/" not in url


def notebooks(root: Path = ROOT) -> list[Path]:
    """The chapters' notebooks in the order of the book."""
    return _notebooks(root / "book")


def appendices(root: Path = ROOT) -> list[Path]:
    """The appendices that are notebooks: run, checked and shipped like chapters, but without a chapter's anatomy."""
    return _notebooks(root / "book" / "appendix")


def every_notebook(root: Path = ROOT) -> list[Path]:
    """Chapters and appendices. Their file names differ, since executed notebooks and editions lie side by side."""
    return [*notebooks(root), *appendices(root)]


def _notebooks(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.ipynb") if not path.name.startswith("."))
