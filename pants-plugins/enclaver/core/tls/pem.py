"""PEM, the text that keys and certificates come in: the blocks of a file, and the lines they stand on.

Source: RFC 7468. As in OpenSSL, which reads the same files in the enclave, text between the blocks says nothing, and a
block begins at the start of a line.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from enclaver.core.errors import EnclaverError

_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s*")
# RFC 7468, 2: what generators must write.
_COLUMNS: Final = 64
# What some editors begin a text in UTF-8 with; without it the first block would be none.
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_CURE: Final = "Copy the file again, whole, or export it anew."


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a PEM file.

    Args:
        label: what it says it is: ``CERTIFICATE``, ``PRIVATE KEY``.
        line: the line of its BEGIN, from 1.
        encrypted: whether the block itself says that it is (RFC 1421's header, as OpenSSL's older keys have it).
        data: what it holds, decoded; empty when it is encrypted.
    """

    label: str
    line: int
    encrypted: bool
    data: bytes

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"line {self.line}"

    @property
    def canonical(self) -> bytes:
        """The block as every program writes it, whatever the file's line ends and line lengths."""
        lines = base64.b64encode(self.data)
        body = b"".join(lines[at : at + _COLUMNS] + b"\n" for at in range(0, len(lines), _COLUMNS))
        label = self.label.encode("ascii")
        return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, body, label)


def blocks(text: bytes) -> list[Block]:
    """Return the blocks of a file, in its order. No message holds anything of what is in them.

    Raises:
        EnclaverError: a block has no end, or is not base64.
    """
    found: list[Block] = []
    lines = enumerate(text.removeprefix(_BYTE_ORDER_MARK).splitlines(), start=1)
    for number, line in lines:
        if begin := _BEGIN.fullmatch(line):
            label = begin[1].decode("ascii")
            body: list[bytes] = []
            for _, inner in lines:
                if inner.startswith(b"-----"):
                    break
                body.append(inner.strip())
            else:
                inner = b""
            if inner.rstrip() != b"-----END " + begin[1] + b"-----":
                raise EnclaverError(f"the {label} has no end", place=f"line {number}", cure=_CURE)
            found.append(_block(label, number, body))
    return found


def _block(label: str, line: int, body: list[bytes]) -> Block:
    if any(b":" in text for text in body):
        # Headers: only an encrypted key has any.
        return Block(label, line, encrypted=True, data=b"")
    try:
        return Block(label, line, encrypted=False, data=base64.b64decode(b"".join(body), validate=True))
    except binascii.Error:
        # Not the error's own chain: nothing of a key may show, not even in a traceback.
        raise EnclaverError(f"the {label} is damaged: no base64", place=f"line {line}", cure=_CURE) from None
