"""A training that is killed, at whatever moment, ends where an undisturbed one does."""

import re
import subprocess
import sys

from tools.project import ROOT


def test_a_hundred_kills_change_nothing(tmp_path):
    command = [sys.executable, "-m", "tests.unit.killing", str(tmp_path / "runs"), "100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    killed, _, writing = map(int, re.findall(r"\d+", done.stdout))
    assert killed >= 100
    assert writing > 0  # some were killed in the middle of a write, or this would prove less
