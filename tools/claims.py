"""What the chapters claim, under other arithmetic, another number of threads and other seeds.

Readers have other processors than the machine a chapter was written on: sums are rounded in another order there, and a
training that follows goes another way. ``python -m tools.claims`` runs the chapters under each of `CONDITIONS`, cells
that fail included, and lists the failures; the executed notebooks stay in ``_build/claims/CONDITION``, so that numbers
can be compared. ``--margins`` runs nothing: from those notebooks it lists the comparisons in assertions that are close.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import os
import re
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from tools.build_book import BUDGET
from tools.execute import CELL_TIMEOUT, THREADS
from tools.project import ROOT, every_notebook

FOLDER = ROOT / "_build" / "claims"
MAY_FAIL = "raises-exception"
CLOSE = 2.0  # a bound within this factor of the measured value is listed by --margins
WATCH = "_claims"  # the recorder's name in a kernel
SIZE = {"Lt": np.less, "LtE": np.less_equal, "Gt": np.greater, "GtE": np.greater_equal}


def numpy_without(oldest: bool) -> str:
    """The instruction groups to switch off in this NumPy: all beyond its baseline, or only AVX-512.

    Only those that it knows and that this processor has, for NumPy warns of any other.
    """
    core = getattr(np, "_core", None) or np.core  # its name before version 2
    umath = core._multiarray_umath
    return " ".join(
        name
        for name in umath.__cpu_dispatch__
        if umath.__cpu_features__.get(name) and (oldest or name.startswith(("AVX512", "X86_V4")))
    )


@dataclass(frozen=True)
class Condition:
    """One way to run the chapters: a seed, a number of threads, and what else the environment says."""

    seed: int = 0
    threads: int = 1
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """The environment of a kernel under this condition."""
        # The course's own PYTHONPATH first: the kernel must find the tools (for the recorder) beside the library.
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
        fixed = {"COURSE_BUDGET": BUDGET, "COURSE_SEED": str(self.seed), "PYTHONPATH": path}
        return {**os.environ, **fixed, **dict.fromkeys(THREADS, str(self.threads)), **self.environment}


def instructions(torch: str, onednn: str, mkl: str, openblas: str, *, oldest: bool) -> dict[str, str]:
    """The environment in which every library computes with an older processor's instructions."""
    return {
        "ATEN_CPU_CAPABILITY": torch,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "MKL_ENABLE_INSTRUCTIONS": mkl,
        "OPENBLAS_CORETYPE": openblas,
        "NPY_DISABLE_CPU_FEATURES": numpy_without(oldest),
    }


CONDITIONS = {
    "native": Condition(),
    "avx2": Condition(environment=instructions("avx2", "AVX2", "AVX2", "Haswell", oldest=False)),
    "oldest": Condition(environment=instructions("default", "SSE41", "SSE4_2", "Nehalem", oldest=True)),
    "two-threads": Condition(threads=2),
    "seed-1": Condition(seed=1),
    "seed-2": Condition(seed=2),
}


