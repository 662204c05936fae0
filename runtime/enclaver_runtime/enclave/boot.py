"""The enclave's life: prepared, served, the app run, its end told, power off.

    reporting nursery   reaper, status and log servers, heartbeat, signals: to the very end
      └ services nursery   relays and the like, up before the app starts; one that fails ends the app
          └ app            its end ends the services

Whatever goes wrong once the status is served becomes a Fatal status that the parent can read. Only what
breaks before that, or the reporting itself, leaves this module as an exception; ``init`` then has the last
word.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass

import trio

from enclaver_runtime import config as configuration
from enclaver_runtime.config import ConfigError
from enclaver_runtime.enclave import app, heartbeat
from enclaver_runtime.enclave.console import Console
from enclaver_runtime.enclave.filesystems import RootError
from enclaver_runtime.enclave.launch import LaunchError
from enclaver_runtime.enclave.log_server import LogServer
from enclaver_runtime.enclave.proxy_environment import with_proxy
from enclaver_runtime.enclave.reaper import Reaper
from enclaver_runtime.enclave.services import Provider, select
from enclaver_runtime.enclave.status_server import StatusServer
from enclaver_runtime.enclave.stop import Stop
from enclaver_runtime.protocol import log, status
from enclaver_runtime.protocol.status import Exited, Fatal, Signaled, Status

#: After the app's end: for the log's readers to get the rest of it.
DRAIN_SECONDS = 3.0

#: After the last status: for a parent to connect, read it and hang up. Power goes off when it has, or then.
ACKNOWLEDGE_SECONDS = 5.0

_OUT_OF_MEMORY = "the enclave has no memory left, so the kernel has killed the app"

#: Failures that are the image's fault and say all there is to say: no traceback.
_PLAIN = (ConfigError, RootError, LaunchError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the boot needs of the machine it is on; machine.py has the real one.

    Args:
        listen: gives a listener for a vsock port of the enclave.
        connect: connects to a vsock CID and port, for the heartbeat; None where somebody else has sent it.
        prepare: sets the machine up for the app: mounts, network, randomness; says on the console what it did.
        read_config: gives the bytes of runtime.json.
        root: the app's root folder.
        providers: gives, for what writes a line into the app's log, what makes the services that run beside the app,
            by section of runtime.json.
        out_of_memory: gives the processes that the kernel has killed for want of memory.
        grace: seconds between the request to end and SIGKILL.
    """

    listen: Callable[[int], trio.abc.Listener[trio.abc.Stream]]
    connect: Callable[[int, int], Awaitable[trio.abc.Stream]] | None
    prepare: Callable[[Console], None]
    read_config: Callable[[], bytes]
    root: str
    providers: Callable[[Callable[[str], None]], Mapping[str, Provider]] = lambda _: {}
    out_of_memory: Callable[[], Set[int]] = frozenset
    grace: float = app.GRACE_SECONDS


async def run(machine: Machine, console: Console) -> Status:
    """Live the enclave's life on ``machine``; returns the last status when it is time to power off.

    SIGTERM and SIGINT end the app, and so the enclave; so does a reader of the status that asks for it.

    Raises:
        OSError: status or log cannot be served, for want of vsock.
        ExceptionGroup: that, or the reporting broke down.
    """
    stop, logs = Stop(), LogServer()

    def asked(number: int) -> None:
        if stop.ask(number):
            console.say(f"the parent asks the app to end ({signal.Signals(number).name})")

    statuses = StatusServer(stop=asked)
    pipe, output = os.pipe()
    async with trio.open_nursery() as reporting:
        reporting.start_soon(logs.collect, trio.lowlevel.FdStream(pipe))
        # The log ends with its last writer: here, unless a process of the app cannot be killed.
        with open(output, "wb", buffering=0):
            await reporting.start(statuses.serve, machine.listen(status.PORT))
            await reporting.start(logs.serve, machine.listen(log.PORT))
            if machine.connect is not None:
                reporting.start_soon(_heartbeat, machine.connect, console)
            last = await _live(machine, console, logs, output, stop, reporting)
        with trio.move_on_after(DRAIN_SECONDS):
            await logs.drained()
        statuses.publish(last)
        console.say(describe(last))
        with trio.move_on_after(ACKNOWLEDGE_SECONDS) as patience:
            await statuses.acknowledged()
        if patience.cancelled_caught:
            console.say("nobody has read the status to its end")
        reporting.cancel_scope.cancel()
    return last


async def _live(
    machine: Machine, console: Console, logs: LogServer, output: int, stop: Stop, reporting: trio.Nursery
) -> Status:
    """From the preparation to the app's end; every failure on the way is a status."""
    reaper, pids = Reaper(), list[int]()

    def started(pid: int) -> None:
        pids.append(pid)
        console.say(f"app started, pid {pid}")

    def log(line: str) -> None:
        console.say(line)
        logs.note(line)

    try:
        await reporting.start(reaper.run)
        await reporting.start(_stop_on_signals, stop, console)
        machine.prepare(console)
        config = configuration.parse(machine.read_config())
        beside, missing = select(config, machine.providers(log))
        for name in missing:
            console.say(f"{name}: this runtime has no service for it")
        async with trio.open_nursery() as services:
            for service in beside:
                await services.start(service)
            last = await app.run(
                with_proxy(config),
                root=machine.root,
                output=output,
                reaper=reaper,
                stop=stop,
                grace=machine.grace,
                started=started,
            )
            services.cancel_scope.cancel()
        if last == Signaled(signal.SIGKILL) and not machine.out_of_memory().isdisjoint(pids):
            console.say(_OUT_OF_MEMORY)
            logs.conclude(_OUT_OF_MEMORY)
        return last
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is to know.
        cause = _unwrap(error)
        if isinstance(cause, _PLAIN):
            return Fatal(str(cause))
        console.say("".join(traceback.format_exception(error)))
        return Fatal(f"the runtime failed: {type(cause).__name__}: {cause}")


async def _heartbeat(connect: heartbeat.Connect, console: Console) -> None:
    console.say(await heartbeat.send(connect))


async def _stop_on_signals(
    stop: Stop, console: Console, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as arrivals:
        task_status.started()
        async for number in arrivals:
            console.say(f"{signal.Signals(number).name}: the app is asked to end")
            stop.ask(number)


def _unwrap(error: Exception) -> Exception:
    """The one exception in groups of one; nurseries wrap what leaves them."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def describe(last: Status) -> str:
    """The last status as a line for the console."""
    match last:
        case Exited(code):
            return f"app exited with code {code}"
        case Signaled(number):
            return f"app ended by signal {number}"
        case Fatal(error):
            return f"fatal: {error}"
        case _:
            return "app running"
