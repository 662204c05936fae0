"""An enclave on a Nitro instance: made and ended by nitro-cli, reached over the machine's own vsock."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from enclaver_runtime.parent import nitro_cli, processes
from enclaver_runtime.parent.console import Console
from enclaver_runtime.parent.errors import ParentError, plain_errors
from enclaver_runtime.parent.janitor import if_killed
from enclaver_runtime.parent.nitro_cli import Enclave, NitroCli
from enclaver_runtime.parent.scratch import scratch_folder
from enclaver_runtime.parent.sink import Sink
from enclaver_runtime.transport import vsock

#: The driver's device: where it is, this machine can make enclaves.
DEVICE = Path("/dev/nitro_enclaves")

DEBUG_WARNING = (
    "THIS ENCLAVE IS IN DEBUG MODE: its console can be read, and its attestation documents hold zeros "
    "instead of its measurements, so that nothing that checks them accepts it."
)

# nitro-cli's own limit for ending an enclave is less.
_TERMINATE_SECONDS = 60.0


class NitroEnclave:
    """A starting or running enclave; made by :func:`launch`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = trio.Event()
        self._ended = trio.Event()
        self._cid = 0

    async def connect(self, port: int, timeout: float) -> trio.SocketStream:
        """One attempt to connect to the enclave's ``port``; raises OSError. The caller closes the stream.

        ``timeout`` counts from when the enclave has been made, which is waited for without a limit.
        """
        await self._started.wait()
        with trio.move_on_after(timeout):
            return await vsock.connect(self._cid, port)
        raise TimeoutError(f"no answer from the enclave's port {port} within {timeout:g} s")

    def listen(self, port: int) -> trio.SocketListener:
        """Listen for enclaves' connections to the parent's ``port``; the caller closes the listener.

        Raises:
            ParentError: the port is taken.
        """
        try:
            return vsock.listen(port)
        except OSError as error:
            raise ParentError(
                f"the vsock port {port} of this machine cannot be listened on: {error.strerror}",
                cure="two enclaves with egress need two instances",
            ) from error

    @property
    def half_closes(self) -> bool:
        """True: Linux's vsock has half-close."""
        return True

    async def wait_booting(self) -> None:
        """Wait until nitro-cli has given the enclave its memory and has seen it start."""
        await self._started.wait()

    @property
    def has_ended(self) -> bool:
        """Whether :meth:`wait_ended` would return at once."""
        return self._ended.is_set()

    async def wait_ended(self) -> str:
        """Wait until the enclave has ended; how, for people."""
        await self._ended.wait()
        return "the enclave's resources were given back"

    def console_tail(self) -> tuple[str, ...]:
        """The last lines of its console, which only an enclave in debug mode has."""
        return self._console.tail()

    def note_start(self, cid: int) -> None:
        """It has been made, and is ``cid``."""
        self._cid = cid
        self._started.set()

    def note_end(self) -> None:
        """It is gone."""
        self._ended.set()


@asynccontextmanager
async def launch(
    eif: Path,
    *,
    memory_mb: int,
    cpus: int,
    debug: bool,
    tell: Callable[[str], None],
    console: Sink | None = None,
    program: Path | None = None,
) -> AsyncIterator[NitroEnclave]:
    """Make an enclave of the image ``eif``; on leaving it is ended, and so it is if this process is killed.

    It is made while the caller's block runs already, which can thus listen for the enclave before it boots; a failure
    then cancels the block and propagates.

    Args:
        memory_mb: its memory in MiB.
        cpus: its processors.
        debug: whether it is made in debug mode, which gives it a console and takes its measurements.
        tell: called with sentences for the user.
        console: gets the console as it is written, in debug mode.
        program: the nitro-cli to use instead of the one on PATH.

    Raises:
        ParentError: there is no nitro-cli, or it could not make the enclave, or nobody could speak to it.
        OSError: no files or processes can be made.
    """
    with plain_errors(), scratch_folder() as folder:
        cli = NitroCli(nitro_cli.find(program), environment=nitro_cli.logging_environment(folder))
        _check_vsock()
        if debug:
            tell(DEBUG_WARNING)
        name = f"enclaver-{secrets.token_hex(8)}"
        output = Console(echo=console)
        enclave = NitroEnclave(output)

        async def live() -> None:
            made = await cli.run_enclave(eif, name=name, memory_mb=memory_mb, cpus=cpus, debug=debug)
            tell(f"enclave {made.id}: CID {made.cid}, {made.memory_mb} MiB, {made.cpus} processors")
            enclave.note_start(made.cid)
            async with trio.open_nursery() as nursery:
                if debug:
                    nursery.start_soon(_read_console, cli, made, output)
                await _wait_process(made.process)
                enclave.note_end()

        with if_killed(*cli.termination(name)):
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(live)
                    yield enclave
                    nursery.cancel_scope.cancel()
            finally:
                if not enclave.has_ended:
                    await _terminate(cli, name, tell)


def _check_vsock() -> None:
    """Refuse before an enclave is made what would be tried until the time for its boot is over."""
    try:
        vsock.check()
    except PermissionError as error:
        raise ParentError(
            f"this process may not use vsock: {error.strerror}",
            # Moby's pull request 44562.
            cure="docker forbids it since 23.0 by its own profile: docker run --security-opt seccomp=unconfined",
        ) from error
    except OSError:
        # Where there is none, nitro-cli knows more about it.
        return


async def _terminate(cli: NitroCli, name: str, tell: Callable[[str], None]) -> None:
    with trio.move_on_after(_TERMINATE_SECONDS, shield=True) as patience:
        try:
            await cli.terminate(name)
        except ParentError as error:
            tell(str(error))
    if patience.cancelled_caught:
        tell(f"nitro-cli has not ended the enclave {name} within {_TERMINATE_SECONDS:g} s")


async def _read_console(cli: NitroCli, made: Enclave, output: Console) -> None:
    child = processes.start(cli.console_command(made.id), cwd=Path("/"), env=cli.environment)
    try:
        await output.read(child.output)
        await child.wait()
    finally:
        child.end()


async def _wait_process(pid: int) -> None:
    """Wait for the end of the process that holds an enclave's resources: nitro-cli made it, and left it alone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
