"""The heads of requests for a tunnel that most clients send, recognised at once.

What is recognised is a small part of what h11 takes for a CONNECT, and means the same to both (a test holds them
together); everything else, well-formed or not, is for h11. So nothing here has to be understood, only known.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: A head that is longer than this, in bytes, is not recognised.
MAX_PLAIN_HEAD = 4096

_HEAD = re.compile(
    rb"CONNECT ([A-Za-z0-9_.:\[\]-]+) HTTP/1\.1\r\n"
    # Only what has no meaning for a tunnel; a length, an encoding or Connection has.
    rb"((?:(?i:host|user-agent|accept|proxy-connection): [!-~](?:[ !-~]*[!-~])?\r\n)+)\r\n"
)


class PlainConnect(NamedTuple):
    """A request for a tunnel: its target, and what has come behind its head."""

    target: bytes
    early: bytes


def parse_plain_connect(data: bytes) -> PlainConnect | None:
    """Recognise a complete request in what a client has sent first; None when it is not a plain one."""
    found = _HEAD.match(data, 0, MAX_PLAIN_HEAD)
    # RFC 9112, 3.2: exactly one Host.
    if found is None or (b"\n" + found[2].lower()).count(b"\nhost:") != 1:
        return None
    return PlainConnect(found[1], data[found.end() :])
