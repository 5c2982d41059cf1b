"""A progress bar that fits where it is shown: a terminal, or a notebook, where nothing of it is left at the end."""

import sys
from typing import Any

from tqdm.std import tqdm


class _NotebookBar(tqdm):
    """tqdm's arithmetic, shown through one updatable display instead of carriage returns on stderr."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._handle: Any = None
        super().__init__(*args, **{**kwargs, "ncols": 80, "file": sys.stdout})

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        from IPython.display import display

        line = {"text/plain": (str(self) if msg is None else msg) or " "}
        if self._handle is None:
            self._handle = display(line, raw=True, display_id=True)
        else:
            self._handle.update(line, raw=True)
        return True

    def moveto(self, n: int) -> None:
        """Nothing to move: there is no cursor."""

    def close(self) -> None:
        if not self.disable:
            self.disable = True  # tqdm's own close would write to the stream
            self._instances.discard(self)
            if self._handle is not None:  # what was printed afterwards says more than a full bar
                self._handle.update({"text/html": "", "text/plain": ""}, raw=True)


def progress(total: int, what: str, *, unit: str = " images", quiet: bool = False) -> tqdm:
    """A context manager: a bar named `what` over `total` >= 1 steps, images by custom. Advance it by ``update(n)``."""
    if total < 1:
        raise ValueError(f"total: expected at least 1 step to show progress of, got {total}")
    bar = _NotebookBar if _in_kernel() else tqdm
    return bar(total=total, desc=what, unit=unit, unit_scale=True, mininterval=0.5, disable=quiet)


def _in_kernel() -> bool:
    """True inside a Jupyter kernel (JupyterLab, Colab, the book's build), false in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")
