"""`make lab` opens copies: a reader's work survives every update of the course."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools import lab
from tools.edition import editions
from tools.project import BOOK, ROOT, every_notebook, repository

NAME = "02_x.ipynb"
NEW, NEW2 = "02_x.new.ipynb", "02_x.new2.ipynb"


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.ipynb")}


def test_a_copy_is_made_and_renewed_while_nobody_has_changed_it(tmp_path: Path) -> None:
    assert lab.refresh(tmp_path / "lab", {NAME: "one"}) == []
    assert files(tmp_path / "lab") == {NAME: "one"}
    assert lab.refresh(tmp_path / "lab", {NAME: "two"}) == []
    assert files(tmp_path / "lab") == {NAME: "two"}


def test_a_changed_copy_stays_while_the_chapter_does(tmp_path: Path) -> None:
    lab.refresh(tmp_path, {NAME: "one"})
    (tmp_path / NAME).write_text("mine")
    assert lab.refresh(tmp_path, {NAME: "one"}) == []
    assert files(tmp_path) == {NAME: "mine"}


def test_where_both_changed_the_new_one_is_put_beside(tmp_path: Path) -> None:
    lab.refresh(tmp_path, {NAME: "one"})
    (tmp_path / NAME).write_text("mine")
    (line,) = lab.refresh(tmp_path, {NAME: "two"})
    assert NAME in line and NEW in line
    assert files(tmp_path) == {NAME: "mine", NEW: "two"}
    assert lab.refresh(tmp_path, {NAME: "two"}) == []  # said once
    lab.refresh(tmp_path, {NAME: "three"})
    assert files(tmp_path) == {NAME: "mine", NEW: "three"}
    (tmp_path / NEW).write_text("mine too")
    (line,) = lab.refresh(tmp_path, {NAME: "four"})
    assert files(tmp_path) == {NAME: "mine", NEW: "mine too", NEW2: "four"}


def test_a_reader_may_take_the_new_one_or_start_again(tmp_path: Path) -> None:
    lab.refresh(tmp_path, {NAME: "one"})
    (tmp_path / NAME).write_text("mine")
    lab.refresh(tmp_path, {NAME: "two"})
    (tmp_path / NEW).replace(tmp_path / NAME)
    assert lab.refresh(tmp_path, {NAME: "three"}) == []
    assert files(tmp_path) == {NAME: "three"}
    (tmp_path / NAME).unlink()
    assert lab.refresh(tmp_path, {NAME: "three"}) == []
    assert files(tmp_path) == {NAME: "three"}


def notebook(*cells: dict[str, Any], **metadata: Any) -> str:
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


CELL = {
    "cell_type": "code",
    "id": "a",
    "metadata": {},
    "source": ["1 +\n", "1"],
    "outputs": [],
    "execution_count": None,
}
OPENED = notebook(
    {**CELL, "source": "1 +\n1", "metadata": {"collapsed": False}}, language_info={"version": "3.11"}
)


def test_a_copy_that_was_only_opened_is_renewed(tmp_path: Path) -> None:
    """JupyterLab saves what it learnt of the kernel, and sources as it likes to write them."""
    lab.refresh(tmp_path, {NAME: notebook(CELL)})
    (tmp_path / NAME).write_text(OPENED)
    assert lab.refresh(tmp_path, {NAME: "two"}) == []
    assert files(tmp_path) == {NAME: "two"}


@pytest.mark.parametrize(
    "change", [{"source": "1 + 2"}, {"outputs": [{"output_type": "stream", "name": "stdout", "text": "2"}]}]
)
def test_a_copy_that_was_changed_or_run_is_kept(change: dict[str, Any], tmp_path: Path) -> None:
    lab.refresh(tmp_path, {NAME: notebook(CELL)})
    mine = notebook({**CELL, **change})
    (tmp_path / NAME).write_text(mine)
    assert len(lab.refresh(tmp_path, {NAME: "two"})) == 1
    assert files(tmp_path) == {NAME: mine, NEW: "two"}


def test_without_a_record_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("mine")
    lab.refresh(tmp_path, {NAME: "one"})
    assert files(tmp_path) == {NAME: "mine", NEW: "one"}


def test_links_lead_to_files_on_this_computer() -> None:
    made = editions(repository(), lab.address)
    assert "[leaderboard](../book/leaderboard.md)" in made["15_games_between_models.ipynb"]
    assert (BOOK / "leaderboard.md").is_file()
    assert lab.address("06_vae_trained.ipynb") in made


@pytest.mark.parametrize("root", [True, False])
def test_jupyter_opens_the_copies(root: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a container the user may be root, which JupyterLab must be told to accept."""
    started: list[list[str]] = []
    monkeypatch.setattr(lab, "LAB", tmp_path / "lab")
    monkeypatch.setattr(lab.os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(lab.os, "execv", lambda program, arguments: started.append(arguments))
    monkeypatch.setattr(lab.sys, "argv", ["lab"])
    lab.main()
    assert ("--allow-root" in started[0]) == root
    assert f"--ServerApp.root_dir={ROOT}" in started[0]
    assert "--LabApp.default_url=/lab/tree/lab" in started[0]
    assert len(list((tmp_path / "lab").glob("*.ipynb"))) == len(every_notebook())
