"""TLS as its server: the handshake, and after it one side of a relay.

OpenSSL works on memory here, never on the socket. So whatever a client does, a wait is the socket's, which trio knows;
and each direction can end by itself: TLS says an end in a record of its own (close_notify, RFC 8446, 6.1), whether or
not what is below knows half-close. An end of input without that record is a failure, as is a reset: somebody on the way
may have cut it off.

The input is decrypted as it comes, up to the last record that is there whole. That bounds what is held, and OpenSSL
needs it: it takes data that it finds unread when it is to say the end for a breach of protocol.
"""

from __future__ import annotations

import functools
import ssl
from contextlib import suppress
from typing import Final

import trio

from enclaver_runtime.config import ConfigError, Tls
from enclaver_runtime.transport.pump import reset

#: What is received, and what is encrypted, at a time, in bytes; some records each.
PIECE: Final = 64 * 1024

# The most that one record holds (RFC 8446, 5.1).
_RECORD: Final = 16 * 1024

# TLS 1.2 is left where it has what 1.3 always has: forward secrecy, and encryption that authenticates.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class CutOffError(OSError):
    """The input has ended without close_notify: perhaps all was said, perhaps not."""


def load(tls: Tls) -> ssl.SSLContext:
    """A server's context with the chain and the key of the image.

    No ALPN: what is spoken inside of TLS is the app's matter, and clients without an answer speak HTTP/1.1.

    Raises:
        ConfigError: a file cannot be read, or OpenSSL takes it for none that a server can use.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ciphers(_CIPHERS)
    # A client that only writes leaves the tickets of TLS 1.3 unread. TCP makes a reset of its close then, which may
    # overtake what it has written.
    context.num_tickets = 0
    try:
        # Without a password of ours, OpenSSL would ask the console for that of an encrypted key.
        context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    except OSError as error:
        raise ConfigError(f"{tls.cert_file} and {tls.key_file} are no TLS identity: {reason(error)}") from error
    return context


def reason(error: OSError) -> str:
    """What went wrong, in a few words for a line of log."""
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    if error.reason == "HTTP_REQUEST":
        return "it speaks HTTP without TLS"
    return (error.reason or str(error)).replace("_", " ").lower()


async def accept(stream: trio.SocketStream, context: ssl.SSLContext, *, turn: trio.Lock) -> TlsSide | None:
    """Have the handshake with a client; None if it leaves before it has said anything, as health checks do.

    The caller bounds the time, and closes ``stream`` in any case.

    Args:
        turn: held while computing, which takes milliseconds; one for all connections, so that many handshakes at
            once take turns with everything else that runs here.

    Raises:
        OSError: the client does not speak TLS, or no version or cipher that is taken here, or it hung up.
    """
    # OpenSSL's objects are large: a client that only stalls is to cost no more than its connection.
    first = await stream.socket.recv(PIECE)
    if not first:
        return None
    side = TlsSide(stream, context)
    await side.shake_hands(first, turn)
    return side


class TlsSide:
    """A client, as :func:`enclaver_runtime.transport.pump.pump` relays it; after the handshake.

    Attributes:
        failure: what ended the client's output, if not its own end of it.
    """

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._sending = trio.Lock()
        self._decrypted = bytearray()
        self._input_ended = False
        # Raised when all that came before it has been handed out.
        self._broken: OSError | None = None
        self.failure: OSError | None = None
        self.fileno = stream.socket.fileno
        self.reset = functools.partial(reset, stream)

    async def shake_hands(self, first: bytes, turn: trio.Lock) -> None:
        """Have the handshake, of which ``first`` has come already; raises as :func:`accept`."""
        self._incoming.write(first)
        while not await self._take_step(turn):
            await self._hear()
        # With its last message, a client may have sent the first data.
        self._decrypt()

    async def receive_into(self, buffer: memoryview, /) -> int:
        """Wait for what the client says; 0 at its close_notify. Raises OSError, also where its input was cut off."""
        while not self._decrypted:
            if self._broken is not None:
                self.failure = self._broken
                raise self._broken
            if self._input_ended:
                return 0
            await self._receive()
        size = min(len(buffer), len(self._decrypted))
        buffer[:size] = self._decrypted[:size]
        del self._decrypted[:size]
        return size

    async def send(self, data: memoryview, /) -> int:
        """Encrypt and send some of ``data``; returns how many bytes that were. Raises OSError."""
        size = self._tls.write(data[:PIECE])
        await self._flush()
        return size

    async def end_output(self) -> None:
        """Send close_notify; what the client says still comes. Raises OSError."""
        # It also looks for the client's close_notify, for which there is time.
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        await self._flush()

    async def _take_step(self, turn: trio.Lock) -> bool:
        """Compute as far as what has come suffices, and send what came out of it; whether it is done."""
        done = True
        try:
            async with turn:
                self._tls.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError:
            # The alert that tells the client why.
            with suppress(OSError):
                await self._flush()
            raise
        await self._flush()
        return done

    async def _receive(self) -> None:
        try:
            await self._hear()
        except OSError as error:
            self._broken = error
            return
        self._decrypt()
        # Alerts, and answers to a client that changes its keys; waited for, so that they cannot pile up. Who is gone
        # gets none, which is the output's to notice.
        with suppress(OSError):
            await self._flush()

    async def _hear(self) -> None:
        data = await self._stream.socket.recv(PIECE)
        if not data:
            # Not for OpenSSL to judge: the ssl module of Python 3.11.2, which is the enclave's, has it take this for
            # the end that TLS asks for. That would have been decrypted by now.
            raise CutOffError("it hung up without the end that TLS asks for")
        self._incoming.write(data)

    def _decrypt(self) -> None:
        try:
            while data := self._tls.read(_RECORD):
                self._decrypted += data
            self._input_ended = True
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self._input_ended = True
        except ssl.SSLError as error:
            self._broken = error

    async def _flush(self) -> None:
        if not self._outgoing.pending:
            return
        async with self._sending:
            data = memoryview(self._outgoing.read())
            while data:
                data = data[await self._stream.socket.send(data) :]
