from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.parent import nitro
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.nitro import DEBUG_WARNING, NitroEnclave
from enclaver_runtime.transport import vsock
from tests.unit.enclaver_runtime.parent.nitro_stand_in import StandIn

# Every one of these starts a few Pythons.
pytestmark = pytest.mark.slow


class Launch:
    """What a test launches, and what it is told."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.said: list[str] = []
        self.console = bytearray()

    async def _console(self, data: bytes) -> None:
        self.console += data

    def __call__(self, *, debug: bool = False) -> AbstractAsyncContextManager[NitroEnclave]:
        return nitro.launch(
            Path("/x.eif"),
            memory_mb=512,
            cpus=2,
            debug=debug,
            tell=self.said.append,
            console=self._console,
            program=self.stand_in.program,
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own shows what is left behind."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def launch(tmp_path: Path, folder: Path) -> Launch:
    return Launch(StandIn(tmp_path))


@trio_test
async def test_an_enclave_is_made_reached_and_ended(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[tuple[int, int]] = []

    async def connect(cid: int, port: int) -> trio.SocketStream:
        reached.append((cid, port))
        if port == 1:
            await trio.sleep_forever()
        ours, theirs = trio.socket.socketpair()
        theirs.close()
        return trio.SocketStream(ours)

    monkeypatch.setattr(vsock, "connect", connect)
    async with launch() as enclave:
        # It listens, and connects, from before the enclave is made.
        async with await enclave.connect(17000, 5):
            assert reached == [(10, 17000)]
        await enclave.wait_booting()
        with pytest.raises(TimeoutError, match="port 1 "):
            await enclave.connect(1, 0.01)
        assert enclave.half_closes
        assert not enclave.has_ended
        (made,) = launch.stand_in.enclaves
        assert made["Flags"] == "NONE"
    assert launch.stand_in.enclaves == []
    assert launch.said == [f"enclave {made['EnclaveID']}: CID 10, 512 MiB, 2 processors"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES])
@trio_test
async def test_a_container_that_may_not_use_vsock_is_told_before_an_enclave_is_made(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def forbidden() -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(vsock, "check", forbidden)
    with pytest.raises(ParentError, match="may not use vsock: .*--security-opt seccomp=unconfined"):
        async with launch():
            pass
    assert launch.stand_in.calls == []


@trio_test
async def test_a_machine_without_vsock_is_left_to_nitro_cli(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(vsock, "check", missing)
    async with launch() as enclave:
        await enclave.wait_booting()
    assert launch.stand_in.calls[0] == ["describe-enclaves"]


@trio_test
async def test_a_debug_enclave_has_a_console_and_is_warned_of(launch: Launch) -> None:
    async with launch(debug=True) as enclave:
        while b"Linux version" not in launch.console:
            await trio.sleep(0.01)
        assert enclave.console_tail()[-1] == "[    0.000000] Linux version 6.12"
        assert launch.stand_in.enclaves[0]["Flags"] == "DEBUG_MODE"
    assert launch.said[0] == DEBUG_WARNING


@trio_test
async def test_an_enclave_that_ends_by_itself_is_noticed(launch: Launch) -> None:
    async with launch() as enclave:
        await enclave.wait_booting()
        launch.stand_in.crash()
        assert "given back" in await enclave.wait_ended()
    assert "terminate-enclave" not in [call[0] for call in launch.stand_in.calls]


@trio_test
async def test_an_enclave_that_was_gone_before_one_looked(launch: Launch) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    await nitro._wait_process(ended.pid)


@trio_test
async def test_a_failure_to_make_it_ends_the_run(tmp_path: Path, folder: Path) -> None:
    launch = Launch(StandIn(tmp_path, run_enclave=[("E36", "Enclave boot failure.")]))
    with pytest.raises(ParentError, match=r"E36: Enclave boot failure\. \(with --debug-mode"):
        async with launch() as enclave:
            await enclave.wait_ended()
    # Nobody had to be told what could not be ended: there was nothing.
    assert launch.said == []


@trio_test
async def test_a_cancelled_launch_is_waited_for_and_ended(launch: Launch) -> None:
    with trio.CancelScope() as scope:
        async with launch() as enclave:
            scope.cancel()
            await enclave.wait_booting()
    calls = [call[0] for call in launch.stand_in.calls]
    made = ["describe-enclaves", "run-enclave", "terminate-enclave"]
    assert calls in (made, ["terminate-enclave", "describe-enclaves"])
    assert launch.stand_in.enclaves == []


@trio_test
async def test_an_enclave_that_stays_is_told_and_how_to_end_it(tmp_path: Path, folder: Path) -> None:
    launch = Launch(StandIn(tmp_path, terminate_enclave=[("E39", "Enclave process connection failure.")]))
    async with launch() as enclave:
        await enclave.wait_booting()
    assert "terminate-enclave --enclave-name enclaver-" in launch.said[-1]
    launch.stand_in.crash()


@trio_test
async def test_nobody_waits_for_ever_to_end_one(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nitro, "_TERMINATE_SECONDS", 0.0)
    async with launch() as enclave:
        await enclave.wait_booting()
    assert "has not ended the enclave" in launch.said[-1]
    launch.stand_in.crash()


def test_a_port_that_is_taken_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def listen(port: int) -> Any:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(vsock, "listen", listen)
    with pytest.raises(ParentError, match=r"vsock port 17002 .*already in use \(two enclaves"):
        NitroEnclave.listen(object.__new__(NitroEnclave), 17002)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_runner_leaves_no_enclave(tmp_path: Path, number: signal.Signals) -> None:
    stand_in = StandIn(tmp_path)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    code = textwrap.dedent(f"""
        import trio
        from pathlib import Path
        from enclaver_runtime.parent import nitro

        async def main():
            program = Path({str(stand_in.program)!r})
            async with nitro.launch(
                Path("/x.eif"), memory_mb=512, cpus=2, debug=True, tell=lambda _: None, program=program
            ) as enclave:
                await enclave.wait_booting()
                print("runs", flush=True)
                await trio.sleep_forever()

        trio.run(main)
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"runs\n"
        assert len(stand_in.enclaves) == 1
        process.send_signal(number)
    deadline = time.monotonic() + 30
    while stand_in.enclaves or os.listdir(temporary):
        assert time.monotonic() < deadline
        time.sleep(0.02)
