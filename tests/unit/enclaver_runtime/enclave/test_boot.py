from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from enclaver_runtime.config import Config, ConfigError
from enclaver_runtime.enclave import boot
from enclaver_runtime.enclave.boot import Machine
from enclaver_runtime.enclave.console import Console
from enclaver_runtime.enclave.filesystems import RootError
from enclaver_runtime.enclave.processes import descendants
from enclaver_runtime.enclave.services import Provider, Service
from enclaver_runtime.protocol import log, status, stop
from enclaver_runtime.protocol.status import Exited, Fatal, Running, Signaled, Status, StatusDecoder, is_final
from enclaver_runtime.transport import vsock
from tests.unit.enclaver_runtime.isolation import in_child, needs_root

pytestmark = needs_root


@dataclass
class Life:
    """What was seen of an enclave's life."""

    last: Status
    statuses: list[Status] = field(default_factory=list)
    log: bytes = b""
    console: str = ""
    seconds: float = 0.0
    left: set[int] = field(default_factory=set)


def runtime_json(script: str, *, stop_signal: int | None = None, **sections: object) -> bytes:
    env = {"PATH": "/bin:/usr/bin"}
    runs = {"cwd": "/", "uid": 0, "gid": 0, "stop_signal": stop_signal}
    app = {"argv": ["/bin/sh", "-c", script], "env": env} | runs
    nothing: dict[str, object] = {"egress": None, "ingress": [], "kms_proxy": None, "api": None}
    return json.dumps({"version": 2, "app": app} | nothing | sections).encode()


def nothing_to_prepare(console: Console) -> None:
    console.say("prepared")


def live(
    script: str,
    *,
    config: bytes | None = None,
    prepare: Callable[[Console], None] = nothing_to_prepare,
    providers: Callable[[Callable[[str], None]], Mapping[str, Provider]] | None = None,
    read: bool = True,
    meanwhile: Callable[[], Awaitable[object]] | None = None,
    request: bytes = b"",
    log_delay: float = 0.0,
    heartbeat: bool = True,
    out_of_memory: Callable[[], Set[int]] = frozenset,
) -> Life:
    """Boot a machine whose vsock is unix sockets, with a parent that reads status and log to their ends.

    The parent sends ``request`` to the status port when the log has begun, which it reads ``log_delay`` seconds later
    than the status.
    """
    document = runtime_json(script) if config is None else config

    async def connect(cid: int, port: int) -> trio.abc.Stream:
        raise ConnectionResetError(f"no port {port}")

    async def read_status(path: str, life: Life) -> None:
        decoder = StatusDecoder()
        async with await trio.open_unix_socket(f"{path}_{status.PORT}") as stream:
            if request:
                while not life.log:
                    await trio.sleep(0.01)
                await stream.send_all(request)
            while not life.statuses or not is_final(life.statuses[-1]):
                life.statuses += decoder.receive_data(bytes(await stream.receive_some()))

    async def read_log(path: str, life: Life) -> None:
        await trio.sleep(log_delay)
        async with await trio.open_unix_socket(f"{path}_{log.PORT}") as stream:
            async for data in stream:
                life.log += data

    async def main(folder: str, fd: int) -> Life:
        path = f"{folder}/vm"
        machine = Machine(
            listen=lambda port: vsock.listen_hybrid(path, port),
            connect=connect if heartbeat else None,
            prepare=prepare,
            read_config=lambda: document,
            root="/",
            providers=providers or (lambda _: {}),
            out_of_memory=out_of_memory,
            grace=1.0,
        )
        life = Life(Running())
        start = time.monotonic()
        async with trio.open_nursery() as nursery:

            async def enclave() -> None:
                life.last = await boot.run(machine, Console(fd))
                life.seconds = time.monotonic() - start

            nursery.start_soon(enclave)
            while not os.path.exists(f"{path}_{log.PORT}"):
                await trio.sleep(0.001)
            if read:
                nursery.start_soon(read_log, path, life)
                nursery.start_soon(read_status, path, life)
            if meanwhile is not None:
                nursery.start_soon(meanwhile)
        life.left = descendants()
        return life

    def scenario() -> Life:
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as console:
            life = trio.run(main, folder, console.fileno())
            console.seek(0)
            life.console = console.read().decode()
            return life

    return in_child(scenario)


