"""The launcher: with a stand-in for the Python it finds, and once as it is."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

CHECKOUT = Path.cwd()
# A CPython 3.9 that installs nothing: its "virtual environment" is itself by other names, and its Pants tells how it
# was started. LOG counts the installations; PAUSE makes one last.
STANDIN = """#!/usr/bin/env bash
set -eu
case "$(basename "$0") $*" in
  pants*)
    printf '%s\\n' "$PWD" "$PANTS_PEX_CLI_URL_TEMPLATE" "$PANTS_PEX_CLI_KNOWN_VERSIONS" "${PYTHONPATH-unset}" "$@" ;;
  pex*) while [ "$1" != --output-file ]; do shift; done; echo pex > "$2" ;;
  *' -m venv '*) mkdir -p "$3/bin"; for name in python pex pants; do cp "$0" "$3/bin/$name"; done ;;
  *' -m pip '*' download '*)
    [ -z "${FAIL-}" ] || { echo "no index" >&2; exit 1; }
    echo installed >> "$LOG"; sleep "${PAUSE-0}"
    while [ "$1" != --dest ]; do shift; done; mkdir -p "$2"; touch "$2/pex-2.1.137-py2.py3-none-any.whl" ;;
  *' -m pip '*) ;;
  *sha256*) echo c0ffee 4 ;;
esac
"""


class Launcher:
    """The launcher in a checkout of its own, with nothing of the machine's but the programs of the system."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "a check out"
        self.cache = folder / "cache"
        self.log = folder / "log"
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PANTS_VENV_CACHE": str(self.cache),
            "PANTS_PYTHON": str(folder / "python3.9"),
            "LOG": str(self.log),
            "PYTHONPATH": "/of/another/program",
            "CDPATH": "/",
        }
        Path(self.environment["PANTS_PYTHON"]).write_text(STANDIN)
        Path(self.environment["PANTS_PYTHON"]).chmod(0o755)
        (self.checkout / "3rdparty/python/pants").mkdir(parents=True)
        shutil.copy2(CHECKOUT / "pants", self.checkout)
        self.lock = self.checkout / "3rdparty/python/pants/pants.lock"
        self.lock.write_text("pex==2.1.137\n")

    def start(self, *arguments: str, program: str | Path = "./pants", cwd: Path | None = None) -> subprocess.Popen[str]:
        # A run under nohup, or a script's background job, ignores signals, and its children would with it.
        return subprocess.Popen(
            ["env", "--default-signal=HUP,INT", program, *arguments],
            cwd=cwd or self.checkout,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, program: str | Path = "./pants", cwd: Path | None = None) -> list[str]:
        """Start it; return what Pants was started with, by lines."""
        process = self.start(*arguments, program=program, cwd=cwd)
        said, complained = process.communicate(timeout=60)
        assert process.returncode == 0, complained
        return said.splitlines()

    def fails(self) -> str:
        process = self.start()
        _, complained = process.communicate(timeout=60)
        assert process.returncode == 1, complained
        return complained

    def installations(self) -> int:
        return self.log.read_text().count("installed") if self.log.exists() else 0

    def kept(self) -> list[str]:
        """The environments in the cache; the links to them are not among them."""
        return [path.name for path in self.cache.iterdir() if not path.is_symlink()] if self.cache.exists() else []


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)


def test_pants_is_started_in_the_checkout_with_the_pex_it_would_have_fetched(launcher: Launcher) -> None:
    folder, url, versions, python_path, *arguments = launcher.run("package", "a b::")
    assert (folder, python_path, arguments) == (str(launcher.checkout), "unset", ["package", "a b::"])
    assert Path(url[len("file://") :]).samefile(launcher.cache / launcher.kept()[0] / "pex")
    assert versions.startswith("['v2.1.137|")
    assert versions.endswith("|c0ffee|4']")


@pytest.mark.parametrize("name", ["a cache", "{version}", "jürgen", "50%20"])
def test_the_pex_has_a_url_wherever_it_lies(launcher: Launcher, tmp_path: Path, name: str) -> None:
    launcher.cache = tmp_path / name
    launcher.environment["PANTS_VENV_CACHE"] = str(launcher.cache)
    url = launcher.run()[1]
    link = Path(url[len("file://") :])
    try:
        assert re.fullmatch(r"file://[A-Za-z0-9/._~-]+", url)
        assert link.samefile(launcher.cache / launcher.kept()[0] / "pex")
    finally:
        link.unlink()


