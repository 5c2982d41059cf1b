"""Find a Chromium for the tests, and install one where none is: this computer's, else Playwright's, else Debian's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.project import CourseError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def _candidates() -> Iterator[str]:
    """Where a browser may be, best first; COURSE_BROWSER wins."""
    if chosen := os.environ.get("COURSE_BROWSER"):
        yield chosen
    yield from filter(None, map(shutil.which, NAMES))
    yield from APPLICATIONS
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    yield own


def runs(program: str) -> bool:
    """Whether a browser is there and starts (a downloaded one may lack system libraries)."""
    if not Path(program).exists():
        return False
    try:
        return (
            subprocess.run([program, "--version"], capture_output=True, timeout=60, check=False).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def find() -> str | None:
    """The first browser that starts, or None."""
    return next(filter(runs, _candidates()), None)


def ensure() -> str:
    """The path of a browser, installed if need be and possible; else one line that says what to do."""
    installers = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        installers += [["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "chromium"]]
    for command in [None, *installers]:
        if command:
            print("browser: none yet, trying", " ".join(command), flush=True)
            subprocess.run(command, check=False)
        if program := find():
            return program
    raise CourseError(
        "expected a Chromium or Chrome for the tests, found none and could not install one; install Chromium with your "
        "system's package manager, or name its program in COURSE_BROWSER"
    )


def main() -> int:
    """Print the browser's path."""
    try:
        print(f"browser: {ensure()}")
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
