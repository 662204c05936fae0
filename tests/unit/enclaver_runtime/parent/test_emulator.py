"""The emulator with stand-ins for its two programs."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.parent import emulator, runner
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.exit_codes import Outcome
from enclaver_runtime.parent.machine import BootParts, EnclaveImage, Machine
from enclaver_runtime.parent.runner import Session
from enclaver_runtime.protocol.status import Exited, Running, Status
from tests.emulator_stand_ins import VHOST_DEVICE_VSOCK, qemu, vhost_device_vsock

# Every one of these starts a few Pythons.
pytestmark = pytest.mark.slow


@dataclass
class Fakes:
    """The programs of one test, and what a run of them told."""

    folder: Path
    said: list[str] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    log: bytearray = field(default_factory=bytearray)
    console: bytearray = field(default_factory=bytearray)
    lines: list[bytes] = field(default_factory=list)

    async def run(
        self,
        guest: dict[int, list[str]],
        *,
        eif: str = "/x.eif",
        machine: Machine = Machine.NITRO_ENCLAVE,
        vhost: str = VHOST_DEVICE_VSOCK,
    ) -> Outcome:
        async def log(data: bytes) -> None:
            self.log.extend(data)

        async def console(data: bytes) -> None:
            self.console.extend(data)

        def extract(folder: Path) -> BootParts:
            assert folder.is_dir()
            return BootParts(kernel=Path("/kernel"), command_line="a b", ramdisk=Path("/ramdisk"))

        start = functools.partial(
            emulator.boot,
            EnclaveImage(Path(eif), extract),
            console=console,
            on_line=self.lines.append,
            memory_mb=512,
            cpus=2,
            tell=self.said.append,
            qemu=qemu(self.folder / "qemu"),
            vhost_device_vsock=vhost_device_vsock(self.folder / "vhost", guest, source=vhost),
            machine_type=machine,
        )
        tell, note = self.said.append, self.statuses.append
        return await runner.run(start, Session(log=log, boot_timeout=30, tell=tell, on_status=note))


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    # A folder of its own shows what is left behind; short, because socket paths must be.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Fakes(tmp_path)
        assert os.listdir(folder) == []


RUNNING, EXITED = '{"status":"running"}\n', '{"status":"exited","code":42}\n'


@trio_test
async def test_a_run_in_the_nitro_machine(fakes: Fakes) -> None:
    guest = {17000: [RUNNING, EXITED], 17001: ["beat", "booted IMAGE\n"]}
    assert await fakes.run(guest) == Outcome(42, "the app exited with code 42")
    assert fakes.log == b"b7\nbooted /x.eif None\n"
    assert fakes.statuses == [Running(), Exited(42)]
    assert "PROTECTS NOTHING" in fakes.said[0]
    assert "machine nitro-enclave" in fakes.said[1]
    assert fakes.console == b"Booting /x.eif\nRun /init as init process\n"
    assert fakes.lines == fakes.console.splitlines()


@trio_test
async def test_a_run_in_a_microvm_gets_the_extracted_parts(fakes: Fakes) -> None:
    guest = {17000: [EXITED], 17001: ["booted IMAGE\n"]}
    assert (await fakes.run(guest, machine=Machine.MICROVM)).exit_code == 42
    assert fakes.log == b"booted /kernel a b\n"


@trio_test
async def test_qemu_that_does_not_start_is_told_with_its_words(fakes: Fakes) -> None:
    with pytest.raises(ParentError, match=r"QEMU: exit code 1(.|\n)*\| qemu: could not load kernel"):
        await fakes.run({}, eif="/broken")


@trio_test
async def test_a_guest_that_ends_too_early_is_an_error(fakes: Fakes) -> None:
    with pytest.raises(ParentError, match=r"QEMU: exit code 0(.|\n)*machine restart"):
        await fakes.run({17000: [RUNNING, "die"]})


@trio_test
async def test_nobody_connects_before_the_guest_is_up(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = {17000: [EXITED], 17001: ["hello\n"]}
    start = trio.current_time()
    monkeypatch.setattr(emulator, "_SILENT_BOOT", 0.5)
    assert (await fakes.run(guest, eif="/silent")).exit_code == 42
    assert trio.current_time() - start > 0.5


@trio_test
async def test_a_panic_is_not_waited_out(fakes: Fakes) -> None:
    with pytest.raises(ParentError, match="the kernel panicked"):
        await fakes.run({}, eif="/panics")


@trio_test
async def test_a_device_that_does_not_start_is_an_error(fakes: Fakes) -> None:
    with pytest.raises(ParentError, match=r"vhost-device-vsock ended at once(.|\n)*no such option"):
        await fakes.run({}, vhost="import sys; sys.exit('no such option')")


@trio_test
async def test_a_cancelled_run_leaves_nothing(fakes: Fakes) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fakes.run, {17000: [RUNNING, "wait"]})
            while not fakes.statuses:
                await trio.sleep(0.01)
            scope.cancel()
    assert scope.cancelled_caught


@pytest.mark.parametrize(("name", "why"), [("x" * 100, "too long for a unix socket"), ("a,b", "has a comma")])
@trio_test
async def test_a_temporary_folder_that_sockets_cannot_be_in_is_refused(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    folder = fakes.folder / name
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with pytest.raises(ParentError, match=f"{why}.*TMPDIR"):
        await fakes.run({})
    assert list(folder.iterdir()) == []
    monkeypatch.undo()
