"""With this folder in PYTHONPATH every Python process, kernels of notebooks too, obeys PRETEND_DEVICE."""

import os
import sys
from pathlib import Path

if os.environ.get("PRETEND_DEVICE"):
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    import pretend

    pretend.install_with_torch(os.environ["PRETEND_DEVICE"])
