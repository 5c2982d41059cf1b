"""Run chapters, recipes and scores on a pretended GPU (`tests/accelerator`), which has to be compiled once.

``python -m tools.pretend cuda`` or ``mps``, and what else pytest takes. Without a C++ compiler it says so and passes,
but for continuous integration (the variable CI is set), where it fails. Where there is a real GPU, it asks for that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.accelerator import pretend
from tools.execute import THREADS
from tools.project import ROOT

WORKERS = str(max(2, os.cpu_count() or 2))
TESTS = ["tests/accelerator", "--nbval-lax", "book", "-n", WORKERS, "--dist", "loadscope"]


def ensure_compiler() -> bool:
    """Whether there is a C++ compiler; installed from Debian's packages, if this is root on such a system."""
    if pretend.compiler() is None and shutil.which("apt-get") and os.geteuid() == 0:
        print("pretended GPU: no C++ compiler yet, installing g++", flush=True)
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "g++"]):
            subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    return pretend.compiler() is not None


def main(arguments: list[str] | None = None) -> int:
    """Run the tests under a pretended GPU of this kind."""
    kind, *more = arguments if arguments is not None else sys.argv[1:] or [""]
    if kind not in pretend.KINDS:
        print(f"error: expected {' or '.join(pretend.KINDS)}, found {kind!r}", file=sys.stderr)
        return 2
    if not ensure_compiler():
        print(
            f"pretended GPU: SKIPPED for want of a C++ compiler ({', '.join(pretend.COMPILERS)}); install one to "
            "have the chapters and recipes tried on a GPU"
        )
        return int(bool(os.environ.get("CI")))
    environment = {
        **os.environ,
        **dict.fromkeys(THREADS, "1"),
        "PRETEND_DEVICE": kind,
        "COURSE_BUDGET": "smoke",
    }
    paths = [str(ROOT / "tests" / "accelerator" / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    command = [sys.executable, "-m", "pytest", "-q", *(more or TESTS)]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
