"""What a run may have left on the machine: processes, and what lies in its folder."""

from __future__ import annotations

import time
from pathlib import Path


def assert_nothing_is_left(folder: Path, of: str = "*", *, patience: float) -> None:
    """No process, socket or folder; what a killed runner left to others may take them so many seconds."""
    deadline = time.monotonic() + patience
    while (left := processes_with(str(folder))) or (left := [path.name for path in folder.glob(of)]):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def processes_with(text: str) -> list[str]:
    """The command lines of living processes that hold ``text``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode("utf-8", "surrogateescape").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(text in word for word in words):
            found.append(" ".join(words))
    return found
