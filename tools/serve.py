"""Show the built site on this computer. Needs nothing but Python: a copied folder can be served anywhere."""

from __future__ import annotations

import errno
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tools.project import SITE, CourseError


class _Quiet(SimpleHTTPRequestHandler):
    """Say nothing about files that are there."""

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Errors are reported by log_error."""


def port_number(text: str) -> int:
    """The port that a user asked for.

    Raises:
        CourseError: it is no number from 1 to 65535.
    """
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise CourseError(f"expected a port from 1 to 65535, found {text!r}; use make serve PORT=8001")
    return int(text)


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder for this computer only.

    Raises:
        CourseError: there is no site in the folder, or the port cannot be had.
    """
    if not (folder / "index.html").is_file():
        raise CourseError(f"expected a site in {folder}, found none; run `make book`")
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        why = "taken by another program" if error.errno == errno.EADDRINUSE else f"refused ({error.strerror})"
        other = port + 1 if 1024 <= port < 65535 else 8001
        raise CourseError(f"expected a free port, {port} is {why}; use make serve PORT={other}") from None


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        site = server(SITE, port_number(given[0] if given else "8000"))
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with site:
        print(f"http://localhost:{site.server_port} (Ctrl-C ends it)", flush=True)
        try:
            site.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
