from __future__ import annotations

import pytest

from enclaver_runtime.enclave import boot, main
from enclaver_runtime.enclave.boot import Machine
from enclaver_runtime.enclave.console import Console
from enclaver_runtime.protocol.status import Exited, Status


def test_the_real_machine_is_booted(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    booted: list[Machine] = []

    async def run(machine: Machine, console: Console) -> Status:
        booted.append(machine)
        console.say("booted")
        return Exited(0)

    monkeypatch.setattr(boot, "run", run)
    main.main()
    assert booted[0].root == "/rootfs"
    lines = capfd.readouterr().err.splitlines()
    assert [line.split("] ")[1] for line in lines] == ["runtime started", "booted"]
