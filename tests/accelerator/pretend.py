"""A pretended GPU: runs what asks for CUDA, or for Apple's MPS, on a machine that has neither.

    python tests/accelerator/pretend.py cuda script.py …
    python tests/accelerator/pretend.py mps -m course_lib.zoo verify
    PRETEND_DEVICE=mps PYTHONPATH=tests/accelerator/site pytest …     (kernels of notebooks inherit both)

No subclass of Tensor is involved. A tensor on the pretended GPU really has the device type ``cuda`` (or ``mps``) and
the dispatch key that belongs to it; only its memory is ordinary memory, and each kernel of that key hands its work to
the CPU's kernel of the same name (`pretended_gpu.cpp`). So PyTorch does what it does on a GPU: it refuses
``.numpy()``, runs backward passes in a thread of the device, saves and loads storages with their location. What a
GPU's kernels refuse is checked before the work is handed on:

* tensors on different devices, but for 0-dim CPU tensors where the operator iterates over elements, and for indices
  (which operators these are is read from PyTorch's own ``native_functions.yaml``);
* a generator of another device than the tensor's, the CPU's state in a device's generator;
* CUDA: products of integer matrices;
* MPS: float64 in any form, also as the result of an operator and as the target of ``x.to("cpu", torch.float64)``,
  which casts on the device; and every operator for which the installed PyTorch has no MPS kernel.
  ``PRETEND_MPS_MISSING=_linalg_eigh,_linalg_svd`` takes further ones away, to play an older PyTorch.

``PRETEND_TF32=1`` rounds the inputs of convolutions as cuDNN does by default on GPUs newer than the T4, and with
``PRETEND_JITTER=1`` what GPUs sum by atomic additions differs in its last bit from call to call: both find comparisons
that are too strict. Random numbers come from other streams than the CPU's with the same seed, as on a real GPU.
`counting.counting` counts kernels, copies and waits.

Limits: no speed, no memory limit, no asynchrony, no streams, CUDA graphs, several GPUs, cuDNN, Triton or
torch.compile; the CPU's rounding, and its restrictions of data types (a few half-precision kernels are missing). MPS
kernels differ among themselves in what they accept of mixed devices; here all are as strict as CUDA's.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import runpy
import subprocess
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "pretended_gpu.cpp"
BUILT = HERE.parents[1] / ".pretended_gpu"  # compiled once for each version of torch and of the source
KINDS = ("cuda", "mps")
COMPILERS = ("c++", "g++", "clang++")

native: Any = None  # the compiled part, once there is a pretended GPU
device: str | None = None  # which kind it is

# Composite on every device, but through cuDNN, MPSGraph or slow loops: handed over whole.
_WHOLE = {"convolution", "_convolution", "convolution_backward", "convolution_overrideable"}
_MPS_ONLY = {
    "_lstm_mps",
    "lstm_mps_backward",
    "_mps_convolution_transpose",
    "mps_convolution_transpose_backward",
}
_MPS_ON_CPU = {
    "embedding_renorm_",
    "col2im",
    "upsample_nearest3d.vec",
}  # PyTorch runs them there, with a warning


def install(kind: str) -> None:
    """Give this process a pretended GPU, before anything else has used one.

    Raises:
        ValueError: another kind than ``"cuda"`` or ``"mps"``.
        RuntimeError: this process has one of the other kind, this machine has a real GPU, or there is no compiler.
    """
    global native, device
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    if device is not None:
        if device != kind:
            raise RuntimeError(
                f"expected one kind of pretended GPU per process, this one has {device} already"
            )
        return
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        raise RuntimeError("expected a machine without a GPU to pretend one, this has a real one; use that")
    native, device = _extension(), kind
    names, falling, missing = _kernels(kind)
    with _muted_stderr():  # one warning that kernels are being replaced
        lenient = [f"aten::{name}" for name in _declared()[1]]
        native.install(kind, sorted(names), sorted(falling), sorted(missing), lenient)
    native.rounding(bool(os.environ.get("PRETEND_TF32")), bool(os.environ.get("PRETEND_JITTER")))
    import disguise  # a neighbour of this file: either is on the path, or a package has imported both

    disguise.torch_says_there_is(kind, native)


def _kernels(kind: str) -> tuple[set[str], set[str], set[str]]:
    """Operators to hand to the CPU, those that PyTorch itself lets fall back to it, and those that are to raise."""
    import torch

    registered = torch._C._dispatch_get_registrations_for_dispatch_key("CUDA")
    on_cuda = {name.removeprefix("aten::") for name in registered if name.startswith("aten::")}
    if kind == "cuda":
        names, falling, missing = on_cuda | _WHOLE, set(), set()
    else:
        known = {
            n.removeprefix("aten::") for n in torch._C._dispatch_get_all_op_names() if n.startswith("aten::")
        }
        names = ((_declared()[0] & known) | _WHOLE) - _MPS_ONLY
        older = set(filter(None, os.environ.get("PRETEND_MPS_MISSING", "").split(",")))
        taken = {name for name in names if name.split(".")[0] in older}
        names -= taken
        falling = _MPS_ON_CPU - names
        missing = taken | (on_cuda - names - falling)
        if os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK", "0") not in ("", "0"):
            falling, missing = falling | missing, set()
        # What is composed of other operators everywhere else (linear, for instance) is so here too.
        composed = torch._C._dispatch_has_kernel_for_dispatch_key
        names = {n for n in names if not composed(f"aten::{n}", "CompositeImplicitAutograd")}
    on_cpu = torch._C._dispatch_has_computed_kernel_for_dispatch_key
    lost = {name for name in names | falling if not on_cpu(f"aten::{name}", "CPU")}
    return names - lost, falling - lost, lost if kind == "cuda" else missing


def _declared() -> tuple[set[str], set[str]]:
    """From native_functions.yaml: the operators with an MPS kernel, and those that look at devices themselves."""
    import torchgen

    text = (Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml").read_text()
    mps, lenient, iterate, delegates = set(), set(), set(), {}
    for entry in re.split(r"^- func: ", text, flags=re.M)[1:]:
        name = entry.split("(")[0].strip()
        if re.search(r"^    [\w, ]*\bMPS\b[\w, ]*:", entry, flags=re.M):
            mps.add(name)
        if found := re.search(r"^  structured_delegate: (\S+)", entry, flags=re.M):
            delegates[name] = found[1]
        if re.search(r"^  device_check: NoCheck", entry, flags=re.M):
            lenient.add(name)
        if re.search(r"^  structured_inherits: TensorIteratorBase", entry, flags=re.M):
            iterate.add(name)
    mps |= {name for name, to in delegates.items() if to in mps}
    return mps, lenient | iterate | {name for name, to in delegates.items() if to in iterate}


# ---- the compiled part


def compiler() -> str | None:
    """A C++ compiler that is there, CXX first; None if there is none."""
    from shutil import which

    return next(filter(None, map(which, [os.environ.get("CXX") or "", *COMPILERS])), None)


def _extension() -> types.ModuleType:
    """The C++ part, compiled (10 to 60 seconds) unless it was before."""
    import torch

    versions = f"{torch.__version__} {sys.version} {sys.platform}"
    tag = hashlib.sha256(SOURCE.read_bytes() + versions.encode()).hexdigest()[:12]
    library = BUILT / tag / "pretended_gpu.so"
    if not library.exists():
        _compile(library)
    loader = importlib.machinery.ExtensionFileLoader("pretended_gpu", str(library))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("pretended_gpu", loader))
    loader.exec_module(module)
    return module


def _compile(library: Path) -> None:
    import torch

    program = compiler()
    if program is None:
        raise RuntimeError(
            f"expected a C++ compiler ({', '.join(COMPILERS)}) for the pretended GPU, found none; install one, or name "
            "it in CXX"
        )
    root = Path(torch.__file__).parent
    folders = [root / "include", root / "include/torch/csrc/api/include", sysconfig.get_path("include")]
    options = ["-shared", "-fPIC", "-O1", "-g0", "-std=c++20", "-DTORCH_EXTENSION_NAME=pretended_gpu"]
    options += [f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}"]
    libraries = [f"-L{root / 'lib'}", "-lc10", "-ltorch_cpu", "-ltorch", "-ltorch_python"]
    library.parent.mkdir(parents=True, exist_ok=True)
    unfinished = library.with_suffix(
        f".{os.getpid()}"
    )  # processes that start together compile it each for itself
    command = [
        program,
        *options,
        *(f"-I{folder}" for folder in folders),
        str(SOURCE),
        "-o",
        str(unfinished),
        *libraries,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"expected {program} to compile {SOURCE.name}, it said:\n{done.stderr[-3000:]}")
    os.replace(unfinished, library)


@contextlib.contextmanager
def _muted_stderr() -> Iterator[None]:
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# ---- getting it into a process


class _AfterTorch(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Lets torch be imported as always, and installs the pretence right after."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.loader: Any = None

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: Any) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        install(self.kind)


def install_with_torch(kind: str) -> None:
    """Install the pretence as soon as torch is imported; costs nothing where it never is."""
    if "torch" in sys.modules:
        install(kind)
    else:
        sys.meta_path.insert(0, _AfterTorch(kind))


def main(arguments: list[str]) -> int:
    """Run a script or a module with a pretended GPU."""
    if len(arguments) < 2 or arguments[0] not in KINDS:
        print(__doc__, file=sys.stderr)
        return 2
    kind, *rest = arguments
    sys.modules["pretend"] = sys.modules["__main__"]
    sys.path.append(str(HERE))
    install(kind)
    if rest[0] == "-m":
        sys.argv = rest[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = rest
        sys.path[0] = str(Path(rest[0]).resolve().parent)
        runpy.run_path(rest[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
