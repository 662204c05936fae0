"""The security module as services ask it for attestation documents: the machine's own device, or another exchange.

Modules that only name these types load no CBOR: its decoder takes time, which an enclave that never attests need
not spend.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from enclaver_runtime.transport import nsm_device

#: Sends the bytes of one request to a module and gives those of its response; raises OSError.
Exchange = Callable[[bytes], Awaitable[bytes]]


class NsmUnavailableError(Exception):
    """There is no security module, or it does not answer; the text says so, for people."""


class NsmError(Exception):
    """The security module refused; ``code`` is its word for why: ``InputTooLarge``, ``InternalError``..."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class SecurityModule(Protocol):
    """What services need of the module. One object is shared by all of them."""

    async def attest(
        self, *, user_data: bytes | None = None, nonce: bytes | None = None, public_key: bytes | None = None
    ) -> bytes:
        """A new attestation document, a COSE_Sign1, that carries these; None leaves one out.

        Raises:
            NsmUnavailableError: there is no module, or it does not answer.
            NsmError: the module refused, or answered something else.
            ValueError: an argument is longer than the module takes (protocol.nsm_limits).
        """


class Module:
    """A security module behind ``exchange``, one request at a time, as the device itself works."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._turn = trio.Lock()

    async def attest(
        self, *, user_data: bytes | None = None, nonce: bytes | None = None, public_key: bytes | None = None
    ) -> bytes:
        """See :meth:`SecurityModule.attest`."""
        # Loaded only here, since the CBOR decoder takes its time.
        from enclaver_runtime.protocol import nsm

        request = nsm.attestation(user_data=user_data, nonce=nonce, public_key=public_key)
        async with self._turn:
            try:
                response = await self._exchange(request)
            except OSError as error:
                raise NsmUnavailableError(f"the security module does not answer: {error.strerror or error}") from error
        try:
            return nsm.parse_attestation(response)
        except nsm.NsmError as error:
            raise NsmError(str(error), error.code) from error
        except nsm.ResponseError as error:
            raise NsmError(str(error), "InvalidResponse") from error


def device_module(path: str = nsm_device.PATH) -> SecurityModule:
    """The machine's own module.

    It is asked in a worker thread, since the call blocks while the module signs. PID 1 forks only before the app
    runs, so the launch never meets such a thread. A call that never returns keeps nobody from ending the enclave.
    """

    def ask(request: bytes) -> bytes:
        try:
            device = nsm_device.NsmDevice(path)
        except FileNotFoundError:
            raise NsmUnavailableError(
                f"this enclave has no security module ({path} is not there), so it cannot prove what it is"
            ) from None
        with device:
            return device.request(request)

    async def exchange(request: bytes) -> bytes:
        return await trio.to_thread.run_sync(ask, request, abandon_on_cancel=True)

    return Module(exchange)
