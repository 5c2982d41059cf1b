"""Committed notebooks are in normal form, and each rule of it is one that a test has seen broken."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools import notebooks as form
from tools.course_pages import hide_buttons
from tools.project import ROOT, CourseError, declared_repository, notebooks, repository
from tools.setup_cell import setup_source

URL = "https://github.com/someone/some-course"


def good() -> dict[str, Any]:
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# 1. A title"},
        {
            "cell_type": "code",
            "id": "setup",
            "metadata": {},
            "source": "",
            "outputs": [],
            "execution_count": None,
        },
        {
            "cell_type": "code",
            "id": "sum",
            "metadata": {},
            "source": "1 + 1",
            "outputs": [],
            "execution_count": None,
        },
    ]
    return form.normalised({"cells": cells}, URL)


def write(folder: Path, notebook: dict[str, Any]) -> Path:
    path = folder / "example.ipynb"
    path.write_text(form.dumps(notebook), encoding="utf-8")
    return path


def test_the_book_is_in_normal_form() -> None:
    assert notebooks(), "expected notebooks in book/, found none"
    assert form.main(["check"]) == 0


def test_a_sound_notebook_passes(tmp_path: Path) -> None:
    assert form.defects(write(tmp_path, good()), {URL}) == []


OUTPUT = [{"output_type": "stream", "name": "stdout", "text": "2"}]
MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "output": (lambda n: n["cells"][2].update(outputs=OUTPUT), "cell 'sum' has outputs"),
    "count": (lambda n: n["cells"][2].update(execution_count=3), "has execution count 3"),
    "no id": (lambda n: n["cells"][2].pop("id"), "cell 3 has no id"),
    "same id": (lambda n: n["cells"][2].update(id="title"), "id 'title' occurs 2 times"),
    "bad id": (lambda n: n["cells"][2].update(id="a b"), "found 'a b'"),
    "metadata": (lambda n: n["cells"][2]["metadata"].update(scrolled=True), "has metadata scrolled"),
    "kernel": (
        lambda n: n["metadata"]["kernelspec"].update(name="my-env"),
        "expected the notebook's metadata",
    ),
    "version": (lambda n: n.update(nbformat_minor=4), "expected nbformat 4.5, found 4.4"),
    "setup text": (lambda n: n["cells"][1]["source"].append("\nx = 1"), "differs from the one setup cell"),
    "setup address": (
        lambda n: n["cells"][1].update(source=setup_source(URL + "2").splitlines(keepends=True)),
        "names another repository",
    ),
    "setup tags": (lambda n: n["cells"][1]["metadata"].update(tags=["setup"]), "has tags ['setup']"),
    "setup gone": (lambda n: n["cells"].pop(1), "expected 'setup' as the first code cell, found 'sum'"),
    "setup late": (lambda n: n["cells"].insert(1, n["cells"].pop(2)), "as the first code cell, found 'sum'"),
    "left open": (lambda n: n["cells"][1]["metadata"].pop("cellView"), "its tags ask for {'jupyter'"),
    "folded": (
        lambda n: n["cells"][2]["metadata"].update(jupyter={"source_hidden": True}),
        "cell 'sum' has the folding {'jupyter': {'source_hidden': True}}, its tags ask for {}",
    ),
    "blanks": (lambda n: n["cells"][2].update(source=["1 + 1  \n", "\n"]), "expected sorted JSON"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_defect_is_named(name: str, tmp_path: Path) -> None:
    mutate, message = MUTATIONS[name]
    notebook = good()
    mutate(notebook)
    found = form.defects(write(tmp_path, notebook), {URL})
    assert any(message in line for line in found), found


@pytest.mark.parametrize(
    "respell", [lambda s: s.rstrip("\n"), lambda s: json.dumps(json.loads(s), indent=2) + "\n"]
)
def test_another_spelling_is_a_defect(respell: Callable[[str], str], tmp_path: Path) -> None:
    path = write(tmp_path, good())
    path.write_text(respell(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert "expected sorted JSON" in form.defects(path, {URL})[0]


def test_code_that_ruff_would_rewrite_is_a_defect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = form.normalised(good(), repository())
    notebook["cells"][2]["source"] = ["x=  1"]
    assert form.main(["check", str(write(tmp_path, notebook))]) == 1
    assert "ruff would write its code otherwise" in capsys.readouterr().out


def test_format_mends_what_can_be_mended(tmp_path: Path) -> None:
    notebook = good()
    for name in (
        "output",
        "count",
        "metadata",
        "kernel",
        "version",
        "setup text",
        "setup address",
        "setup tags",
        "left open",
        "folded",
        "blanks",
    ):
        MUTATIONS[name][0](notebook)
    path = write(tmp_path, notebook)
    assert form.format_file(path, URL)
    assert form.defects(path, {URL}) == []
    assert not form.format_file(path, URL)


HIDDEN = {"cellView": "form", "jupyter": {"source_hidden": True}}


@pytest.mark.parametrize(
    ("names", "source", "expected"),
    [
        (["hide-input"], "1", HIDDEN),
        (["remove-input"], "1", HIDDEN),
        (["hide-cell", "solution"], "1", HIDDEN),
        (["remove-cell"], "1", HIDDEN),
        (["hide-output"], "1", {"jupyter": {"outputs_hidden": True}}),
        (
            ["hide-input", "remove-output"],
            "1",
            {**HIDDEN, "jupyter": {"source_hidden": True, "outputs_hidden": True}},
        ),
        (["keep_output"], "1", {}),
        ([], 'folder = ""  # @param {type:"string"}', {"cellView": "form"}),
    ],
)
def test_folding_follows_the_tags(names: list[str], source: str, expected: dict[str, Any]) -> None:
    """Whatever an editor left there before."""
    notebook = good()
    metadata = {"tags": names, "cellView": "code", "jupyter": {"outputs_hidden": False}}
    notebook["cells"][2].update(metadata=metadata, source=source)
    assert form.normalised(notebook, URL)["cells"][2]["metadata"] == {"tags": names, **expected}


def test_prose_is_never_folded() -> None:
    cells = [{"cell_type": "markdown", "id": "a", "metadata": {"tags": ["hide-input"]}, "source": "a"}]
    assert form.normalised({"cells": cells}, URL)["cells"][0]["metadata"] == {"tags": ["hide-input"]}


@pytest.mark.parametrize("name", ["no id", "same id", "bad id"])
def test_format_refuses_to_invent_ids(name: str, tmp_path: Path) -> None:
    notebook = good()
    MUTATIONS[name][0](notebook)
    path = write(tmp_path, notebook)
    before = path.read_bytes()
    with pytest.raises(CourseError, match=r"example\.ipynb: cell \d"):
        form.format_file(path, URL)
    assert path.read_bytes() == before


def test_format_keeps_marked_outputs(tmp_path: Path) -> None:
    notebook = good()
    notebook["cells"][2].update(outputs=OUTPUT, execution_count=3, metadata={"tags": ["keep_output"]})
    path = write(tmp_path, copy.deepcopy(notebook))
    form.format_file(path, URL)
    assert json.loads(path.read_text(encoding="utf-8"))["cells"][2]["outputs"] == OUTPUT
    assert form.defects(path, {URL}) == []


def test_what_is_no_notebook_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "example.ipynb"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(CourseError, match="expected a Jupyter notebook"):
        form.read(path)


def test_the_repository_is_stated_once() -> None:
    """Whatever names a repository of this course's name names the one in pyproject.toml (or the fork's, in a fork)."""
    name = declared_repository().rsplit("/", 1)[1]
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = set()
    for path in map(ROOT.joinpath, listed):
        if path.is_file() and path.suffix in {".md", ".yml", ".toml", ".cff", ".ipynb", ".py", ".html"}:
            text = path.read_text(encoding="utf-8")
            found |= set(re.findall(rf"https://[\w.-]+/[\w.-]+/{re.escape(name)}\b", text))
    assert found <= {declared_repository(), repository()}
    assert declared_repository() in found


@pytest.mark.parametrize(("owner", "shown"), [("OWNER", False), ("me", True)])
def test_buttons_lead_somewhere_or_are_not_there(owner: str, shown: bool) -> None:
    options = {
        "repository_url": f"https://github.com/{owner}/course",
        "use_repository_button": True,
        "use_issues_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }
    hide_buttons(options)
    assert options["use_repository_button"] is options["use_issues_button"] is shown
    assert bool(options["launch_buttons"]) is shown


def test_a_fork_renames_the_repository(tmp_path: Path) -> None:
    assert repository({"GITHUB_REPOSITORY": "me/my-course"}) == "https://github.com/me/my-course"
    assert repository({}) == declared_repository()
    with pytest.raises(CourseError, match="expected owner/name, found 'nonsense'"):
        repository({"GITHUB_REPOSITORY": "nonsense"})
    config = tmp_path / "_config.yml"
    config.write_text((ROOT / "_config.yml").read_text(encoding="utf-8"), encoding="utf-8")
    form.format_config(config, URL)
    assert f"  url: {URL}\n" in config.read_text(encoding="utf-8")
