"""How a run can end, in booted guests: the runner's exit code, what it says, and what it leaves behind."""

from __future__ import annotations

import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.leftovers import assert_nothing_is_left, processes_with
from tests.integration.runtime.booted import (
    MICROVM,
    NITRO_ENCLAVE,
    PATIENCE,
    Runner,
    app,
    command,
    run,
    running,
    started,
)
from tests.integration.runtime.rewritten import rewritten

pytestmark = pytest.mark.slow

TOLD = app("told")
PORT = 8000
PUBLISHED = ("-p", f"127.0.0.1:0:{PORT}")
LOG_PORT = 17001
RING = 128 * 1024


@contextmanager
def told(*options: str, machine: str = NITRO_ENCLAVE) -> Iterator[Runner]:
    """Run the app that does what it is told; it listens."""
    with running(TOLD, *PUBLISHED, *options, machine=machine) as runner:
        runner.wait_for_log("^listening")
        yield runner


def tell(runner: Runner, order: str) -> None:
    """Give an order, and wait until it is taken."""
    with socket.create_connection(runner.published(PORT), timeout=PATIENCE) as connection:
        connection.sendall(order.encode() + b"\n")
        assert connection.makefile().readline() == "yes\n"


@pytest.mark.parametrize("machine", [NITRO_ENCLAVE, MICROVM])
def test_the_apps_own_code(machine: str) -> None:
    with told(machine=machine) as runner:
        tell(runner, "exit 42")
        ended = runner.wait()
    assert ended.code == 42, ended.said
    assert ended.log.splitlines()[-1] == "last words"
    assert "enclaver: the app exited with code 42\n" in ended.said


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_an_app_that_a_signal_ended(number: signal.Signals) -> None:
    with told() as runner:
        tell(runner, f"kill {int(number)}")
        ended = runner.wait()
    assert ended.code == 107, ended.said
    assert ended.log.splitlines()[-1] == "last words"
    assert f"the app was ended by signal {int(number)} ({number.name})" in ended.said


def test_an_app_that_takes_all_memory_is_told_apart_from_one_that_was_killed() -> None:
    with told() as runner:
        tell(runner, "fill")
        ended = runner.wait()
    assert (ended.code, "SIGKILL" in ended.said) == (107, True), ended.said
    assert ended.log.splitlines()[-2:] == [
        "last words",
        "enclaver: the enclave has no memory left, so the kernel has killed the app",
    ]


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["/app/nothing"], "cannot start the app: /app/nothing: No such file or directory"),
        (["nothing"], "cannot start the app: nothing: No such file or directory"),
        (["/app/told.py"], "cannot start the app: /app/told.py: Permission denied"),
        (["/app/garbled"], "cannot start the app: /app/garbled: Exec format error"),
    ],
)
def test_an_app_that_cannot_be_started(tmp_path: Path, argv: list[str], why: str) -> None:
    ended = run(rewritten(TOLD, tmp_path, argv=argv))
    assert ended.code == 108, ended.said
    assert f"enclaver: the enclave failed: {why}\n" in ended.said
    assert ended.log == ""


class Reader:
    """Another reader of a run's log, by the emulator's own socket."""

    def __init__(self, folder: Path) -> None:
        (path,) = folder.glob("enclaver-run-*/vm.vsock")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(path))
        self._socket.sendall(b"CONNECT %d\n" % LOG_PORT)
        while self._socket.recv(1) != b"\n":
            pass
        self._data = bytearray()

    def wait_for(self, end: bytes) -> None:
        """Read until what was read ends so."""
        while not self._data.endswith(end):
            assert self._read(), self._data[-100:]

    def read(self) -> bytes:
        """Read to the end; all that was read."""
        while self._read():
            pass
        self.close()
        return bytes(self._data)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _read(self) -> bool:
        piece = self._socket.recv(1 << 16)
        self._data += piece
        return bool(piece)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder whose path leaves room for a socket's name, and that shows what is left behind."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_a_full_ring_slow_readers_and_still_the_last_words(temporary: Path) -> None:
    """One boot for all of it: the runner's own output is read by nobody before all is over."""
    with started(command(TOLD, *PUBLISHED), read=False, TMPDIR=str(temporary)) as runner:
        runner.wait_for_said("app started")
        tell(runner, "write 1000000")
        late, idle, leaves = Reader(temporary), Reader(temporary), Reader(temporary)
        late.wait_for(b"wrote 1048576 bytes\n")
        leaves.close()
        tell(runner, "write 300000")
        tell(runner, "exit 5")
        late_log = late.read()
        runner.wait_for_said("^enclaver: .* app exited with code 5")
        idle_log = idle.read()
        runner.read_log()
        ended = runner.wait()
    assert ended.code == 5, ended.said
    # The runner's reader was there from the start, and keeps what its own reader does not take.
    assert ended.log.startswith("listening")
    assert ended.log.splitlines()[-1] == "last words"
    # Who comes late gets what is in the ring, then what follows.
    before, _, after = late_log.partition(b"wrote 1048576 bytes\n")
    assert len(before) + len("wrote 1048576 bytes\n") >= RING
    assert after.splitlines()[-2:] == [b"wrote 327680 bytes", b"last words"]
    # Who had not read a byte by then has not held up anybody.
    assert idle_log


