"""Runs a test's function in a child process, where it can be a subreaper or PID 1 of its own namespaces."""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable
from typing import NoReturn, TypeVar

import pytest

from enclaver_runtime.transport import syscalls

T = TypeVar("T")

_NEW_NAMESPACES = 0x00020000 | 0x04000000 | 0x20000000 | 0x40000000  # mount, uts, pid, net
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts, chroot and user ids take root")


def in_child(function: Callable[[], T], *, namespaces: bool = False, timeout: float = 30.0) -> T:
    """Run ``function`` in a forked child that is a subreaper, and return what it returns (pickled).

    With ``namespaces`` it is PID 1 in mount, host name, pid and network namespaces of its own.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _child(function, write, namespaces)
    os.close(write)
    try:
        with open(read, "rb") as file:
            if not select.select([file], [], [], timeout)[0]:
                raise AssertionError(f"the child was not done after {timeout:g} s")
            # One pickle, not all there is: what the function left running holds the pipe open.
            succeeded, result = pickle.load(file)
    finally:
        # Its session holds whatever the function left behind; namespaces end with their PID 1.
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if not succeeded:
        raise AssertionError(f"in the child:\n{result}")
    return result  # type: ignore[no-any-return]  # pickle knows no types.


def _child(function: Callable[[], object], write: int, namespaces: bool) -> NoReturn:
    try:
        os.setsid()
        syscalls.set_child_subreaper()
        if namespaces:
            _enter_namespaces()
        answer = (True, function())
    except BaseException:  # noqa: BLE001 - it is the parent's to raise.
        answer = (False, traceback.format_exc())
    with open(write, "wb") as file:
        pickle.dump(answer, file)
    os._exit(0)


def _enter_namespaces() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NAMESPACES) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    # The next child is the first of the new pid namespace; this process only waits for it.
    if pid := os.fork():
        os.waitpid(pid, 0)
        os._exit(0)
    syscalls.mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    syscalls.mount("proc", "/proc", "proc")
