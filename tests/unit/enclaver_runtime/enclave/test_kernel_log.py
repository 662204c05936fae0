from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from enclaver_runtime.enclave import kernel_log

KILLED = (
    b"3,412,91235,-;Out of memory: Killed process 39 (python3.11) total-vm:400000kB, anon-rss:350000kB, UID:1000\n"
    b" SUBSYSTEM=x\n"
)
GROUP = b"3,413,91236,-;Memory cgroup out of memory: Killed process 41 (worker) total-vm:4kB\n"
OTHER = b"6,414,91237,-;enclaver: Out of memory: Killed process 1 (not the kernel's own words)\n"


def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *answers: bytes | OSError) -> frozenset[int]:
    """Read a log whose device answers so, a record a call."""
    left = list(answers)

    def answer(fd: int, size: int) -> bytes:
        one = left.pop(0)
        if isinstance(one, OSError):
            raise one
        return one

    path = tmp_path / "kmsg"
    path.touch()
    monkeypatch.setattr(os, "read", answer)
    return kernel_log.out_of_memory(str(path))


END = BlockingIOError(errno.EAGAIN, "no more")


def test_the_killed_are_found_among_other_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert read(monkeypatch, tmp_path, OTHER, KILLED, OTHER, GROUP, END) == {39, 41}


def test_what_was_overwritten_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert read(monkeypatch, tmp_path, BrokenPipeError(), KILLED, END) == {39}


def test_an_end_is_an_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert read(monkeypatch, tmp_path, OTHER, b"") == set()


def test_a_kernel_without_a_log_tells_nothing(tmp_path: Path) -> None:
    assert kernel_log.out_of_memory(str(tmp_path / "missing")) == set()


def test_a_real_kernels_log_can_be_read() -> None:
    # What is in it is this machine's business; that reading it ends is ours.
    assert kernel_log.out_of_memory() >= set()
