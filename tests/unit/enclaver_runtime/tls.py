"""A TLS client for the tests of what ends TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import suppress

import trio

from tests.certificates import Authority

AUTHORITY = Authority()


def trusting(version: ssl.TLSVersion | None = None, ciphers: str = "DEFAULT") -> ssl.SSLContext:
    """A client's context that trusts the authority, and has one version only if one is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=AUTHORITY.pem.decode())
    context.set_ciphers(ciphers)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class Client:
    """A TLS client that can end its output and read on, which trio's cannot."""

    def __init__(
        self, stream: trio.SocketStream, context: ssl.SSLContext | None = None, sizes: Iterable[int] = ()
    ) -> None:
        """``sizes``: how many bytes are sent at a time, as long as there are any."""
        self.stream = stream
        self._sizes = iter(sizes)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or trusting()).wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    async def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                await self._feed()
            else:
                # The last message is sent together with the first data, as clients do.
                break

    async def flush(self) -> None:
        data = self._outgoing.read()
        while data:
            size = next(self._sizes, len(data))
            await self.stream.send_all(data[:size])
            data = data[size:]

    async def send(self, data: bytes) -> None:
        for at in range(0, len(data), 1 << 16):
            self.tls.write(data[at : at + (1 << 16)])
            await self.flush()

    async def end(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self.flush()

    async def receive(self) -> bytes:
        """What comes next; empty at close_notify. Raises EOFError when it is cut off."""
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                await self._feed()

    async def receive_all(self) -> bytes:
        data = bytearray()
        while piece := await self.receive():
            data += piece
        return bytes(data)

    async def _feed(self) -> None:
        data = await self.stream.receive_some()
        if not data:
            # Some versions of the ssl module would take it for the end.
            raise EOFError("without close_notify")
        self._incoming.write(data)
