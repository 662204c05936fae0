"""The app's status as Enclaver writes it on vsock port 17000: one JSON object a line.

The enclave listens and writes the status of the moment, then every change, to each reader; the parent reads
lines until one is final (everything but :class:`Running`)::

    {"status":"running"}
    {"status":"exited","code":0}
    {"status":"signaled","signal":9}
    {"status":"fatal","error":"text"}

Enclaver's own enclave sends the signal as text (``"SIGKILL"``), so both forms are read; the number is
written, which is what its parent reads. Source: Enclaver 0.6.1, ``odyn/console.rs`` and ``run.rs``.
"""

from __future__ import annotations

import json
import signal as signals
from dataclasses import dataclass

#: The vsock port in the enclave that the status is served on.
PORT = 17000

#: The longest line, in bytes with its newline. Enclaver's parent reads lines of 1024 bytes at most.
MAX_LINE = 1024

_MAX_SIGNAL = 64


@dataclass(frozen=True, slots=True)
class Running:
    """The app has not ended, or is about to be started."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The app ended by itself with ``code``, 0 to 255."""

    code: int


@dataclass(frozen=True, slots=True)
class Signaled:
    """The app was ended by the signal of number ``signal``, 1 to 64."""

    signal: int


@dataclass(frozen=True, slots=True)
class Fatal:
    """The app could not be started, or the runtime broke down; ``error`` is for people."""

    error: str


Status = Running | Exited | Signaled | Fatal


class StatusError(ValueError):
    """A line that is no status; the other side erred."""


def is_final(status: Status) -> bool:
    """Whether nothing follows ``status`` any more."""
    return not isinstance(status, Running)


def format_line(status: Status) -> bytes:
    """Write ``status`` as one line of ASCII with its newline, at most :data:`MAX_LINE` bytes.

    A longer error text is cut and ends in ``...``. Characters that are no Unicode text (lone surrogates, from
    file names that are not UTF-8) are written as ``\\udcxx`` in plain characters, so that every reader of
    JSON takes the line.
    """
    match status:
        case Running():
            fields: dict[str, object] = {"status": "running"}
        case Exited(code):
            fields = {"status": "exited", "code": code}
        case Signaled(signal):
            fields = {"status": "signaled", "signal": signal}
        case Fatal(error):
            fields = {"status": "fatal", "error": ""}
            fields["error"] = _cut(_without_surrogates(error), MAX_LINE - len(_line(fields)))
    return _line(fields)


def parse_line(line: bytes) -> Status:
    """Read one line, with or without its newline.

    Raises:
        StatusError: the line is too long, no JSON object, not one of the four forms, has keys that are
            unknown or occur twice, or values out of range.
    """
    if len(line) > MAX_LINE:
        raise StatusError(f"a status line is {len(line)} bytes long, at most {MAX_LINE} are allowed")
    try:
        fields = json.loads(line, object_pairs_hook=_object)
    except (ValueError, RecursionError) as problem:
        raise StatusError(f"a status line is not JSON: {problem}") from problem
    if not isinstance(fields, dict):
        raise StatusError("a status line is not a JSON object")
    kind = fields.pop("status", None)
    match kind, fields:
        case "running", {**rest} if not rest:
            return Running()
        case "exited", {"code": code, **rest} if not rest:
            return Exited(_number(code, "code", 0, 255))
        case "signaled", {"signal": signal, **rest} if not rest:
            return Signaled(_signal(signal))
        case "fatal", {"error": str(error), **rest} if not rest:
            return Fatal(_without_surrogates(error))
    raise StatusError(f"a status line has an unknown form: {line[:120]!r}")


class StatusDecoder:
    """Lines out of a stream of bytes, for the reader's side; holds at most :data:`MAX_LINE` bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def receive_data(self, data: bytes) -> list[Status]:
        """Return the statuses that ``data`` completes, oldest first.

        Raises:
            StatusError: a line is no status, or is longer than :data:`MAX_LINE`. The stream is then useless.
        """
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > MAX_LINE:
            raise StatusError(f"a status line is longer than {MAX_LINE} bytes")
        self._rest = rest
        return [parse_line(line) for line in lines if line.strip()]


def _line(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cut(text: str, room: int) -> str:
    """The longest start of ``text`` whose JSON form takes at most ``room`` bytes."""
    sizes = [len(json.dumps(character)) - 2 for character in text[: room + 1]]
    if sum(sizes) <= room:
        return text
    kept, used = 0, len("...")
    while used + sizes[kept] <= room:
        used += sizes[kept]
        kept += 1
    return text[:kept] + "..."


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise StatusError("a status line has a key twice")
    return fields


def _number(value: object, name: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise StatusError(f"{name} of a status line is not a number from {least} to {most}")
    return value


def _signal(value: object) -> int:
    if not isinstance(value, str):
        return _number(value, "signal", 1, _MAX_SIGNAL)
    if value.isascii() and value.isdecimal() and len(value) <= 2:
        return _number(int(value), "signal", 1, _MAX_SIGNAL)
    try:
        return signals.Signals[value].value
    except KeyError:
        raise StatusError(f"signal of a status line is not a signal: {value[:40]!r}") from None