class Recorder(ast.NodeTransformer):
    """Keeps the numbers that a kernel's assertions compare: an AST transformer for IPython.

    Each operand ``x`` of a comparison becomes ``_claims.seen(key, place, operator, x)``, which returns it unchanged.
    """

    def __init__(self) -> None:
        self.cell = -1  # how many cells were run before this one
        self.inside = False
        self.last: Any = None
        self.found: dict[tuple[int, str], tuple[float, float, float]] = {}

    def visit_Module(self, node: ast.Module) -> ast.AST:
        """A cell, before it is run."""
        self.cell += 1
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        """Look into an assertion's test; its message stays."""
        self.inside = True
        node.test = self.visit(node.test)
        self.inside = False
        return ast.fix_missing_locations(node)

    def visit_Compare(self, node: ast.Compare) -> ast.Compare:
        """Wrap a comparison's operands."""
        if self.inside:
            text, signs = ast.unparse(node), ["", *(type(op).__name__ for op in node.ops)]
            operands = [self.visit(operand) for operand in (node.left, *node.comparators)]
            wrapped = [
                ast.Call(
                    ast.Attribute(ast.Name(WATCH, ast.Load()), "seen", ast.Load()),
                    [ast.Constant(text), ast.Constant(sign), operand],
                    [],
                )
                for sign, operand in zip(signs, operands, strict=True)
            ]
            node.left, node.comparators = wrapped[0], wrapped[1:]
        return node

    def seen(self, text: str, sign: str, value: Any) -> Any:
        """Keep the comparison with the operand before, if it is one of size and the closest so far."""
        before, self.last = self.last, value
        if sign in SIZE:
            key = (self.cell, text)
            try:
                pair = np.broadcast_arrays(*(np.asarray(_plain(x), dtype=float) for x in (before, value)))
            except (TypeError, ValueError):
                return value  # not numbers
            rows = list(zip(*(side.ravel().tolist() for side in pair), strict=True))
            if len(rows) > 1 and not SIZE[sign](*pair).all():
                return value  # it selects among many
            for left, right in rows:
                slack = _slack(left, right, sign)
                if key not in self.found or slack < self.found[key][0]:
                    self.found[key] = slack, left, right
        return value

    def dump(self) -> str:
        """All that was kept, as JSON: number of the cell, comparison, slack, left, right."""
        return json.dumps([[*key, *value] for key, value in self.found.items()])


def _plain(x: Any) -> Any:
    return x.detach().cpu() if hasattr(x, "detach") else x


def _slack(left: float, right: float, sign: str) -> float:
    """How many times nearer the sides could be before the comparison fails; below 1, it has failed."""
    small, large = (left, right) if sign in ("Lt", "LtE") else (right, left)
    if small < 0 and large < 0:
        small, large = -large, -small
    if small <= 0 <= large:
        return math.inf if small < large else 1.0
    return large / small if small > 0 else 0.0


@dataclass(frozen=True)
class Failure:
    """A cell that failed: its id, the error's last line, and what the cell had printed."""

    cell: str
    error: str
    printed: str


def failures(notebook: nbformat.NotebookNode) -> list[Failure]:
    """The cells of an executed notebook that failed and are not meant to."""
    found = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        error = next((output for output in outputs if output.output_type == "error"), None)
        if error is None or MAY_FAIL in cell.metadata.get("tags", []):
            continue
        printed = "".join(output.text for output in outputs if output.output_type == "stream")
        last = f"{error.ename}: {error.evalue}".strip().splitlines()[-1]
        found.append(Failure(cell.id, re.sub(r"\x1b\[[0-9;]*m", "", last), printed.strip()))
    return found


