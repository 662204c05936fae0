"""What the runtime mounts for itself, and what the app finds mounted in its root.

The app's root is a folder of the initial ramdisk, so nothing there is a mount yet. Everything here is kept in
memory; the app's ``/dev`` holds only what every container has: no security module, no vsock, no console.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from enclaver_runtime.transport import syscalls
from enclaver_runtime.transport.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REMOUNT,
)

_PLAIN = MS_NOSUID | MS_NODEV | MS_NOEXEC


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: ``target`` is relative to the root it is made in; ``needed``: the boot ends without it."""

    target: str
    kind: str
    flags: int = _PLAIN
    options: str | None = None
    needed: bool = True


#: The runtime's own. Control groups are mounted where the kernel has version 2 of them.
BASE = (
    Mount("proc", "proc"),
    Mount("sys", "sysfs"),
    Mount("sys/fs/cgroup", "cgroup2", needed=False),
    Mount("dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755"),
    Mount("dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5"),
    Mount("dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"),
    Mount("run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"),
    Mount("tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"),
)

#: The app's, in its root. /tmp is not here: an image may have files in it.
APP = (
    Mount("proc", "proc"),
    Mount("sys", "sysfs", _PLAIN | MS_RDONLY),
    Mount("sys/fs/cgroup", "cgroup2", _PLAIN | MS_RDONLY, needed=False),
    Mount("dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k"),
    Mount("dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"),
    Mount("dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"),
)

#: Character devices of the app's /dev, with their numbers; everybody may read and write them.
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}

_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}

#: Parts of /proc through which root could reach the whole enclave (a core_pattern runs as PID 1's child).
_READ_ONLY = ("proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus", "proc/fs")

_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


class RootError(Exception):
    """The app's root is not one that an app can be run in; the text names the path."""


def mount_all(mounts: Iterable[Mount], root: str = "/") -> list[str]:
    """Make ``mounts`` under ``root``, with missing folders; return what was left out, as texts.

    Raises:
        OSError: a needed mount failed.
        RootError: a mount point is a link or a file.
    """
    left_out = []
    for mount in mounts:
        target = os.path.join(root, mount.target)
        try:
            _folder(target)
            syscalls.mount(mount.kind, target, mount.kind, mount.flags, mount.options)
        except OSError as error:
            if mount.needed:
                raise
            left_out.append(f"{target} not mounted: {error.strerror}")
    return left_out


def prepare_root(root: str) -> list[str]:
    """Make the folder ``root`` one that an app can be run in: mounts, devices, /tmp, /etc/hosts.

    Returns:
        What was left out, as texts.

    Raises:
        OSError: a mount or a device failed.
        RootError: ``root`` is missing, or a mount point in it is a link or a file.
    """
    if not os.path.isdir(root):
        raise RootError(f"{root} is missing: the image has no app")
    left_out = mount_all(APP, root)
    for path in _READ_ONLY:
        target = os.path.join(root, path)
        if os.path.exists(target):
            syscalls.mount(target, target, None, MS_BIND)
            syscalls.mount(target, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | _PLAIN)
    _devices(os.path.join(root, "dev"))
    _temporary(os.path.join(root, "tmp"))
    _hosts(os.path.join(root, "etc"))
    return left_out


def _folder(path: str) -> None:
    """Make sure that ``path`` is a folder and no link: a link would be followed in the enclave's root."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o755)
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise RootError(f"{path} is not a folder, so nothing can be mounted there")


def _devices(folder: str) -> None:
    for name, number in DEVICES.items():
        path = os.path.join(folder, name)
        os.mknod(path, stat.S_IFCHR, os.makedev(*number))
        # mknod's mode is subject to the umask.
        os.chmod(path, 0o666)  # noqa: S103 - as every Linux has these devices.
    for name, target in _LINKS.items():
        os.symlink(target, os.path.join(folder, name))


def _temporary(path: str) -> None:
    """Give the app a /tmp: the image's own when it has files in it, else one in memory of its own."""
    _folder(path)
    if os.listdir(path):
        os.chmod(path, 0o1777)  # noqa: S103 - as every Linux has it.
    else:
        syscalls.mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")


def _hosts(folder: str) -> None:
    """Write etc/hosts where an image leaves it to its engine, so that ``localhost`` resolves."""
    _folder(folder)
    path = os.path.join(folder, "hosts")
    if os.path.lexists(path) and (os.path.islink(path) or os.path.getsize(path)):
        return
    with open(path, "w", encoding="ascii") as file:
        file.write(_HOSTS)
    os.chmod(path, 0o644)
