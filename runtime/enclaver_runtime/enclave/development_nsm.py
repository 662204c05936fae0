"""The security module that an emulator's parent plays: for development, where there is none that signs."""

from __future__ import annotations

import errno

import trio

from enclaver_runtime.enclave.parent_link import ParentLink
from enclaver_runtime.enclave.security_module import Module, NsmUnavailableError, SecurityModule
from enclaver_runtime.protocol import development_nsm, frames

#: For the parent to answer; it signs in a few milliseconds.
ANSWER_SECONDS = 20.0

#: What the console says of it.
NOTICE = "DEVELOPMENT attestation: the parent signs this enclave's documents, which prove nothing"

# As much as the real module's driver gives.
_MAX_RESPONSE = 0x3000


def parent_module(link: ParentLink, *, timeout: float = ANSWER_SECONDS) -> SecurityModule:
    """The module behind ``link``, one connection a request."""

    async def exchange(request: bytes) -> bytes:
        stream = await link.open(development_nsm.PORT)
        try:
            with trio.move_on_after(timeout):
                return await _ask(stream, request)
        except trio.BrokenResourceError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the parent hung up") from error
        except frames.FrameError as error:
            raise NsmUnavailableError(f"the parent's development security module does not answer: {error}") from error
        finally:
            await trio.aclose_forcefully(stream)
        raise TimeoutError(errno.ETIMEDOUT, f"the parent gave no answer within {timeout:g} s")

    return Module(exchange)


async def _ask(stream: trio.SocketStream, request: bytes) -> bytes:
    await stream.send_all(development_nsm.frame(request))
    reader = development_nsm.frame_reader(_MAX_RESPONSE)
    while (response := reader.receive_data(bytes(await stream.receive_some(reader.wanted)))) is None:
        pass
    return response
