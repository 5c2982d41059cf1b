"""How often a GPU is asked for something: kernels, copies, and waits of the host, by line of Python if wanted.

    with counting(where=True) as seen:
        train_step()
    print(seen)

A copy waits too, unless it is ``non_blocking``. Backward passes run in a thread of the device, which has no line.
"""

from __future__ import annotations

import collections
import contextlib
import sys
from collections.abc import Iterator

import pretend


class Counts(dict[str, int]):
    """Kernels, waits, copies and their bytes; `lines` says where they came from, if that was asked for."""

    lines: collections.Counter[str]

    def __str__(self) -> str:
        text = ", ".join(f"{key} {value:,}" for key, value in self.items())
        return "\n".join([text, *(f"{n:7,}  {what}" for what, n in self.lines.most_common(40))])


@contextlib.contextmanager
def counting(
    *, where: bool = False, events: tuple[str, ...] = ("wait", "to_gpu", "to_cpu"), only: str = ""
) -> Iterator[Counts]:
    """Count what the pretended GPU is asked for.

    Args:
        where: also count by event and innermost line of Python outside of torch, which is slow.
        events: which ones to look up then; ``"kernel"`` is possible too.
        only: look up none but lines of files whose path contains this.
    """
    native = pretend.native
    seen, before = Counts(), native.counts()
    seen.lines = collections.Counter()

    def note(event: str, operator: str, size: int) -> None:
        if event not in events:
            return
        frame, line = sys._getframe(1), "(no Python)"
        while frame is not None:
            file = frame.f_code.co_filename
            if "/site-packages/torch/" not in file and (not only or only in file):
                line = f"{file}:{frame.f_lineno} {frame.f_code.co_name}"
                break
            frame = frame.f_back
        seen.lines[f"{event} {operator} {line}"] += 1

    if where:
        native.listen(note)
    try:
        yield seen
    finally:
        if where:
            native.listen(None)
        seen.update({key: value - before[key] for key, value in native.counts().items()})
