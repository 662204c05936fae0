"""What a reader of the status may say: a request that the app ends.

It is one JSON object a line, sent on the connection that the status is read from, vsock port 17000::

    {"stop":15}

The number is that of SIGINT (2) or SIGTERM (15), which the app then gets; for SIGTERM, the signal that its image names
instead, if it does. What does not end is killed later. Enclaver has no such request: its enclave reads nothing there,
and its parent sends nothing. So anything else that comes is ignored, and a parent that asks must not rely on being
heard.
"""

from __future__ import annotations

import json
import signal

#: What an app may be asked by. A parent that wants more power over an enclave than to end it has none.
SIGNALS = (signal.SIGINT, signal.SIGTERM)

#: The longest line that is looked at, in bytes without its newline.
MAX_LINE = 64


def format_request(number: int) -> bytes:
    """Write the request as one line.

    Raises:
        ValueError: ``number`` is none of :data:`SIGNALS`.
    """
    if number not in SIGNALS:
        raise ValueError(f"an app is not asked to end by signal {number}")
    return b'{"stop":%d}\n' % number


class StopDecoder:
    """Requests out of a stream of bytes, for the enclave's side; holds at most :data:`MAX_LINE` bytes and one."""

    def __init__(self) -> None:
        self._rest = b""

    def receive_data(self, data: bytes) -> list[int]:
        """Return the signals that ``data`` completes requests for; what is no request is ignored."""
        *lines, rest = (self._rest + data).split(b"\n")
        # One byte more than a line may have, so that what is too long stays so, however it is cut.
        self._rest = rest[: MAX_LINE + 1]
        return [number for line in lines if (number := _parse(line)) is not None]


def _parse(line: bytes) -> int | None:
    if len(line) > MAX_LINE:
        return None
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return None
    number = request.get("stop") if isinstance(request, dict) and len(request) == 1 else None
    return number if type(number) is int and number in SIGNALS else None
