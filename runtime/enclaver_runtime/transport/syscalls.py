"""System calls that Python has no function for, by ctypes; a failure is an :class:`OSError` with its object.

Numbers are the kernel's: include/uapi/linux/{mount,prctl,reboot}.h and asm/unistd.h.
"""

from __future__ import annotations

import ctypes
import os

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MNT_DETACH = 0x2

RB_AUTOBOOT = 0x01234567

_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_SYS_FINIT_MODULE = {"x86_64": 313, "aarch64": 273}

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    """mount(2). ``kind`` and ``options`` are None for bind mounts and remounts."""
    result = _libc.mount(_path(source), _path(target), _path(kind), ctypes.c_ulong(flags), _path(options))
    _check(result, target)


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(_path(target), flags), target)


def reboot(command: int) -> None:
    """reboot(2). With :data:`RB_AUTOBOOT` it does not return, unless the caller may not."""
    _check(_libc.reboot(ctypes.c_int(command)), "reboot")


def load_module(path: str, parameters: str = "") -> None:
    """finit_module(2): load the kernel module in the file ``path``."""
    machine = os.uname().machine
    if machine not in _SYS_FINIT_MODULE:
        raise OSError(f"modules cannot be loaded on {machine}")
    with open(path, "rb") as module:
        number = ctypes.c_long(_SYS_FINIT_MODULE[machine])
        _check(_libc.syscall(number, module.fileno(), os.fsencode(parameters), 0), path)


def set_no_new_privileges() -> None:
    """Neither this process nor what it executes gains privileges from now on (set-user-ID and alike)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def set_child_subreaper() -> None:
    """Orphaned descendants become children of this process, as they do of PID 1."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def drop_capabilities(keep: frozenset[int] = frozenset()) -> None:
    """Take every capability but ``keep`` out of the bounding set: nothing executed later can have it."""
    capability = 0
    # The kernel answers EINVAL, read as -1, past the last capability that it knows.
    while (held := _libc.prctl(_PR_CAPBSET_READ, ctypes.c_ulong(capability), 0, 0, 0)) >= 0:
        if held and capability not in keep:
            _prctl(_PR_CAPBSET_DROP, capability)
        capability += 1


def _prctl(option: int, argument: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0), f"prctl {option}")


def _path(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _check(result: int, subject: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)
