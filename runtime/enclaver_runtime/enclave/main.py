"""PID 1's program: the boot on the real machine, to its end."""

from __future__ import annotations

import trio

from enclaver_runtime.enclave import boot
from enclaver_runtime.enclave.console import Console
from enclaver_runtime.enclave.machine import machine


def main() -> None:
    """Live the enclave's life; returns when it is time to power off."""
    console = Console()
    console.say("runtime started")
    trio.run(boot.run, machine(console), console)
