"""What the course's command lines have in common: a mistake becomes one line, and an exit status for scripts."""

import io
import os
import sys
from collections.abc import Callable

import torch

from course_lib.training import TrainingDiverged
from course_lib.training.distributed import OthersEnded

MISTAKES = (
    ImportError,
    MemoryError,
    OSError,
    OthersEnded,
    TrainingDiverged,
    ValueError,
    torch.OutOfMemoryError,
)


def spoken(work: Callable[[], int]) -> int:
    """What `work` returns; a mistake is one line on stderr and 1; a reader who leaves (``| head``) is no mistake."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        done = work()
        sys.stdout.flush()
        return done
    except BrokenPipeError:
        # else Python complains once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MISTAKES as error:
        print(f"error: {_advised(error)}", file=sys.stderr)
        return 1


def _advised(error: BaseException) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return (
            "the GPU's memory is full; what was kept is intact: go on with --resume and --accumulate 2, which works on "
            "half a minibatch at a time, or start anew with --device cpu; end other programs that use the GPU "
            f"({str(error).splitlines()[0]})"
        )
    return str(error)
