"""The egress connections' wire between enclave and parent, as Enclaver speaks it on vsock port 17002.

The enclave connects and sends one frame, which says where to; the parent answers with one; then raw bytes go
both ways. A frame is a length (16 bits, little-endian) and so many bytes of JSON::

    {"host":"example.com","port":443}            the enclave's
    "Ok"                                         the parent's, when it has connected
    {"Err":{"os_code":111,"message":"text"}}     or when it has not

Source: Enclaver 0.6.1, ``proxy/egress_http.rs``.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

#: The parent's vsock port.
PORT = 17002

#: Longest JSON of a request, in bytes: room for the longest name, however it is escaped.
MAX_REQUEST = 2048

#: Longest JSON of an answer, in bytes: what the length can say.
MAX_ANSWER = 0xFFFF

#: How the message of an answer begins when it is the policy that refused; the enclave tells the app so.
BLOCKED = "blocked by egress security policy"

_LENGTH = struct.Struct("<H")
_MAX_HOST = 255
_MAX_MESSAGE = 512


class FrameError(ValueError):
    """What came is no frame of this protocol; the other side erred, and the connection is useless."""


@dataclass(frozen=True, slots=True)
class Request:
    """Where to connect to: a name or an address (IPv6 without brackets), or ``host``; and a TCP port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Connected:
    """The parent has connected; raw bytes follow."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The parent has not connected: an errno value, or 0, and a text for people."""

    os_code: int
    message: str


Answer = Connected | Failed


def format_request(request: Request) -> bytes:
    """Write a request's frame."""
    return _frame({"host": request.host, "port": request.port})


def parse_request(payload: bytes) -> Request:
    """Read a request's JSON.

    Raises:
        FrameError: it is not ``{"host": text, "port": 1 to 65535}``, or has more.
    """
    match _json(payload):
        case {"host": str(host), "port": port, **rest} if not rest and len(host) <= _MAX_HOST:
            return Request(host, _number(port, "port", 1, 65535))
    raise FrameError(f"not an egress request: {payload[:80]!r}")


def format_answer(answer: Answer) -> bytes:
    """Write an answer's frame; a long message is cut."""
    if isinstance(answer, Connected):
        return _frame("Ok")
    return _frame({"Err": {"os_code": answer.os_code, "message": answer.message[:_MAX_MESSAGE]}})


def parse_answer(payload: bytes) -> Answer:
    """Read an answer's JSON.

    Raises:
        FrameError: it is neither of the two forms.
    """
    match _json(payload):
        case "Ok":
            return Connected()
        case {"Err": {"os_code": code, "message": str(message), **more}, **rest} if not rest and not more:
            return Failed(_number(code, "os_code", -(2**31), 2**31 - 1), message)
    raise FrameError(f"not an answer to an egress request: {payload[:80]!r}")


def only_frame(data: bytes) -> bytes | None:
    """The payload of the one frame that ``data`` is; None if it is anything else, which is for :class:`FrameReader`."""
    if len(data) > _LENGTH.size and _LENGTH.unpack_from(data)[0] == len(data) - _LENGTH.size:
        return data[_LENGTH.size :]
    return None


class FrameReader:
    """One frame out of a stream, never a byte more: what follows is not for this protocol.

    Give :meth:`receive_data` at most :attr:`wanted` bytes at a time, until it returns the frame's payload.

    Args:
        max_size: of the payload, in bytes.
        length: how the length before it is written.
    """

    def __init__(self, max_size: int, *, length: struct.Struct = _LENGTH) -> None:
        self._max_size = max_size
        self._length = length
        self._size: int | None = None
        self._data = b""

    @property
    def wanted(self) -> int:
        """How many bytes are missing, as far as that is known."""
        return (self._length.size if self._size is None else self._size) - len(self._data)

    def receive_data(self, data: bytes) -> bytes | None:
        """The payload, once it is complete; else None.

        Raises:
            FrameError: the stream has ended (``data`` is empty), or the frame is empty or longer than allowed.
            ValueError: more data than wanted; the caller erred.
        """
        if not data:
            raise FrameError("the connection ended within a frame" if self._data else "the connection ended")
        if len(data) > self.wanted:
            raise ValueError(f"{len(data)} bytes given, {self.wanted} wanted")
        self._data += data
        if self.wanted:
            return None
        if self._size is not None:
            return self._data
        (self._size,) = self._length.unpack(self._data)
        self._data = b""
        if not 1 <= self._size <= self._max_size:
            raise FrameError(f"a frame of {self._size} bytes, 1 to {self._max_size} are allowed")
        return None


def _frame(document: object) -> bytes:
    payload = json.dumps(document, separators=(",", ":")).encode("ascii")
    return _LENGTH.pack(len(payload)) + payload


def _json(payload: bytes) -> object:
    try:
        return json.loads(payload, object_pairs_hook=_object)
    except (ValueError, RecursionError) as problem:
        raise FrameError(f"a frame is not JSON: {payload[:80]!r}") from problem


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise FrameError("a frame has a key twice")
    return fields


def _number(value: object, name: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise FrameError(f"{name} of a frame is not a number from {least} to {most}")
    return value
