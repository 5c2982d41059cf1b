"""The one setup cell that every notebook starts with."""

from __future__ import annotations

CELL_ID = "setup"
TAGS = ["setup", "hide-cell"]

_TEMPLATE = """\
# Setup, the same in every chapter. On Colab it fetches the course and
# installs nothing over what Colab brings; elsewhere it only imports.
import importlib.util
import subprocess
import sys
from pathlib import Path

if (
    "google.colab" in sys.modules
    and importlib.util.find_spec("course_lib") is None
):
    url = "{url}"
    if "/OWNER/" in url:
        raise RuntimeError(
            "expected the address of this course's repository, found "
            f"{{url}}; open the notebook from a published copy, or replace "
            "OWNER as README.md says"
        )
    folder = Path(url.rsplit("/", 1)[1]).resolve()
    clone = [
        "git",
        "clone",
        "--quiet",
        "--depth",
        "1",
        url,
        str(folder),
    ]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    package = f"{{folder}}[notebooks]"
    install = [*pip, "install", "--quiet", "--editable", package]
    for step in [install] if folder.exists() else [clone, install]:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["nothing"]
            bad = ("fatal", "ERROR")
            errors = [line for line in said if line.startswith(bad)]
            raise RuntimeError(
                f"expected to set up the course from {{url}}; {{step[0]}} "
                f"said: {{(errors or said[-1:])[0]}}; check the network, "
                f"delete {{folder}} if it exists, run this cell again"
            )
    sys.path.insert(0, str(folder / "src"))
    importlib.invalidate_caches()

if importlib.util.find_spec("course_lib") is None:
    raise ModuleNotFoundError(
        "expected the course's library, found none; clone "
        "{url}, "
        "run `make lab` there, or install it here: "
        "pip install --editable 'CLONE[notebooks]'"
    )
from course_lib import training

rt = training.Runtime()  # device (CUDA, MPS or CPU), budget, seed
print(rt)"""


def setup_source(url: str) -> str:
    """The cell's text for a repository; nothing else in it may vary."""
    return _TEMPLATE.format(url=url)
