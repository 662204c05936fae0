"""Development attestation beside an emulated enclave: the module that signs, served on vsock port 17003."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Mapping

import trio
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from enclaver_runtime.parent.development_nsm import DevelopmentNsm
from enclaver_runtime.parent.development_pki import DevelopmentPki
from enclaver_runtime.parent.services import Enclave, ParentService
from enclaver_runtime.protocol import development_nsm, frames
from enclaver_runtime.transport import server

#: What the kernel's command line has to hold for the enclave to ask.
COMMAND_LINE_WORD = development_nsm.COMMAND_LINE_WORD

#: For a request to have come, and for its response to be taken.
EXCHANGE_SECONDS = 10.0

# As much as the real module's driver takes.
_MAX_REQUEST = 0x1000

# The enclave asks one thing at a time, and each connection is for one.
_MAX_CONNECTIONS = 16


class DevelopmentAttestation:
    """A root of its own and a module that signs with it, for one run of one image.

    Args:
        registers: the image's measurement, by register number.
    """

    def __init__(self, registers: Mapping[int, bytes]) -> None:
        # The form of real ones, i-<instance>-enc<enclave>, and no mistaking it for one.
        module_id = f"i-development-enc{secrets.token_hex(8)}"
        pki = DevelopmentPki(module_id=module_id, now=_now())
        #: The root in PEM, for who is to trust it.
        self.root_pem = pki.root.public_bytes(Encoding.PEM)
        #: The SHA-256 of its DER, as people compare it.
        self.root_fingerprint = pki.root.fingerprint(SHA256()).hex(":").upper()
        self._nsm = DevelopmentNsm(registers, pki=pki, module_id=module_id, clock=_now, random=secrets.token_bytes)

    def service(self, tell: Callable[[str], None]) -> ParentService:
        """What serves it; ``tell`` gets a line for each connection that is dropped."""

        async def serve(enclave: Enclave, *, task_status: trio.TaskStatus[None]) -> None:
            await serve_nsm(
                listener=enclave.listen(development_nsm.PORT),
                respond=self._nsm.respond,
                tell=tell,
                task_status=task_status,
            )

        return serve


async def serve_nsm(
    *,
    listener: trio.SocketListener,
    respond: Callable[[bytes], bytes],
    tell: Callable[[str], None],
    timeout: float = EXCHANGE_SECONDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer the enclave's requests until cancelled; started when it can connect.

    Closes ``listener`` and every stream. Failures of the enclave end one connection only.

    Args:
        respond: gives the response to a request.
        tell: gets a line for what is no request, or comes too late.
        timeout: seconds for a request to have come, and for its response to be taken.
    """

    async def answer(stream: trio.SocketStream) -> None:
        try:
            with trio.fail_after(timeout):
                request = await _read(stream)
                await stream.send_all(development_nsm.frame(respond(request)))
        except frames.FrameError as error:
            tell(f"development attestation: a connection was dropped: {error}")
        except trio.TooSlowError:
            tell(f"development attestation: a connection was dropped: not over within {timeout:g} s")

    await server.serve(answer, [listener], max_connections=_MAX_CONNECTIONS, task_status=task_status)


async def _read(stream: trio.SocketStream) -> bytes:
    reader = development_nsm.frame_reader(_MAX_REQUEST)
    while (request := reader.receive_data(bytes(await stream.receive_some(reader.wanted)))) is None:
        pass
    return request


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)
