"""Importing the data package costs next to nothing beyond torch."""

import subprocess
import sys


def test_nothing_heavy_is_imported():
    code = """
import sys, torch
before = set(sys.modules)
import course_lib.data
heavy = {"torchvision", "dicebear", "resvg_py", "PIL", "matplotlib", "scipy", "sklearn", "skimage", "IPython"}
print(sorted(heavy & {name.split(".")[0] for name in set(sys.modules) - before}))
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
