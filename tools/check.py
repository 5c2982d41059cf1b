"""Everything that `make test` checks, in the order that finds cheap mistakes first.

Every step runs, even after one has failed: a contributor sees all that is wrong, with the time each step took.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tools.execute import THREADS
from tools.project import ROOT

PYTHON = [sys.executable, "-m"]
PYTEST = [*PYTHON, "pytest", "-q"]
WORKERS = str(max(2, os.cpu_count() or 2))

STEPS: dict[str, list[str]] = {
    "browser": [*PYTHON, "tools.browser"],
    "lint": [*PYTHON, "ruff", "check", "."],
    "imports": [str(Path(sys.executable).with_name("lint-imports"))],
    "format": [*PYTHON, "ruff", "format", "--check", "."],
    "normalised": [*PYTHON, "tools.notebooks", "check"],
    "unit": [*PYTEST, "tests/unit", "-n", WORKERS],
    "structure": [*PYTEST, "tests/notebooks"],
    "smoke": [*PYTEST, "--nbval-lax", "book", "-n", WORKERS, "--dist", "loadfile"],
    "cuda": [*PYTHON, "tools.pretend", "cuda"],
    "mps": [*PYTHON, "tools.pretend", "mps"],
    "book": [*PYTHON, "tools.build_book"],
    "pages": [*PYTEST, "tests/book", "-n", WORKERS],
}
# Tests and notebooks run beside each other; a thread each keeps them from fighting over the cores.
ONE_THREAD = dict.fromkeys(THREADS, "1")
ENVIRONMENT = {"unit": ONE_THREAD, "smoke": {"COURSE_BUDGET": "smoke", **ONE_THREAD}}


def print_summary(table: list[tuple[str, int, float]]) -> None:
    """Print the steps' names, exit statuses and seconds, and the time of all."""
    print("\n=== summary")
    for name, status, seconds in table:
        print(f"{name:<12} {'passed' if status == 0 else 'FAILED':<7} {seconds:6.0f} s")
    print(f"{'all':<12} {'':<7} {sum(row[2] for row in table):6.0f} s")


def main(arguments: list[str] | None = None) -> int:
    """Run the named steps (all by default), print a table, return an exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.check", description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=", ".join(STEPS))
    chosen = parser.parse_args(arguments).steps or list(STEPS)
    if unknown := sorted(set(chosen) - set(STEPS)):
        parser.error(f"expected steps from {', '.join(STEPS)}; found {', '.join(unknown)}")
    table = []
    for name in chosen:
        print(f"\n=== {name}", flush=True)
        start = time.monotonic()
        environment = {**os.environ, **ENVIRONMENT.get(name, {})}
        status = subprocess.run(STEPS[name], cwd=ROOT, env=environment, check=False).returncode
        table.append((name, status, time.monotonic() - start))
    print_summary(table)
    return int(any(status for _, status, _ in table))


if __name__ == "__main__":
    sys.exit(main())
