"""The emulator with stand-ins for its two programs: scripts that are the vsock device, the guest and QEMU."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.parent import emulator
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.exit_codes import Outcome
from enclaver_runtime.parent.machine import BootParts, EnclaveImage, Machine
from enclaver_runtime.protocol.status import Exited, Running, Status

# Every one of these starts a few Pythons.
pytestmark = pytest.mark.slow

# Makes the sockets, then plays a hybrid vsock and the guest behind it, as its image (a script) says.
_VHOST = """\
import socket, sys, threading, time
options = dict(pair.split("=") for pair in sys.argv[2].split(","))
host, vhost = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
vhost.bind(options["socket"]); vhost.listen()
host.bind(options["uds-path"]); host.listen()
qemu, _ = vhost.accept()
image = qemu.makefile().readline().strip()

def serve(connection):
    port = int(connection.makefile("rb", 0).readline().split()[1])
    lines = GUEST.get(port)
    if lines is None:
        return time.sleep(1000)
    connection.sendall(b"OK 1073741824\\n")
    for line in lines:
        if line == "beat":
            with socket.socket(socket.AF_UNIX) as beat:
                beat.connect(options["uds-path"] + "_9000")
                beat.sendall(b"\\xb7")
                line = beat.recv(10).hex() + "\\n"
        if line == "die":
            qemu.shutdown(socket.SHUT_RDWR)
        elif line == "wait":
            time.sleep(1000)
        else:
            connection.sendall(line.replace("IMAGE", image).encode())
    connection.close()

GUEST = {}
while True:
    threading.Thread(target=serve, args=host.accept()[:1], daemon=True).start()
"""

# Connects to the device, as QEMU does, tells it what it boots, and ends when the device hangs up.
_QEMU = """\
import socket, sys
if sys.argv[1] == "--version":
    sys.exit(print("QEMU emulator version 10.0.13"))
if sys.argv[1:] == ["-M", "help"]:
    sys.exit(print("microvm x\\nnitro-enclave x"))
options = dict(zip(sys.argv[1:], sys.argv[2:]))
path = options["-chardev"].split("path=")[1]
if "broken" in options["-kernel"]:
    sys.exit("qemu: could not load kernel")
device = socket.socket(socket.AF_UNIX)
device.connect(path)
device.sendall(f'{options["-kernel"]} {options.get("-append")}\\n'.encode())
print("Booting", options["-kernel"], flush=True)
if "silent" not in options["-kernel"]:
    print("Run /init as init process", flush=True)
if "panics" in options["-kernel"]:
    print("Kernel panic - not syncing: no init", flush=True)
device.recv(1)
print("reboot: machine restart")
"""


@dataclass
class Fakes:
    """The programs of one test, and what a run of them told."""

    folder: Path
    said: list[str] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    log: bytearray = field(default_factory=bytearray)
    console: bytearray = field(default_factory=bytearray)

    def program(self, name: str, source: str) -> Path:
        path = self.folder / name
        path.write_text(f"#!{sys.executable}\n{source}")
        path.chmod(0o755)
        return path

    async def run(
        self,
        guest: dict[int, list[str]],
        *,
        eif: str = "/x.eif",
        machine: Machine = Machine.NITRO_ENCLAVE,
        vhost: str = _VHOST,
    ) -> Outcome:
        async def log(data: bytes) -> None:
            self.log.extend(data)

        async def console(data: bytes) -> None:
            self.console.extend(data)

        def extract(folder: Path) -> BootParts:
            assert folder.is_dir()
            return BootParts(kernel=Path("/kernel"), command_line="a b", ramdisk=Path("/ramdisk"))

        return await emulator.run(
            EnclaveImage(Path(eif), extract),
            log=log,
            console=console,
            memory_mb=512,
            cpus=2,
            boot_timeout=30,
            tell=self.said.append,
            on_status=self.statuses.append,
            qemu=self.program("qemu", _QEMU),
            vhost_device_vsock=self.program("vhost", vhost.replace("GUEST = {}", f"GUEST = {guest!r}")),
            machine_type=machine,
        )


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@trio_test
async def test_signals_end_the_enclave(fakes: Fakes, number: signal.Signals) -> None:
    outcomes: list[Outcome] = []

    async def run() -> None:
        outcomes.append(await fakes.run({17000: [RUNNING, "wait"], 17001: ["hello\n", "wait"]}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        with trio.fail_after(20):
            while not fakes.log:
                await trio.sleep(0.01)
        os.kill(os.getpid(), number)
    assert outcomes == [Outcome(109, f"interrupted by signal {int(number)} ({number.name})")]


@trio_test
async def test_a_cancelled_run_leaves_nothing(fakes: Fakes) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fakes.run, {17000: [RUNNING, "wait"]})
            while not fakes.statuses:
                await trio.sleep(0.01)
            scope.cancel()
    assert scope.cancelled_caught


@trio_test
async def test_a_long_temporary_folder_is_refused(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fakes.folder / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with pytest.raises(ParentError, match=r"too long for a unix socket.*TMPDIR"):
        await fakes.run({})
    assert list(folder.iterdir()) == []
    monkeypatch.undo()