def test_a_whole_life() -> None:
    life = live("echo hello; echo oops >&2; exit 42")
    assert life.last == Exited(42)
    assert life.statuses == [Running(), Exited(42)]
    assert life.log == b"hello\noops\n"
    assert life.left == set()
    # The parent has hung up, so nothing is waited for.
    assert life.seconds < 3
    words = [line.split("] ", 1)[1] for line in life.console.splitlines()]
    assert "prepared" in words
    assert "app exited with code 42" in words
    assert any(word.startswith("app started, pid ") for word in words)
    assert any(word.startswith("heartbeat not answered") for word in words)


def test_a_heartbeat_that_somebody_else_has_sent_is_not_sent_again() -> None:
    life = live("exit 4", heartbeat=False)
    assert (life.last, "heartbeat" in life.console) == (Exited(4), False)


def test_an_end_by_a_signal() -> None:
    life = live("kill -9 $$")
    assert life.statuses[-1] == life.last == Signaled(9)
    assert "app ended by signal 9" in life.console


def test_the_log_is_complete_before_the_end_is_told() -> None:
    life = live("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done")
    assert life.log.splitlines()[-1] == b"line 1999"


def test_a_log_that_is_read_a_moment_later_than_the_status_is_not_lost() -> None:
    life = live("echo last words", log_delay=0.3)
    assert (life.last, life.log) == (Exited(0), b"last words\n")


def test_a_runtime_json_that_is_refused() -> None:
    life = live("", config=b"{}")
    assert life.statuses[-1] == life.last
    assert isinstance(life.last, Fatal)
    assert "is missing" in life.last.error
    assert "Traceback" not in life.console


def test_an_app_that_cannot_be_started() -> None:
    document = json.loads(runtime_json(""))
    document["app"]["argv"] = ["/no/such/program"]
    life = live("", config=json.dumps(document).encode())
    text = "cannot start the app: /no/such/program: No such file or directory"
    assert life.last == life.statuses[-1] == Fatal(text)
    assert f"fatal: {text}" in life.console


@pytest.mark.parametrize(
    ("error", "text", "traced"),
    [
        (RootError("/rootfs is missing"), "/rootfs is missing", False),
        (ConfigError("/etc cannot be read"), "/etc cannot be read", False),
        (OSError(1, "No", "/proc"), "the runtime failed: PermissionError: [Errno 1] No: '/proc'", True),
    ],
)
def test_a_preparation_that_fails(error: Exception, text: str, traced: bool) -> None:
    def prepare(console: Console) -> None:
        raise error

    life = live("exit 0", prepare=prepare)
    assert life.last == life.statuses[-1] == Fatal(text)
    assert ("Traceback" in life.console) == traced


#: A section of runtime.json that asks for a service.
EGRESS = {"proxy_port": 10000, "allow": ["example.com"], "deny": []}


def beside(service: Service, script: str) -> dict[str, Any]:
    """Arguments of live() for an enclave whose app is ``script`` and that has ``service`` beside it."""

    def provider(config: Config) -> Service:
        assert config.egress is not None
        return service

    return {"providers": lambda _: {"egress": provider}, "config": runtime_json(script, egress=EGRESS)}


def test_what_a_service_writes_into_the_log_is_on_the_console_too() -> None:
    def providers(log: Callable[[str], None]) -> Mapping[str, Provider]:
        async def service(*, task_status: trio.TaskStatus[None]) -> None:
            log("egress: blocked")
            task_status.started()

        return {"egress": lambda _: service}

    life = live("", providers=providers, config=runtime_json("echo the app", egress=EGRESS))
    assert (life.last, life.log) == (Exited(0), b"enclaver: egress: blocked\nthe app\n")
    assert "egress: blocked" in life.console


