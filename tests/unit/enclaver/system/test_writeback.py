from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from enclaver.system import writeback
from enclaver.system.writeback import writing_back


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writeback, "_PAUSE_SECONDS", 0.001)


def test_the_disk_works_while_the_block_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Semaphore(0)
    monkeypatch.setattr(os, "fdatasync", lambda number: synced.release())
    with (tmp_path / "x").open("wb") as file, writing_back(file):
        for _ in range(3):
            file.write(b"more")
            assert synced.acquire(timeout=60)
    assert (tmp_path / "x").read_bytes() == b"more" * 3


def test_a_failure_of_the_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def fails(number: int) -> None:
        tried.set()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fails)
    with pytest.raises(OSError, match="Input/output error"), (tmp_path / "x").open("wb") as file, writing_back(file):
        assert tried.wait(60)


def test_an_error_of_the_block_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def fails(number: int) -> None:
        tried.set()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fails)

    def block() -> None:
        with (tmp_path / "x").open("wb") as file, writing_back(file):
            assert tried.wait(60)
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        block()
