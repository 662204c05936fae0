"""Run a program in a tree of files as if it were a machine of its own: no network, no host, nothing left behind.

As root, or as anybody where user namespaces are allowed. The program sees the tree as /, a /proc, a /dev and a
/tmp of its own, a fixed host name, user 0, umask 022, and only the environment it is given.
"""

from __future__ import annotations

import errno
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from enclaver.core.errors import EnclaverError
from enclaver.system import namespace_child

_UMASK: Final = 0o022
_LINE_LIMIT: Final = 1 << 16
_FORBIDDEN: Final = (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS, errno.EINVAL, errno.ENOSYS)
# What turns user namespaces off: the setting's path below /proc/sys, and the value that does.
_SETTINGS: Final = (
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


class NamespacesForbiddenError(EnclaverError):
    """This machine lets the caller make no namespaces; ``cure`` says what would allow them."""


def run(
    root: Path,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str = "/",
    hostname: str,
    on_line: Callable[[str], None],
) -> int:
    """Run one program to its end.

    Args:
        root: the folder that is the program's /; it stays as the program leaves it.
        argv: the program, found by ``env``'s PATH inside the tree, and its arguments.
        env: its whole environment.
        cwd: its working folder, inside the tree.
        hostname: what it takes the machine's name to be.
        on_line: called with each line of its output and errors, without the newline.

    Returns:
        Its exit code; negative for the signal that ended it.

    Raises:
        NamespacesForbiddenError: the machine forbids the namespaces.
        EnclaverError: the program isn't in the tree, or isn't for this machine's processor.
    """
    report_read, report_write = os.pipe()
    with os.fdopen(report_read, "rb") as report:
        try:
            process = _start(report_write)
        finally:
            os.close(report_write)
        spec = {
            "root": str(root.resolve()),
            "argv": list(argv),
            "env": dict(env),
            "cwd": cwd,
            "hostname": hostname,
            "umask": _UMASK,
            "report": report_write,
        }
        try:
            _follow(process, spec, on_line)
            facts = report.readline()
        finally:
            process.kill()
            process.wait()
    return _result(json.loads(facts) if facts else {}, argv[0])


def _start(report: int) -> subprocess.Popen[bytes]:
    text = inspect.getsource(namespace_child)
    # A session of its own: a Ctrl-C at the terminal is the caller's to handle, by closing the pipe.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(report,),
        start_new_session=True,
    )


def _follow(process: subprocess.Popen[bytes], spec: Mapping[str, Any], on_line: Callable[[str], None]) -> None:
    """Give the child its orders and read its output to the end; the pipe to it stays open meanwhile."""
    orders, output = _streams(process)
    with output, orders:
        # One that was killed at its start takes no orders; that it gives no report either says so.
        with suppress(BrokenPipeError):
            os.write(orders.fileno(), json.dumps(spec).encode("ascii") + b"\n")
        while line := output.readline(_LINE_LIMIT):
            on_line(line.decode("utf-8", "replace").rstrip("\n"))


def _streams(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    orders, output = process.stdin, process.stdout
    if orders is None or output is None:  # They were asked for in _start.
        raise RuntimeError("the child has no pipes")
    return orders, output


def _result(facts: Mapping[str, Any], program: str) -> int:
    if "returncode" in facts:
        return int(facts["returncode"])
    if "failed" not in facts:
        raise EnclaverError(
            f"{program} and all that ran with it was killed from outside",
            cure="See whether the machine ran out of memory (dmesg), and run it again.",
        )
    where, number = str(facts["failed"]), int(facts["errno"])
    reason = os.strerror(number)
    if where == "exec":
        raise EnclaverError(
            f"{program} can't be run in the unpacked tree: {reason}",
            cure=f"The packages must be for this machine's processor ({os.uname().machine}) and bring {program}.",
        )
    if number in _FORBIDDEN:
        raise NamespacesForbiddenError(
            f"this machine lets you make no namespaces of your own ({where}: {reason})", cure=ways_out()
        )
    raise EnclaverError(f"the namespaces can't be set up ({where}: {reason})")


def ways_out(settings: Path = Path("/proc/sys")) -> str:
    """Return what would allow namespaces here, the settings that stand in the way first."""
    ways = []
    for name, bad, command in _SETTINGS:
        try:
            value = (settings / name).read_text(encoding="ascii").strip()
        except OSError:
            continue  # This kernel doesn't have the setting.
        if value == bad:
            ways.append(f"`{command}` as root, since it is {value} now")
    if not ways:
        names = " or ".join(name.replace("/", ".") for name, _, _ in _SETTINGS)
        ways.append(f"as root, look at the sysctls {names}")
    ways.append("in a container, start it with --privileged, or with --security-opt seccomp=unconfined")
    ways.append("run this as root")
    return "Allow them: " + "; or ".join(ways) + "."
