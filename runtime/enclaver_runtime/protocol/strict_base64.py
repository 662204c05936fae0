"""Base64 as it is written in one way only: the standard alphabet, nothing in between (RFC 4648, 4 and 3.5)."""

from __future__ import annotations

import binascii
import re

_TEXT = re.compile(r"[A-Za-z0-9+/]*")


def decode(text: str) -> bytes:
    """The bytes that ``text`` stands for; its padding may be left out, as Enclaver has it.

    Raises:
        ValueError: it is not that; the message continues a sentence that names it.
    """
    bare = text.rstrip("=")
    padding = len(text) - len(bare)
    # Bits that would be lost, or padding that fits no text of this length.
    if not _TEXT.fullmatch(bare) or padding not in (0, -len(bare) % 4) or len(bare) % 4 == 1:
        raise ValueError("is not base64 in the standard alphabet (A-Z, a-z, 0-9, + and /)")
    data = binascii.a2b_base64(bare + "=" * (-len(bare) % 4))
    if binascii.b2a_base64(data, newline=False).rstrip(b"=") != bare.encode("ascii"):
        raise ValueError("is base64 whose last character has bits that stand for nothing")
    return data
