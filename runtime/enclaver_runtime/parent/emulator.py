"""An enclave without Nitro: QEMU runs the image, vhost-device-vsock carries its vsock.

It shows that an image boots, what it measures and how its app behaves. It protects nothing: the enclave's
memory is plain memory of this machine's processes, and its attestation documents are signed by nobody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from enclaver_runtime.parent import heartbeat, machine, processes
from enclaver_runtime.parent.console import Console
from enclaver_runtime.parent.errors import ParentError, plain_errors
from enclaver_runtime.parent.machine import EnclaveImage, Machine, Qemu
from enclaver_runtime.parent.scratch import scratch_folder
from enclaver_runtime.parent.sink import Sink
from enclaver_runtime.protocol.heartbeat import PORT as HEARTBEAT_PORT
from enclaver_runtime.transport import vsock

WARNING = (
    "THIS ENCLAVE IS EMULATED AND PROTECTS NOTHING: whoever controls this machine reads its memory, "
    "and its attestation is not signed by AWS."
)

# The longest path of a unix socket's address, without its final NUL (sun_path in unix(7)).
_MAX_SOCKET_PATH = 107
# How long vhost-device-vsock may take to make its sockets, and how often they are looked for.
_DEVICE_START = 10.0
_LOOK = 0.005
# vhost-device-vsock 0.3 stops for good when it is asked for a connection while the guest's driver sets up its
# queues (3 of 75 boots on a busy machine). So nobody connects before the guest is known to be past that: it sent
# its heartbeat, or its kernel said that it starts init; or, for a kernel that is silent, after so many seconds.
_SILENT_BOOT = 20.0
# A panicked kernel prints where it was, then waits for its reboot (panic=30), which nobody needs to see.
_AFTER_PANIC = 1.0


class EmulatedEnclave:
    """A booting or running enclave; made by :func:`emulate`."""

    def __init__(self, uds: Path, console: Console, device_output: Console) -> None:
        self._uds = uds
        self._console = console
        self._device_output = device_output
        self._ended = trio.Event()
        self._how = ""
        self._up = trio.Event()

    async def connect(self, port: int, timeout: float) -> trio.SocketStream:
        """One attempt to connect to the guest's ``port``; raises OSError. The caller closes the stream.

        ``timeout`` counts from when the guest is known to have its vsock, which is waited for without a limit.
        """
        await self._up.wait()
        # A port that nobody listens on is never answered, so only the time limit ends such an attempt.
        with trio.move_on_after(timeout):
            return await vsock.connect_hybrid(str(self._uds), port)
        raise TimeoutError(f"no answer from the enclave's port {port} within {timeout:g} s")

    def listen(self, port: int) -> trio.SocketListener:
        """Listen for the guest's connections to the parent's ``port``; the caller closes the listener."""
        return vsock.listen_hybrid(str(self._uds), port)

    @property
    def half_closes(self) -> bool:
        """False: vhost-device-vsock takes the end of our output for the end of the connection."""
        return False

    async def wait_booting(self) -> None:
        """Return at once: QEMU boots it from the start."""
        await trio.lowlevel.checkpoint()

    @property
    def has_ended(self) -> bool:
        """Whether :meth:`wait_ended` would return at once."""
        return self._ended.is_set()

    async def wait_ended(self) -> str:
        """Wait until QEMU or its vsock device has ended, or the kernel panicked; which, for people."""
        await self._ended.wait()
        return self._how

    def console_tail(self) -> tuple[str, ...]:
        """The last lines of the guest's console and QEMU's own messages, then of the vsock device's."""
        device = (f"vhost-device-vsock: {line}" for line in self._device_output.tail())
        return (*self._console.tail(), *device)

    def note_up(self) -> None:
        """The guest has its vsock: connections to it may be tried."""
        self._up.set()

    def note_end(self, how: str) -> None:
        """The first end is the one that is told: one process's end brings the other's about."""
        if not self._ended.is_set():
            self._how = how
            self._ended.set()