def test_a_service_is_there_before_the_app_and_gone_after_it() -> None:
    async def service(*, task_status: trio.TaskStatus[None]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(folder, link)
            task_status.started()
            await trio.sleep_forever()

    with tempfile.TemporaryDirectory() as folder:
        link = f"{folder}/service"
        life = live("", **beside(service, f"[ -d {link} ] && exit 5"))
        assert life.last == Exited(5)
        assert os.path.islink(link)
        assert not os.path.exists(link)
    assert "no service" not in life.console


def test_a_service_that_fails_ends_the_app_and_is_fatal() -> None:
    async def service(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(0.05)
        raise RuntimeError("the relay broke")

    life = live("", **beside(service, "exec sleep 60"))
    assert life.last == life.statuses[-1] == Fatal("the runtime failed: RuntimeError: the relay broke")
    assert "Traceback" in life.console
    assert life.left == set()
    assert life.seconds < 10


def test_a_service_that_does_not_start_is_fatal() -> None:
    async def service(*, task_status: trio.TaskStatus[None]) -> None:
        raise OSError(98, "Address already in use")

    life = live("", **beside(service, "exit 0"))
    assert life.last == Fatal("the runtime failed: OSError: [Errno 98] Address already in use")
    assert "app started" not in life.console


def test_a_section_that_nobody_serves_is_said() -> None:
    life = live("", config=runtime_json("exit 0", ingress=[{"listen_port": 8000, "tls": None}]))
    assert life.last == Exited(0)
    assert "ingress: this runtime has no service for it" in life.console


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_the_app_to_end(number: signal.Signals) -> None:
    async def later() -> None:
        await trio.sleep(0.3)
        os.kill(os.getpid(), number)

    life = live(f"trap 'echo bye; exit 7' {number.name.removeprefix('SIG')}; sleep 60 & wait", meanwhile=later)
    assert (life.last, life.log) == (Exited(7), b"bye\n")
    assert f"{number.name}: the app is asked to end" in life.console


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_parent_that_asks_ends_the_app(number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo bye; exit 7' {name}; echo hello; sleep 60 & wait"
    life = live(script, request=b"garbage\n" + stop.format_request(number) * 2)
    assert (life.last, life.log) == (Exited(7), b"hello\nbye\n")
    assert life.console.count(f"the parent asks the app to end ({number.name})") == 1


def test_a_parent_that_asks_an_app_that_has_a_signal_of_its_own() -> None:
    script = "trap 'echo bye; exit 7' QUIT; echo hello; sleep 60 & wait"
    config = runtime_json(script, stop_signal=signal.SIGQUIT)
    life = live("", config=config, request=stop.format_request(signal.SIGTERM))
    assert (life.last, life.log) == (Exited(7), b"hello\nbye\n")


def test_an_app_that_took_all_memory_is_told_in_its_log() -> None:
    def killed() -> set[int]:
        return everybody

    everybody = set(range(1, 1 << 22))
    life = live("printf half; kill -9 $$", out_of_memory=killed)
    text = "the enclave has no memory left, so the kernel has killed the app"
    assert (life.last, life.log) == (Signaled(9), f"half\nenclaver: {text}\n".encode())
    assert text in life.console
    everybody = {1}
    assert live("kill -9 $$", out_of_memory=killed).log == b""
    everybody = set(range(1, 1 << 22))
    assert live("exit 9", out_of_memory=killed).log == b""


@pytest.mark.parametrize("script", ["exit 3", "echo nobody reads this; exit 3"])
def test_without_a_parent_it_ends_all_the_same(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(boot, "ACKNOWLEDGE_SECONDS", 0.1)
    monkeypatch.setattr(boot, "DRAIN_SECONDS", 0.1)
    life = live(script, read=False)
    assert life.last == Exited(3)
    assert "nobody has read the status to its end" in life.console


def test_without_vsock_there_is_nobody_to_tell() -> None:
    def no_vsock(port: int) -> trio.SocketListener:
        raise OSError(97, "Address family not supported by protocol")

    async def connect(cid: int, port: int) -> trio.abc.Stream:
        raise OSError

    machine = Machine(listen=no_vsock, connect=connect, prepare=nothing_to_prepare, read_config=lambda: b"", root="/")
    with pytest.raises(BaseExceptionGroup) as caught:
        trio.run(boot.run, machine, Console())
    assert caught.group_contains(OSError, match="Address family")


def test_every_status_has_a_line() -> None:
    lines = [boot.describe(one) for one in (Running(), Exited(1), Signaled(2), Fatal("x"))]
    assert lines == ["app running", "app exited with code 1", "app ended by signal 2", "fatal: x"]
