"""How every subcommand starts and ends; `validate` stands for all of them."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from enclaver.cli import command as enclaver_command
from enclaver.cli import main as enclaver
from enclaver.cli import validate

MANIFEST = "version: v1\nname: x\ntarget: x:1\nsources:\n  app: :x\n"


def test_subcommands_are_modules(capsys: pytest.CaptureFixture[str]) -> None:
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("word")

    def run(args: argparse.Namespace) -> int:
        return len(args.word)

    parser, commands = enclaver_command.top("Counts.")
    enclaver_command.add(commands, cast(Any, SimpleNamespace(NAME="count", HELP="count", configure=configure, run=run)))
    assert enclaver_command.execute(parser, ["count", "four"]) == 4
    with pytest.raises(SystemExit):
        enclaver_command.execute(parser, ["count"])
    assert "usage: enclaver count [-h] word" in capsys.readouterr().err


def test_a_refusal_is_1_and_one_message_that_starts_with_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.eif"
    path.write_bytes(b"not an image")
    assert enclaver.main(["describe", str(path)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"{path}: ")
    assert said.out == ""


def test_an_error_that_nobody_foresaw_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(args: argparse.Namespace) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")

    monkeypatch.setattr(validate, "run", full)
    assert enclaver.main(["validate"]) == 1
    assert capsys.readouterr().err == "/somewhere: No space left on device\n"


def test_an_interruption_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(args: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(validate, "run", interrupted)
    assert enclaver.main(["validate"]) == 130
    assert capsys.readouterr().err == ""


def test_sigterm_ends_a_command_as_an_interruption_does(monkeypatch: pytest.MonkeyPatch) -> None:
    tidied = []

    def ended(args: argparse.Namespace) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            tidied.append(True)
        return 0

    monkeypatch.setattr(validate, "run", ended)
    for _ in range(2):
        assert enclaver.main(["validate"]) == 130
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert tidied == [True, True]


def test_a_sigterm_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(args: argparse.Namespace) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    monkeypatch.setattr(validate, "run", told)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert enclaver.main(["validate"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)


class Command:
    """The command as a process, in a folder with a valid manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "enclaver.yaml").write_text(MANIFEST)

    def run(self, *arguments: str | bytes, **changes: Any) -> subprocess.CompletedProcess[bytes]:
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        options: dict[str, Any] = {
            "cwd": self.folder,
            "env": {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": ""},
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "check": False,
            **changes,
        }
        return subprocess.run([sys.executable, str(enclaver.__file__), *arguments], **options)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("argument", ["validate", "--help"])
def test_a_reader_that_has_seen_enough_is_no_traceback(command: Command, argument: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = command.run(argument, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
def test_output_that_does_not_fit_is_no_traceback(command: Command) -> None:
    with open("/dev/full", "wb") as full:
        done = command.run("validate", stdout=full)
    assert (done.returncode, done.stderr) == (1, b"enclaver: No space left on device\n")


@pytest.mark.slow
def test_closed_streams_are_no_traceback(command: Command) -> None:
    shell = '"$0" "$@" >&- 2>&- <&-'
    arguments = ["/bin/sh", "-c", shell, sys.executable, str(enclaver.__file__)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}
    for words, code in ((["validate"], 0), (["validate", "-f", "-"], 1), (["describe", "x"], 1)):
        done = subprocess.run([*arguments, *words], cwd=command.folder, env=environment, check=False)
        assert done.returncode == code


@pytest.mark.slow
def test_a_name_that_is_no_text_can_be_shown(command: Command) -> None:
    name = b"\xff.yaml"
    (command.folder / os.fsdecode(name)).write_text(MANIFEST)
    done = command.run("validate", "-f", name)
    assert (done.returncode, done.stdout.splitlines()[0], done.stderr) == (0, b"\\udcff.yaml: valid", b"")
