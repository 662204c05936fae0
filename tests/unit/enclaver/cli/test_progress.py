from __future__ import annotations

import os
import pty
import sys
from contextlib import suppress

import pytest

from enclaver.cli.progress import progress

LINE = "unpacked [bold]3[/bold] of 4 layers"


def test_lines_are_lines_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as say:
        say(LINE)
        say("done")
    assert capsys.readouterr() == ("", f"{LINE}\ndone\n")


def read_all(master: int) -> str:
    """Return all that was written to a terminal that nobody has open any more; Linux ends it with an error."""
    found = b""
    with suppress(OSError):
        while chunk := os.read(master, 1 << 16):
            found += chunk
    return found.decode()


def test_a_terminal_is_shown_what_it_is_at_and_nothing_of_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress() as say:
            say(LINE)
    shown = read_all(master)
    os.close(master)
    # Square brackets are the line's own.
    assert LINE in shown
    assert "0:00:0" in shown
    # The cursor that was hidden is shown again.
    assert shown.rstrip().endswith("\x1b[2K") or "\x1b[?25h" in shown