def test_a_second_start_installs_nothing_and_is_fast(launcher: Launcher) -> None:
    first = launcher.run("list")
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert launcher.run("list") == first
        times.append(time.perf_counter() - start)
    assert launcher.installations() == 1
    assert min(times) < 0.3


@pytest.mark.parametrize("kind", ["absolute", "relative", "of a link"])
def test_it_runs_from_anywhere_and_through_links(launcher: Launcher, tmp_path: Path, kind: str) -> None:
    elsewhere = tmp_path / "else where" / "bin"
    elsewhere.mkdir(parents=True)
    launcher.run()
    target = launcher.checkout / "pants" if kind == "absolute" else Path("../../a check out/pants")
    (elsewhere / "linked").symlink_to(target)
    if kind == "of a link":
        (elsewhere / "p").symlink_to("linked")
    else:
        (elsewhere / "linked").rename(elsewhere / "p")
    for program, cwd in (
        (elsewhere / "p", tmp_path),
        ("./p", elsewhere),
        ("../../a check out/pants", elsewhere),
        (launcher.checkout / "pants", tmp_path),
    ):
        assert launcher.run(program=program, cwd=cwd)[0] == str(launcher.checkout)
    launcher.environment["PATH"] += f":{elsewhere}"
    assert subprocess.run(
        ["bash", "-c", "p"], cwd=tmp_path, env=launcher.environment, capture_output=True, text=True, check=True
    ).stdout.startswith(f"{launcher.checkout}\n")


@pytest.mark.slow
def test_of_two_first_starts_one_environment_stays(launcher: Launcher) -> None:
    launcher.environment["PAUSE"] = "0.5"
    both = [launcher.start("list"), launcher.start("list")]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert launcher.installations() == 2
    assert len(launcher.kept()) == 1
    launcher.run("list")
    assert launcher.installations() == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_interrupted_first_start_leaves_nothing(launcher: Launcher, number: signal.Signals) -> None:
    launcher.environment["PAUSE"] = "0.5"
    process = launcher.start("list")
    while not launcher.installations():
        time.sleep(0.02)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode > 128
    assert (said, launcher.kept()) == ("", [])
    launcher.run("list")
    assert len(launcher.kept()) == 1


def test_a_failed_installation_leaves_nothing(launcher: Launcher) -> None:
    launcher.environment["FAIL"] = "1"
    assert "no index" in launcher.fails()
    assert launcher.kept() == []


def test_another_lock_is_another_environment(launcher: Launcher) -> None:
    launcher.run()
    launcher.lock.write_text("pex==2.1.138\n")
    launcher.run()
    assert (launcher.installations(), len(launcher.kept())) == (2, 2)


def test_an_environment_whose_python_is_gone_is_made_anew(launcher: Launcher) -> None:
    launcher.run()
    (environment,) = launcher.kept()
    (launcher.cache / environment / "venv/bin/python").unlink()
    launcher.run()
    assert launcher.installations() == 2
    launcher.run()
    assert launcher.installations() == 2


def test_without_a_python_it_says_what_to_do(launcher: Launcher) -> None:
    del launcher.environment["PANTS_PYTHON"]
    # A pyenv shim for a version that is not selected: it is there and fails.
    shim = Path(launcher.environment["HOME"]) / "python3.9"
    shim.write_text("#!/bin/sh\nexit 127\n")
    launcher.environment["PATH"] += f":{shim.parent}"
    if any(Path(folder, "python3.9").exists() for folder in ("/usr/bin", "/usr/local/bin", "/bin")):
        pytest.skip("this machine has a Python 3.9 of the system")
    said = launcher.fails()
    assert "no CPython 3.9" in said
    assert "pyenv install 3.9" in said
    launcher.environment["PANTS_PYTHON"] = "/usr/bin/env"
    assert "PANTS_PYTHON=/usr/bin/env is no CPython 3.9" in launcher.fails()


def test_it_needs_its_checkout(launcher: Launcher) -> None:
    launcher.lock.unlink()
    assert "there is no" in launcher.fails()


@pytest.mark.slow
def test_the_real_one_runs_the_pants_that_is_pinned(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PANTS_OPTION")}
    (tmp_path / "p").symlink_to(CHECKOUT / "pants")
    done = subprocess.run(
        [tmp_path / "p", "--no-pantsd", "version"],
        cwd=tmp_path,
        env={**environment, "PANTS_PANTSD": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "2.17.1"), done.stderr
