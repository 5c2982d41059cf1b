"""These tests need a pretended GPU: ``python -m tools.check cuda mps`` runs them once for each kind.

By hand: ``PRETEND_DEVICE=mps PYTHONPATH=tests/accelerator/site pytest tests/accelerator``. Else they are passed over.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent))
KIND = os.environ.get("PRETEND_DEVICE", "")
collect_ignore_glob = [] if KIND else ["test_*.py"]
if KIND:
    import pretend

    pretend.install_with_torch(KIND)


@pytest.fixture(scope="session")
def kind() -> str:
    """The device type of the pretended GPU: cuda or mps."""
    return KIND
