"""Where the runtime lives: as the kernel's first process, or as the one program that AWS's own init starts.

An image by the native builder has the runtime as PID 1. In one by ``nitro-cli build-enclave`` PID 1 is AWS's init: it
mounts /dev, /proc, /sys, /run and /tmp, loads the security module's driver, sends the heartbeat, makes the docker
image's root its own, starts the image's command, and reboots when that ends. Only a PID 1 inherits orphans and is
spared by the kernel when memory ends; the runtime asks for both. It cannot ask for what else a PID 1 has: there, an app
that runs as root can kill it, which ends the enclave without a last status.

Source: init/init.c of aws-nitro-enclaves-sdk-bootstrap.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from enclaver_runtime.transport import syscalls

#: Where a process says how soon it is killed for want of memory (proc(5)), and how one says never.
OOM_SCORE = "/proc/self/oom_score_adj"
_NEVER = "-1000"


@dataclass(frozen=True, slots=True)
class Place:
    """What a place asks of the runtime.

    Args:
        settle: gives this process what it needs there, once /proc is mounted; returns lines for the console.
        sends_heartbeat: AWS's tools wait for the runtime's heartbeat; else somebody has sent it before.
    """

    settle: Callable[[], list[str]]
    sends_heartbeat: bool


def here(pid: int | None = None) -> Place:
    """The place of the process ``pid``; of this one when None."""
    return FIRST if (os.getpid() if pid is None else pid) == 1 else BELOW_AWS_INIT


def _stand_in_for_pid_1() -> list[str]:
    syscalls.set_child_subreaper()
    with open(OOM_SCORE, "w", encoding="ascii") as file:
        file.write(_NEVER)
    return [f"started by another init, as process {os.getpid()}"]


#: The kernel's first process.
FIRST = Place(settle=list, sends_heartbeat=True)

#: The child of AWS's init.
BELOW_AWS_INIT = Place(settle=_stand_in_for_pid_1, sends_heartbeat=False)
