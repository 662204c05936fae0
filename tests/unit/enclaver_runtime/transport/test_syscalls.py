from __future__ import annotations

import ctypes
import os
import signal
import tempfile
from pathlib import Path

import pytest

from enclaver_runtime.transport import syscalls
from tests.unit.enclaver_runtime.isolation import in_child, needs_root


def status_field(name: str) -> str:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.split()[1]
    raise AssertionError(f"no {name}")


@needs_root
def test_mount_and_unmount() -> None:
    def scenario() -> tuple[bool, bool]:
        folder = tempfile.mkdtemp()
        syscalls.mount("tmpfs", folder, "tmpfs", syscalls.MS_NOSUID, "size=64k")
        mounted = os.path.ismount(folder)
        syscalls.unmount(folder, syscalls.MNT_DETACH)
        still = os.path.ismount(folder)
        os.rmdir(folder)
        return mounted, still

    assert in_child(scenario, namespaces=True) == (True, False)


def test_a_failure_names_its_object() -> None:
    with pytest.raises(OSError, match="/no/such/folder") as caught:
        syscalls.mount("tmpfs", "/no/such/folder", "tmpfs")
    assert caught.value.strerror in ("No such file or directory", "Operation not permitted")


def test_a_module_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nsm\.ko"):
        syscalls.load_module(str(tmp_path / "nsm.ko"))


def test_a_file_that_is_no_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nsm.ko").write_bytes(b"not a module")
    with pytest.raises(OSError, match=r"nsm\.ko"):
        syscalls.load_module(str(tmp_path / "nsm.ko"))


def test_modules_of_an_unknown_machine_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "h", "6", "1", "riscv64")))
    with pytest.raises(OSError, match="riscv64"):
        syscalls.load_module("/nsm.ko")


@needs_root
def test_reboot_in_a_pid_namespace_ends_it() -> None:
    def scenario() -> int:
        # In a pid namespace, reboot(2) ends the namespace's PID 1, by SIGHUP for a restart.
        libc = ctypes.CDLL(None)
        if (pid := os.fork()) == 0:
            libc.unshare(0x20000000)
            if (first := os.fork()) == 0:
                syscalls.reboot(syscalls.RB_AUTOBOOT)
                os._exit(0)
            os._exit(os.WTERMSIG(os.waitpid(first, 0)[1]))
        return os.WEXITSTATUS(os.waitpid(pid, 0)[1])

    assert in_child(scenario) == signal.SIGHUP


def test_no_new_privileges() -> None:
    def scenario() -> tuple[str, str]:
        before = status_field("NoNewPrivs")
        syscalls.set_no_new_privileges()
        return before, status_field("NoNewPrivs")

    assert in_child(scenario) == ("0", "1")


@needs_root
def test_capabilities_are_dropped_but_for_those_kept() -> None:
    def scenario() -> int:
        syscalls.drop_capabilities(keep=frozenset({1, 10}))
        return int(status_field("CapBnd"), 16)

    assert in_child(scenario) == 1 << 1 | 1 << 10


def test_a_subreaper_gets_its_grandchildren() -> None:
    def scenario() -> bool:
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            if os.fork() == 0:
                os.write(write, str(os.getpid()).encode())
                os._exit(0)
            os._exit(0)
        os.waitpid(child, 0)
        grandchild = int(os.read(read, 20))
        return os.waitpid(grandchild, 0)[0] == grandchild

    assert in_child(scenario)
