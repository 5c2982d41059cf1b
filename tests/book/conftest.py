"""The built site, served on this computer, and a browser that visits each page once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.book.visit import Visit, visit
from tools.browser import ensure
from tools.project import SITE


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing: the browser's record tells which files were missing."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n`: all tests of a page go to one worker, which has a browser and a server of its own and visits it once.

    pytest-xdist's marks for groups are lost with this version of pytest, hence a scheduler.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByPage(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            test, _, page = nodeid.partition("[")
            if "test_detectors.py" in test:
                return "detectors"  # they share one visit too
            return page if page.endswith(".html]") else nodeid

    return ByPage(config, log)


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Path], str]]:
    """Serve a folder on a free port and return its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / ".nojekyll").is_file():
        pytest.fail("expected a complete site in _build/html, found none; run `make book`", pytrace=False)
    return SITE


@pytest.fixture(scope="session")
def base(site: Path, serve: Callable[[Path], str]) -> str:
    return serve(site)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # No sandbox: containers and root may not have one, and the only pages visited are the course's own.
        chromium = playwright.chromium.launch(executable_path=ensure(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def visited(browser: Browser, base: str) -> Callable[[str], Visit]:
    """The record of a page, made at the first request for it."""
    return cache(lambda name: visit(browser, base, name))
