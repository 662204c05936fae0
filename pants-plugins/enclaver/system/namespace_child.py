"""The process inside: makes the namespaces and the mounts, and runs one program in them.

``enclaver.system.namespaces`` hands this text to a fresh interpreter (``python -I -S -c``), since a process with
threads may not enter a user namespace. So it imports nothing but the standard library. Linux's manual: unshare(2),
user_namespaces(7), mount_namespaces(7), pid_namespaces(7).

Three processes. The outer one, in the host's PID namespace, makes the namespaces, and watches the caller: it
reads a pipe that ends when the caller dies. The init is PID 1 of the new PID namespace: when it ends, for
whatever reason, the kernel kills everything in there. The third is the program.

Standard input: a JSON object ``{"root", "argv", "env", "cwd", "hostname", "umask", "report"}``, a newline, then
nothing until the caller is done. Each line written to the file descriptor ``report`` is a JSON object,
``{"failed": STEP, "errno": N}`` or ``{"returncode": N}``; the first one counts.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

# include/uapi/linux/sched.h
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
# include/uapi/linux/mount.h
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_BIND: Final = 0x1000
MS_MOVE: Final = 0x2000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000
# include/uapi/linux/prctl.h
PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38

_ISOLATED: Final = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")
_LINKS: Final = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class StepError(Exception):
    """A step of the setup that the system refused."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(step)
        self.step = step
        self.number = number


@contextmanager
def step(name: str) -> Iterator[None]:
    """Name the step that a system error comes from."""
    try:
        yield
    except OSError as error:
        raise StepError(name, error.errno or 0) from error


def call(function: str, *arguments: object) -> None:
    """Call a function of the C library that returns non-zero, with errno, when it fails."""
    if getattr(_LIBC, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """mount(2)."""

    def text(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    call("mount", text(source), text(target), text(kind), ctypes.c_ulong(flags), text(options))


def enter_namespaces() -> None:
    """Leave the host's namespaces: as root at once, else as the root of a user namespace."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        try:
            call("unshare", _ISOLATED)
            return
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
    call("unshare", _ISOLATED | CLONE_NEWUSER)
    with step("uid_map"):
        # Without this an unprivileged process may not map its group: it could drop groups that bar it.
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)


def mount_all(root: str) -> None:
    """Mount what the program needs, and make ``root`` its /. Nothing of it is seen outside."""
    with step("mount /"):
        mount(None, "/", None, MS_REC | MS_PRIVATE)
        mount(root, root, None, MS_BIND | MS_REC)
    for name in ("proc", "dev", "tmp"):
        with step(f"mkdir /{name}"):
            os.makedirs(f"{root}/{name}", exist_ok=True)
    with step("mount /proc"):
        try:
            mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        except PermissionError:
            # A container that masks parts of its /proc can't mount another; its own serves as well.
            mount("/proc", f"{root}/proc", None, MS_BIND | MS_REC)
    with step("mount /tmp"):
        mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")  # noqa: S108 Its own.
    with step("mount /dev"):
        mount("tmpfs", f"{root}/dev", "tmpfs", MS_NOSUID, "mode=0755")
        for name in _DEVICES:
            # Nobody but the host's root can make a node, so the host's are bound.
            os.close(os.open(f"{root}/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
            mount(f"/dev/{name}", f"{root}/dev/{name}", None, MS_BIND)
        for name, target in _LINKS.items():
            os.symlink(target, f"{root}/dev/{name}")
    with step("chroot"):
        # Moved over /, not chroot alone: then the host's files have no path any more.
        os.chdir(root)
        mount(".", "/", None, MS_MOVE)
        os.chroot(".")


def program(spec: dict[str, Any]) -> None:
    """Become the program. Returns never."""
    with step("exec"):
        os.chdir(spec["cwd"])
        os.umask(spec["umask"])
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # Python ignores these two; a shell's `yes | head` relies on the first.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 Not a shell, on purpose.


def init(spec: dict[str, Any], alive: int) -> int:
    """PID 1: set up, start the program, reap until it ends; return its code, negative for a signal."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    if not os.read(alive, 1):
        return 1  # The outer process died before it could be told to take this one along.
    mount_all(spec["root"])
    with step("hostname"):
        name = os.fsencode(spec["hostname"])
        call("sethostname", name, len(name))
    child = fork(lambda: program(spec), spec["report"])
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def fork(body: Callable[[], object], report: int) -> int:
    """Run ``body`` in a child, which ends with it; return the child's PID."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        except StepError as error:
            tell(report, failed=error.step, errno=error.number)
        finally:
            os._exit(1)
    return pid


def tell(report: int, **facts: object) -> None:
    """Write one line of the report."""
    os.write(report, json.dumps(facts).encode("ascii") + b"\n")


def outer(spec: dict[str, Any], caller: int) -> None:
    """Make the namespaces, start the init, and end it when the caller is gone."""
    report = spec["report"]
    with step("unshare"):
        enter_namespaces()
    read_end, write_end = os.pipe()

    def body() -> None:
        os.close(write_end)
        code = init(spec, read_end)
        tell(report, returncode=code)

    pid = fork(body, report)
    os.close(read_end)
    os.write(write_end, b"x")
    watch = os.pidfd_open(pid)
    ready, _, _ = select.select([watch, caller], [], [])
    if watch not in ready:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def main() -> None:
    """Read the specification from standard input and do what it says."""
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(0, 1 << 16)
        if not chunk:
            return
        line += chunk
    spec = json.loads(line)
    # Standard input is the caller's end of life from here on; it must not reach the program.
    caller = os.dup(0)
    os.set_inheritable(spec["report"], False)
    try:
        outer(spec, caller)
    except StepError as error:
        tell(spec["report"], failed=error.step, errno=error.number)


if __name__ == "__main__":
    sys.excepthook = lambda *_: os._exit(1)
    main()
