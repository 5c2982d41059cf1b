"""Bring the leaderboard's record and page, and the zoo's page, up to date: ``python -m course_lib.leaderboard``."""

import argparse
from collections.abc import Sequence

from course_lib import data, experiments, gallery
from course_lib.commands import spoken
from course_lib.leaderboard.page import COMMAND, defects, page, page_path


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring record and pages up to date, or with ``--check`` say what is not."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="score every row anew, not only what changed")
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    options = parser.parse_args(arguments)
    return spoken(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    if options.check:
        found = defects() + gallery.defects()
        print("\n".join(found) or "the leaderboard and the model zoo are up to date")
        return int(bool(found))
    data.require_writable(page_path().parent, "the page")
    if options.all:
        (data.data_folder() / "records" / "leaderboard.json").unlink(missing_ok=True)
    data.write_atomically(page_path(), page(experiments.record("leaderboard")).encode())
    print(f"wrote {page_path()}")
    print(f"wrote {gallery.write()}")
    return 0
