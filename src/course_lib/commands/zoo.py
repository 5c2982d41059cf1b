"""The command line of the models and experiments that come with the course: ``python -m course_lib.zoo``."""

import argparse
import functools
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from course_lib import experiments, recipes, zoo
from course_lib.commands import spoken
from course_lib.metrics import with_interval
from course_lib.recipes.making import training_folder
from course_lib.training import Snapshots, distributed
from course_lib.training.runtime import BUDGETS, PRECISIONS

EPILOG = """\
examples:
  python -m course_lib.zoo list
  python -m course_lib.zoo train wgan_gp_mnist
  python -m course_lib.zoo train wgan_gp_mnist --resume          go on after an interruption
  python -m course_lib.zoo train dcgan_mnist --budget smoke --out /tmp/try     does it run here at all?
  python -m course_lib.zoo train dcgan_mnist --out /content/drive/MyDrive/course
  torchrun --nproc-per-node 2 -m course_lib.zoo train wgan_gp_mnist   one model on two GPUs

exit status: 0 done, 1 an error that one line explains, 2 a mistyped command, 130 after Ctrl-C
"""


def main(arguments: list[str] | None = None) -> int:
    """List, train, verify, record, export; returns 0, 1 after an error that one line explains, 130 after Ctrl-C."""
    about = "The trained models of the course, and the experiments that are too long for a page."
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=zoo.COMMAND, description=about, epilog=EPILOG, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="all models, with their scores")
    train = commands.add_parser("train", help="train one from scratch, with images per second and time left")
    train.add_argument("name", help="as in the list")
    train.add_argument("--resume", action="store_true", help="go on where the last run was interrupted")
    budgets = "gpu (the default): all images; cpu: a tenth; smoke: a few minibatches; the last two need --out"
    train.add_argument("--budget", choices=BUDGETS, default="gpu", help=budgets)
    train.add_argument("--device", help="cuda, mps or cpu; by default the best there is")
    fast = "fast: half precision where the machine is faster in it"
    train.add_argument("--precision", choices=PRECISIONS, default="float32", help=fast)
    parts = "work on a minibatch in K parts, for GPUs with little memory"
    train.add_argument("--accumulate", type=int, default=1, metavar="K", help=parts)
    train.add_argument("--compile", action="store_true", help="let torch.compile translate what it can")
    train.add_argument("--device-noise", action="store_true", help="draw other noise on the GPU, faster")
    place = "folder for weights and snapshots; else the course's data and cache folders"
    train.add_argument("--out", type=Path, help=place)
    verify = commands.add_parser("verify", help="compute the recorded scores again")
    verify.add_argument("names", nargs="*", metavar="NAME", help="by default all")
    record = commands.add_parser("record", help="run an experiment that is too long for a page")
    record.add_argument("name", help=", ".join(sorted(experiments.EXPERIMENTS)))
    record.add_argument("--resume", action="store_true", help="go on where the last run was interrupted")
    record.add_argument("--device", help="cuda, mps or cpu; by default the best there is")
    export = commands.add_parser("export", help="write a model for programs that have PyTorch alone")
    export.add_argument("name", help="as in the list")
    export.add_argument("--out", type=Path, help="the file; by default NAME.pt2 in this folder")
    about_page = "write the book's page of all models anew, from their cards"
    page = commands.add_parser("page", help=about_page)
    page.add_argument("--check", action="store_true", help="only say what is out of date")
    options = parser.parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else arguments
    if options.command == "train" and options.budget != "gpu" and options.out is None:
        parser.error("train: a shorter training replaces no shipped model; say where to write it with --out")
    return spoken(lambda: COMMANDS[options.command](options))


def _list(options: argparse.Namespace) -> int:
    trained = zoo.names()
    for name in sorted({*trained, *recipes.RECIPES}):
        if name in trained:
            print(f"{name}: {_shown(zoo.info(name)['scores'])}")
        else:
            print(f"{name}: not trained yet; train it with: {zoo.COMMAND} train {name}")
    return 0


def _train(options: argparse.Namespace) -> int:
    settings = {key: value for key, value in vars(options).items() if key not in ("command", "arguments")}
    folder = training_folder(options.name, options.out)
    return _interruptible(options, folder, lambda: recipes.make(**settings))


def _record(options: argparse.Namespace) -> int:
    folder = experiments.folder(options.name)
    run = functools.partial(experiments.record, options.name, resume=options.resume, device=options.device)
    return _interruptible(options, folder, run)


def _interruptible(options: argparse.Namespace, folder: Path, run: Callable[[], dict[str, Any]]) -> int:
    """Print what `run` gives; after Ctrl-C say how to go on."""
    try:
        card = run()
    except KeyboardInterrupt:
        kept = Snapshots(folder, {}).kept()
        begun = "kept; go on with" if kept else "nothing was kept yet; start anew with"
        print(f"\n{begun}: {_again(options.arguments, resume=bool(kept))}", file=sys.stderr)
        return 130  # what a shell returns for Ctrl-C
    if card:
        print(json.dumps(card, indent=2))
        if out := getattr(options, "out", None):
            print(f"load it with: zoo.load({options.name!r}, folder={str(out)!r})", file=sys.stderr)
    return 0


def _again(arguments: list[str], *, resume: bool) -> str:
    """The command that goes on with what these arguments began, or begins it anew."""
    processes = distributed.world()[1]
    start = f"torchrun --nproc-per-node {processes} -m course_lib.zoo" if processes > 1 else zoo.COMMAND
    words = [word for word in arguments if word != "--resume"] + ["--resume"] * resume
    return f"{start} {shlex.join(words)}"


def _verify(options: argparse.Namespace) -> int:
    for name in options.names or zoo.names():
        print(f"{name}: {_shown(recipes.verify(name))}", flush=True)
    return 0


def _export(options: argparse.Namespace) -> int:
    path = options.out or Path(f"{options.name}.pt2")
    inputs = recipes.export(options.name, path)
    print(f"wrote {path}; use: torch.export.load({str(path)!r}).module()(…), with {inputs}, N at least 2")
    return 0


def _page(options: argparse.Namespace) -> int:
    from course_lib import gallery  # loads much that no other command needs

    if options.check:
        found = gallery.defects()
        print("\n".join(found) or f"{gallery.page_path()} is up to date")
        return int(bool(found))
    print(f"wrote {gallery.write()}")
    return 0


def _shown(scores: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ((key, with_interval(score["value"], score["ci95"]), score["n"]) for key, score in scores.items())
    return ", ".join(f"{key} {value} (n = {n:,})" for key, value, n in rows)


COMMANDS = {
    "list": _list,
    "train": _train,
    "verify": _verify,
    "record": _record,
    "export": _export,
    "page": _page,
}