def run(path: Path, condition: Condition) -> tuple[nbformat.NotebookNode, float]:
    """Execute a copy of a notebook, errors allowed; return it and the seconds.

    The comparisons of its assertions are in its metadata: `claims`, a list of cell, comparison, slack, left, right.
    """
    notebook = nbformat.read(path, as_version=4)
    first = nbformat.v4.new_code_cell(
        f"from tools.claims import Recorder as {WATCH}\n"
        f"{WATCH} = {WATCH}(); get_ipython().ast_transformers.append({WATCH})"
    )
    last = nbformat.v4.new_code_cell(f"print({WATCH}.dump())")
    notebook.cells = [first, *notebook.cells, last]
    start = time.monotonic()
    reached: list[nbformat.NotebookNode] = []
    with tempfile.TemporaryDirectory() as sockets:
        # Files instead of ports: two kernels that start in one moment cannot choose the same.
        manager = AsyncKernelManager(transport="ipc", ip=str(Path(sockets) / "kernel"))
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=CELL_TIMEOUT,
            allow_errors=True,
            resources={"metadata": {"path": str(path.parent)}},
            on_cell_execute=lambda cell, cell_index: reached.append(cell),
        )
        died = None
        try:
            client.execute(env=condition.variables(), cleanup_kc=True)
        except (CellTimeoutError, DeadKernelError) as error:
            died = error
    seconds = time.monotonic() - start
    notebook.cells = notebook.cells[1:-1]
    if died:
        error = {"ename": type(died).__name__, "evalue": str(died), "traceback": []}
        reached[-1].outputs.append(nbformat.v4.new_output("error", **error))
        return notebook, seconds
    if any(output.output_type == "error" for output in [*first.outputs, *last.outputs]):
        raise RuntimeError(
            f"{path.name}: expected the recorder to run, found {[*first.outputs, *last.outputs]}"
        )
    names = [cell.id for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    records = json.loads("".join(output.text for output in last.outputs))
    notebook.metadata["claims"] = [[names[number], *rest] for number, *rest in records]
    return notebook, seconds


def short(path: Path) -> str:
    """A chapter's two digits, or an appendix's name."""
    return path.stem[:2] if path.stem[:2].isdigit() else path.stem


def margins(folder: Path = FOLDER) -> list[str]:
    """The close comparisons of the executed notebooks in `folder`, with both sides under each condition.

    Those come first whose distance from the bound is smallest against its spread over the conditions.
    """
    sides: dict[tuple[str, str, str], dict[str, tuple[float, float, float]]] = defaultdict(dict)
    for path in sorted(folder.glob("*/*.ipynb")):
        for cell, text, slack, left, right in nbformat.read(path, as_version=4).metadata.get("claims", []):
            sides[path.stem, cell, text][path.parent.name] = slack, left, right
    listed = []
    for (chapter, cell, text), rows in sides.items():
        if min(slack for slack, _, _ in rows.values()) < CLOSE:
            gaps = [abs(left - right) for _, left, right in rows.values()]
            spread = max(gaps) - min(gaps)
            safety = min(gaps) / spread if spread else math.inf
            values = "; ".join(f"{name} {left:.4g} | {right:.4g}" for name, (_, left, right) in rows.items())
            nearness = f"[{safety:.1f} spreads]" if spread else "[the same in all]"
            listed.append((safety, f"{short(Path(chapter))} {cell}: {text}  {nearness}\n     {values}"))
    return [line for _, line in sorted(listed)]


def main(arguments: list[str] | None = None) -> int:
    """Run the chapters under the conditions and print the failures, or list the margins; 1 if a cell failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.claims", description=__doc__.splitlines()[0])
    parser.add_argument("--chapters", nargs="+", metavar="NN", help="08 10 errata … (default: all)")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="kernels at a time")
    parser.add_argument("--margins", action="store_true", help="list close comparisons of earlier runs")
    options = parser.parse_args(arguments)
    if options.margins:
        print("\n".join(margins()))
        return 0
    known = {short(path): path for path in every_notebook()}
    if unknown := sorted(set(options.chapters or []) - set(known)):
        parser.error(f"expected chapters from {', '.join(known)}; found {', '.join(unknown)}")
    chapters = [known[name] for name in options.chapters or known]

    failed: list[str] = []
    table: dict[tuple[str, str], str] = {}

    def one(name: str, path: Path) -> None:
        notebook, seconds = run(path, CONDITIONS[name])
        kept = FOLDER / name / path.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, kept)
        found = failures(notebook)
        table[name, path.stem] = f"{f'{len(found)} failed' if found else 'ok'} {seconds:.0f} s"
        print(f"claims: {name:<12} {path.stem:<35} {table[name, path.stem]}", flush=True)
        for failure in found:
            printed = "".join(f"\n    | {line}" for line in failure.printed.splitlines()[-6:])
            failed.append(f"{name}, {path.stem}, cell {failure.cell}: {failure.error}{printed}")

    for threads in sorted({CONDITIONS[name].threads for name in options.conditions}):
        with ThreadPoolExecutor(max(1, options.jobs // threads)) as pool:
            names = [name for name in options.conditions if CONDITIONS[name].threads == threads]
            for done in [pool.submit(one, name, path) for name in names for path in chapters]:
                done.result()
    print(f"\n{'':<12}" + "".join(f"{short(path):>15}" for path in chapters))
    for name in options.conditions:
        print(f"{name:<12}" + "".join(f"{table[name, path.stem]:>15}" for path in chapters))
    print("\n" + ("\n".join(failed) if failed else "every cell passes"))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