@asynccontextmanager
async def emulate(
    image: EnclaveImage,
    *,
    qemu: Qemu,
    vhost_device_vsock: Path,
    memory_mb: int,
    cpus: int,
    console: Sink | None = None,
    on_line: Callable[[bytes], object] = lambda _: None,
) -> AsyncIterator[EmulatedEnclave]:
    """Boot ``image``; on leaving, its processes, sockets and files are gone, whatever happened inside.

    Args:
        qemu: from :func:`enclaver_runtime.parent.machine.inspect`; says which machine is used.
        memory_mb: the guest's memory in MiB.
        cpus: how many processors the guest sees.
        console: gets the guest's console as it is written; its last lines are kept in any case.
        on_line: called with each whole line of it.

    Raises:
        ParentError: a program cannot be started, or the vsock device does not come up.
        OSError: no sockets or files can be made.
    """
    with plain_errors(), scratch_folder() as folder:
        uds, vhost_socket = folder / "vm.vsock", folder / "vhost.sock"
        _check_path(uds)
        if qemu.machine is Machine.NITRO_ENCLAVE:
            boot = machine.nitro_command(
                qemu, eif=image.eif.absolute(), vhost_socket=vhost_socket, memory_mb=memory_mb, cpus=cpus
            )
        else:
            parts = await trio.to_thread.run_sync(image.extract, folder)
            boot = machine.microvm_command(qemu, parts=parts, vhost_socket=vhost_socket, memory_mb=memory_mb, cpus=cpus)
        output, device_output = Console(echo=console, on_line=on_line), Console()
        enclave = EmulatedEnclave(uds, output, device_output)
        async with trio.open_nursery() as nursery:
            await nursery.start(_serve_heartbeat, enclave)
            device = [*machine.vhost_command(vhost_device_vsock, uds=uds, vhost_socket=vhost_socket)]
            with _running(nursery, device, folder, device_output, enclave, "vhost-device-vsock"):
                await _wait_for_sockets(enclave, (uds, vhost_socket), device_output)
                with _running(nursery, boot, folder, output, enclave, "QEMU"):
                    nursery.start_soon(_watch_panic, enclave, output)
                    nursery.start_soon(_watch_boot, enclave, output)
                    yield enclave
                    nursery.cancel_scope.cancel()


@asynccontextmanager
async def boot(
    image: EnclaveImage,
    *,
    memory_mb: int,
    cpus: int,
    tell: Callable[[str], None],
    console: Sink | None = None,
    on_line: Callable[[bytes], object] = lambda _: None,
    qemu: Path | None = None,
    vhost_device_vsock: Path | None = None,
    machine_type: Machine | None = None,
) -> AsyncIterator[EmulatedEnclave]:
    """Find the programs, say what an emulated enclave is worth, and :func:`emulate` one.

    Args:
        tell: called with sentences for the user: the warning, the machine used.
        qemu, vhost_device_vsock: programs to use instead of those found (tool folder, then PATH).
        machine_type: QEMU's machine to use instead of the best it has.

    Raises:
        ParentError: a program is missing, cannot be started or lacks the machine.
        OSError: no sockets or files can be made.
    """
    program = machine.find_qemu(qemu)
    vhost_program = machine.find_vhost_device_vsock(vhost_device_vsock)
    found = await machine.inspect(program, machine=machine_type)
    tell(WARNING)
    tell(f"emulated by {found}, {memory_mb} MiB, {cpus} processors")
    async with emulate(
        image,
        qemu=found,
        vhost_device_vsock=vhost_program,
        memory_mb=memory_mb,
        cpus=cpus,
        console=console,
        on_line=on_line,
    ) as enclave:
        yield enclave


async def _serve_heartbeat(
    enclave: EmulatedEnclave, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    async def handler(stream: trio.SocketStream) -> None:
        enclave.note_up()
        await heartbeat.answer(stream)

    listener = enclave.listen(HEARTBEAT_PORT)
    task_status.started()
    await trio.serve_listeners(handler, [listener])


@contextmanager
def _running(
    nursery: trio.Nursery,
    command: list[str | Path],
    cwd: Path,
    output: Console,
    enclave: EmulatedEnclave,
    name: str,
) -> Iterator[None]:
    child = processes.start(command, cwd=cwd)

    async def watch() -> None:
        enclave.note_end(f"{name}: {await child.wait()}")

    nursery.start_soon(output.read, child.output)
    nursery.start_soon(watch)
    try:
        yield
    finally:
        child.end()


async def _wait_for_sockets(enclave: EmulatedEnclave, sockets: tuple[Path, ...], output: Console) -> None:
    ended = False
    with trio.move_on_after(_DEVICE_START):
        while not all(path.is_socket() for path in sockets):
            ended = enclave.has_ended
            if ended:
                break
            await trio.sleep(_LOOK)
        else:
            # A socket appears a moment before it is listened on.
            await trio.sleep(_LOOK)
            return
    # Its last words may still be on their way.
    await trio.sleep(_LOOK * 20)
    said = "ended at once" if ended else f"made no sockets within {_DEVICE_START:g} s"
    raise ParentError(f"vhost-device-vsock {said}", console=output.tail())


async def _watch_panic(enclave: EmulatedEnclave, output: Console) -> None:
    await output.panicked.wait()
    await trio.sleep(_AFTER_PANIC)
    enclave.note_end("the kernel panicked")


async def _watch_boot(enclave: EmulatedEnclave, output: Console) -> None:
    with trio.move_on_after(_SILENT_BOOT):
        await output.init_started.wait()
    enclave.note_up()


def _check_path(uds: Path) -> None:
    if "," in str(uds):
        raise ParentError(
            f"the temporary folder's path has a comma, which QEMU and vhost-device-vsock take for an end: {uds.parent}",
            cure="set TMPDIR to another path, such as /tmp",
        )
    if len(bytes(uds)) + len("_65535") > _MAX_SOCKET_PATH:
        raise ParentError(
            f"the temporary folder's path is too long for a unix socket: {uds.parent}",
            cure="set TMPDIR to a shorter path, such as /tmp",
        )