@pytest.mark.parametrize(("number", "machine"), [(signal.SIGTERM, NITRO_ENCLAVE), (signal.SIGINT, MICROVM)])
def test_a_signal_to_the_runner_reaches_the_app(temporary: Path, number: signal.Signals, machine: str) -> None:
    with started(command(TOLD, machine=machine), TMPDIR=str(temporary)) as runner:
        runner.wait_for_log("^listening")
        runner.process.send_signal(number)
        ended = runner.wait()
    assert ended.code == 109, ended.said
    assert ended.log.splitlines()[-2:] == [f"got {number.name}", "in order"]
    assert f"{number.name}: the app is asked to end" in ended.said
    assert f"interrupted by signal {int(number)} ({number.name}); the app exited with code 0" in ended.said
    assert_nothing_is_left(temporary, patience=PATIENCE)


@pytest.mark.parametrize(
    ("number", "got"), [(signal.SIGTERM, signal.SIGQUIT), (signal.SIGINT, signal.SIGINT)], ids=["SIGTERM", "SIGINT"]
)
def test_an_app_gets_the_stop_signal_of_its_image(tmp_path: Path, number: signal.Signals, got: signal.Signals) -> None:
    with started(command(rewritten(TOLD, tmp_path, stop_signal=int(signal.SIGQUIT)))) as runner:
        runner.wait_for_log("^listening")
        runner.process.send_signal(number)
        ended = runner.wait()
    assert ended.code == 109, ended.said
    assert ended.log.splitlines()[-2:] == [f"got {got.name}", "in order"]


def test_a_second_signal_ends_the_enclave_at_once(temporary: Path) -> None:
    with started(command(TOLD, *PUBLISHED), TMPDIR=str(temporary)) as runner:
        tell(runner, "stubborn")
        runner.process.send_signal(signal.SIGTERM)
        runner.wait_for_log("^got SIGTERM")
        runner.process.send_signal(signal.SIGINT)
        # The app would have been killed 10 seconds after the first.
        ended = runner.wait()
    assert ended.code == 109, ended.said
    assert ended.said.splitlines()[-1] == "enclaver: interrupted by signal 15 (SIGTERM)"
    assert_nothing_is_left(temporary, patience=PATIENCE)


def test_an_app_that_does_not_end_when_asked_is_killed(temporary: Path) -> None:
    with started(command(TOLD, *PUBLISHED), TMPDIR=str(temporary)) as runner:
        tell(runner, "stubborn")
        runner.process.send_signal(signal.SIGTERM)
        ended = runner.wait()
    assert ended.code == 109, ended.said
    assert "interrupted by signal 15 (SIGTERM); the app was ended by signal 9 (SIGKILL)" in ended.said
    assert_nothing_is_left(temporary, patience=PATIENCE)


@pytest.mark.parametrize("moment", ["boots", "runs"])
def test_a_killed_runner_leaves_nothing(temporary: Path, moment: str) -> None:
    with started(command(TOLD, *PUBLISHED), TMPDIR=str(temporary)) as runner:
        if moment == "boots":
            runner.wait_for_said("Linux version")
        else:
            runner.wait_for_log("^listening")
        # QEMU, its device, and the janitor.
        assert len(processes_with(str(temporary))) == 3
        runner.process.kill()
        assert runner.wait().code == -signal.SIGKILL
        assert_nothing_is_left(temporary, patience=PATIENCE)
