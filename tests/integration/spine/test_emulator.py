"""The emulator with the real QEMU, the real vsock device and a guest of our own (guest.c) on the project's kernel."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from enclaver.core.rootfs import cpio_writer
from enclaver.core.rootfs.entry import Entry, Kind
from enclaver.core.rootfs.tree import Tree
from enclaver_runtime.parent import emulator, runner
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.exit_codes import Outcome
from enclaver_runtime.parent.machine import BootParts, EnclaveImage, Machine
from enclaver_runtime.parent.runner import Session
from tests.integration.leftovers import assert_nothing_is_left, processes_with
from tests.integration.tools import require

pytestmark = pytest.mark.slow

MACHINES = {
    "nitro": ("qemu-nitro", Machine.NITRO_ENCLAVE),
    "microvm": ("qemu-nitro", Machine.MICROVM),
    "debian-microvm": ("qemu-microvm", Machine.MICROVM),
}


@pytest.fixture(scope="module")
def ramdisk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """guest.c as /init, and a console for it."""
    folder = tmp_path_factory.mktemp("guest")
    source = Path(__file__).with_name("guest.c")
    subprocess.run([require("gcc"), "-O2", "-static", "-o", folder / "init", source], check=True)
    tree = Tree()
    tree.add_file("init", (folder / "init").read_bytes(), mode=0o755)
    tree.add_directory("dev")
    tree.add(Entry("dev/console", Kind.CHARACTER_DEVICE, 0o600, device=(5, 1)))
    with (folder / "ramdisk").open("wb") as out:
        cpio_writer.write(tree, out)
    return folder / "ramdisk"


MakeImage = Callable[[str], EnclaveImage]


@pytest.fixture
def image(ramdisk: Path, tmp_path: Path) -> MakeImage:
    """Makes an image whose guest does what it is told, as an EIF (by eif_build) and in parts."""
    kernel = require("kernel")

    def make(what: str) -> EnclaveImage:
        command_line = f"{(kernel / 'cmdline').read_text().strip()} guest={what}"
        eif = tmp_path / f"{what}.eif"
        parts: list[str | Path] = ["--kernel", kernel / "bzImage", "--cmdline", command_line, "--ramdisk", ramdisk]
        subprocess.run([require("eif_build"), *parts, "--output", eif], check=True, stdout=subprocess.DEVNULL)
        return EnclaveImage(eif, lambda _: BootParts(kernel / "bzImage", command_line, ramdisk))

    return make


class Run:
    """One run of an image on one of the machines."""

    def __init__(self, machine: str) -> None:
        tool, self._machine = MACHINES[machine]
        self._qemu = require(tool)
        self._vhost = require("vhost-device-vsock")
        self.log = bytearray()
        self.console = bytearray()

    async def _log(self, data: bytes) -> None:
        self.log += data

    async def _console(self, data: bytes) -> None:
        self.console += data

    def __call__(self, image: EnclaveImage) -> Outcome:
        async def main() -> Outcome:
            with trio.fail_after(120):
                start = functools.partial(
                    emulator.boot,
                    image,
                    console=self._console,
                    memory_mb=256,
                    cpus=2,
                    tell=lambda _: None,
                    qemu=self._qemu,
                    vhost_device_vsock=self._vhost,
                    machine_type=self._machine,
                )
                return await runner.run(start, Session(log=self._log, boot_timeout=60, tell=lambda _: None))

        return trio.run(main)


@pytest.fixture(params=MACHINES)
def run(request: Any) -> Run:  # pytest 7's type for it does not know .param.
    return Run(request.param)


def test_boots_and_reports(run: Run, image: MakeImage) -> None:
    assert run(image("exit")) == Outcome(42, "the app exited with code 42")
    assert run.log == b"hello from the guest\nthe last line\n"
    assert b"guest: the heartbeat was answered" in run.console


def test_loses_no_log(run: Run, image: MakeImage) -> None:
    assert run(image("chatter")).exit_code == 42
    lines = [b"hello from the guest", *(b"%099d" % number for number in range(20000)), b"the last line"]
    assert run.log.splitlines() == lines


def test_a_machine_that_ends_is_an_error(run: Run, image: MakeImage) -> None:
    with pytest.raises(ParentError, match=r"QEMU: exit code 0(.|\n)*guest: the heartbeat was answered"):
        run(image("die"))


def test_a_panic_is_an_error_within_seconds(run: Run, image: MakeImage) -> None:
    start = time.monotonic()
    with pytest.raises(ParentError, match=r"the kernel panicked(.|\n)*Attempted to kill init"):
        run(image("panic"))
    # The kernel itself would wait for 30 s.
    assert time.monotonic() - start < 20


def test_a_broken_image_is_refused_by_the_nitro_machine(image: MakeImage) -> None:
    good = image("exit")
    data = bytearray(good.eif.read_bytes())
    data[len(data) // 2] ^= 1
    good.eif.write_bytes(data)
    with pytest.raises(ParentError, match=r"QEMU: exit code 1(.|\n)*CRC mismatch"):
        Run("nitro")(good)


_RUNNER = """\
import functools, sys, trio
from pathlib import Path
from enclaver_runtime.parent import emulator, runner
from enclaver_runtime.parent.machine import EnclaveImage
from enclaver_runtime.parent.sink import descriptor_sink

def tell(text):
    print(text, file=sys.stderr)

start = functools.partial(
    emulator.boot, EnclaveImage(Path(sys.argv[1]), lambda _: None), memory_mb=256, cpus=2, tell=tell,
    qemu=Path(sys.argv[2]), vhost_device_vsock=Path(sys.argv[3]),
)
# The guest is a program of this folder's, which takes no requests to end.
session = runner.Session(log=descriptor_sink(1), boot_timeout=60, tell=tell, asks=False)
sys.exit(trio.run(runner.run, start, session).exit_code)
"""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path leaves room for a socket's name, and that shows what is left behind."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 109), (signal.SIGTERM, 109), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_nothing_outlives_the_runner(image: MakeImage, short_folder: Path, number: signal.Signals, code: int) -> None:
    folder = short_folder
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)}
    command: list[str | Path] = [sys.executable, "-c", _RUNNER, image("sleep").eif]
    command += [require("qemu-nitro"), require("vhost-device-vsock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"hello from the guest\n"
        # QEMU, its device, and the janitor.
        assert len(processes_with(str(folder))) == 3
        runner.send_signal(number)
        assert runner.wait(timeout=10) == code
    assert_nothing_is_left(folder, patience=5)
