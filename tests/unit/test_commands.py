"""What `make` says: help without an installation, one line per step, one line for a user's mistake."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from tools import serve
from tools.project import ROOT, CourseError

PIP = """#!/bin/sh
echo first line of pip; seq 1000 1030; echo "last line of pip, index $PIP_EXTRA_INDEX_URL"
exit {status}
"""
PYTHON = """#!/bin/sh
case "$1" in
  -c) exec {python} -c "import platform, sys; sys.platform, machine = {machine}; platform.machine = lambda: machine
exec(sys.argv[1])" "$2";;
  -m) mkdir -p .venv/bin; cp pip.sh .venv/bin/python; cp pip.sh .venv/bin/npm;;
esac
"""

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make on a copy of the Makefile alone."""
    shutil.copy(ROOT / "Makefile", folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "PIP_", "TORCH"))}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """A folder in which `make install` meets a Python that installs nothing."""
    for name in ("requirements.txt", "requirements-test.txt", "constraints.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / "tools").mkdir()
    for name in ("package-lock.json", "tools/assets.py"):
        (tmp_path / name).touch()
    script(tmp_path / "pip.sh", PIP.format(status=0))
    script(tmp_path / "python.sh", PYTHON.format(python=sys.executable, machine="('linux', 'x86_64')"))
    return tmp_path


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("arguments", [(), ("help",)])
def test_make_alone_prints_help_and_installs_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = make(tmp_path, *arguments)
    assert done.returncode == 0
    for target in ("book", "test", "serve", "lab", "format", "clean", "install", "help"):
        assert f"make {target} " in done.stdout
    assert "6.7 GB" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


def test_an_installation_is_a_line_before_and_a_line_after(sandbox: Path) -> None:
    done = make(sandbox, "PYTHON=./python.sh", ".venv/.installed", ".venv/.installed-test")
    assert (done.returncode, done.stderr) == (0, "")
    before, after, tests = done.stdout.splitlines()
    assert before.startswith("installing into .venv: about 6.7 GB on Linux")
    assert before.endswith("log: .venv/install.log")
    assert after.startswith("installed: ")
    assert tests.startswith("installed what the tests need: ")
    assert "first line of pip" in (sandbox / ".venv" / "install.log").read_text()
    # The stamps hold: nothing is installed a second time.
    assert "installed what" not in make(sandbox, "PYTHON=./python.sh", ".venv/.installed-test").stdout


def test_a_failing_installation_shows_the_end_of_its_log(sandbox: Path) -> None:
    script(sandbox / "pip.sh", PIP.format(status=1))
    done = make(sandbox, "PYTHON=./python.sh", "install")
    assert done.returncode != 0
    assert "last line of pip" in done.stderr
    assert "first line of pip" not in done.stderr
    assert 'error: expected "installed" to succeed, it failed' in done.stderr
    assert not (sandbox / ".venv" / ".installed").exists()


def test_torch_for_the_cpu_comes_from_pytorchs_own_index(sandbox: Path) -> None:
    assert make(sandbox, "PYTHON=./python.sh", "TORCH=cpu", ".venv/.installed").returncode == 0
    log = (sandbox / ".venv" / "install.log").read_text()
    assert log.split("index ")[1].strip() == "https://download.pytorch.org/whl/cpu"
    wrong = make(sandbox, "PYTHON=./python.sh", "TORCH=cuda", ".venv/.installed")
    assert "expected TORCH=cpu or no TORCH, found TORCH=cuda" in wrong.stderr


@pytest.mark.parametrize("name", ["torch", "torchvision"])
def test_the_pins_admit_the_cpu_builds_and_pip_prefers_them(name: str) -> None:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    (pin,) = (line.removeprefix(name) for line in lines if line.startswith(f"{name}=="))
    plain = pin.removeprefix("==")
    assert SpecifierSet(pin).contains(f"{plain}+cpu")
    assert Version(f"{plain}+cpu") > Version(plain)


def test_an_intel_mac_is_told_so(sandbox: Path) -> None:
    script(sandbox / "python.sh", PYTHON.format(python=sys.executable, machine="('darwin', 'x86_64')"))
    done = make(sandbox, "PYTHON=./python.sh", "install")
    assert done.returncode != 0
    assert "error: expected Linux or a Mac with Apple silicon" in done.stderr
    assert not (sandbox / ".venv").exists()
    script(sandbox / "python.sh", PYTHON.format(python=sys.executable, machine="('darwin', 'arm64')"))
    assert make(sandbox, "PYTHON=./python.sh", ".venv/.installed").returncode == 0


def test_the_site_is_served_without_a_build(tmp_path: Path) -> None:
    (tmp_path / "_build" / "html").mkdir(parents=True)
    (tmp_path / "_build" / "html" / "index.html").touch()
    done = make(tmp_path, "-n", "serve", "PORT=8123")
    assert "tools.serve 8123" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_a_busy_port_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("the book")
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(CourseError) as caught:
            serve.server(tmp_path, port)
    other = port + 1 if port < 65535 else 8001
    assert str(caught.value) == (
        f"expected a free port, {port} is taken by another program; use make serve PORT={other}"
    )


def test_a_folder_is_served(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("the book")
    with serve.server(tmp_path, 0) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{site.server_port}/") as answer:
            assert answer.read() == b"the book"
        site.shutdown()


def test_without_a_site_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"expected a site in .*, found none; run `make book`"):
        serve.server(tmp_path, 0)


@pytest.mark.parametrize("port", ["0", "65536", "eight", "-1"])
def test_a_port_is_a_number(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main([port]) == 1
    assert f"expected a port from 1 to 65535, found '{port}'" in capsys.readouterr().err
