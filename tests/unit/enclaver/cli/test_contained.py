"""The command of target images; as a container's first process it is tests/integration/target's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from enclaver.cli import contained, run

# What the command must not need before it runs anything: other subcommands', and in no image.
HEAVY = ("argcomplete", "boto3", "botocore", "debian", "docker", "requests", "rich", "urllib3", "zstandard")
LOADED = """
import sys
sys.argv[1:] = ["run", "--help"]
from enclaver.cli.contained import start
try:
    start()
finally:
    print(sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def started(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["enclaver", *arguments])
    with pytest.raises(SystemExit) as ended:
        contained.start()
    return ended.value.code


def test_it_runs_and_describes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert started(monkeypatch, "describe", str(tmp_path / "gone")) == 1
    assert started(monkeypatch, "run", "--help") == 0
    assert started(monkeypatch, "validate") == 2
    assert "choose from 'run', 'describe'" in capsys.readouterr().err


def test_a_command_ends_with_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "run", lambda _args: 42)
    assert started(monkeypatch, "run", "x.eif") == 42


def test_a_signal_before_anything_is_started_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal was lost")

    monkeypatch.setattr(contained, "_run", stopped)
    assert started(monkeypatch, "run", "x.eif") == 109


@pytest.mark.slow
def test_it_loads_nothing_of_other_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'trio'" in done.stderr
    assert not [name for name in HEAVY if f"'{name}'" in done.stderr]
