"""One 512-byte header of a tar file, strictly read.

Source: POSIX.1-2017 pax(1), "ustar Interchange Format"; tar(5) of GNU tar for base-256 numbers and for what takes the
prefix's place in GNU's own format; star(5) for its shorter prefix. Where formats leave room, this reads as Go's
archive/tar does, which docker, containerd and umoci unpack with: a layer has to mean the same here as there.

Python's tarfile isn't used for layers, which anybody may have made: it takes a damaged header for the archive's end and
a bad number for 0, reads extensions of any size into memory, and keeps every member.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from enclaver.core.errors import EnclaverError

BLOCK: Final = 512
#: Fields: name, mode, uid, gid, size, mtime, chksum, typeflag, linkname, magic with version, uname, gname, devmajor,
#: devminor, prefix, and what star has behind it.
FIELDS: Final = struct.Struct(">100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")
_CHECKSUM: Final = slice(148, 156)
# What the checksum counts for its own field.
_BLANKS: Final = sum(b"        ")
_OCTAL: Final = re.compile(rb"[ \0]*([0-7]*)[ \0]*")
_BASE_256: Final = 0x80
_NEGATIVE: Final = 0x40
_USTAR: Final = b"ustar\0"
_GNU: Final = b"ustar  \0"
_STAR_TRAILER: Final = b"tar\0"
_STAR_PREFIX: Final = 131
_SIGNED: Final = struct.Struct("512b")


@dataclass(frozen=True, slots=True)
class Header:
    """A header's fields; names and link targets as the bytes that are there.

    Args:
        kind: the typeflag.
        size: in bytes, as the header claims; kinds without content may claim any.
    """

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    link: bytes


def parse(block: bytes) -> Header:
    """Parse a header of 512 bytes, not all of them zero.

    Raises:
        EnclaverError: the checksum is wrong or a number is none.
    """
    name, mode, uid, gid, size, _, checksum, kind, link, magic, _, _, _, _, prefix, trailer = FIELDS.unpack(block)
    _check(block, checksum)
    path = _text(name)
    if folder := _folder(magic, prefix, trailer):
        path = folder + b"/" + path
    return Header(
        path,
        kind,
        _number(mode, "mode"),
        _number(uid, "uid"),
        _number(gid, "gid"),
        _number(size, "size"),
        _text(link),
    )


def _check(block: bytes, field: bytes) -> None:
    claimed = _number(field, "checksum")
    if claimed == sum(block) - sum(field) + _BLANKS:
        return
    signed = _SIGNED.unpack(block)  # So some old tars summed.
    if claimed != sum(signed) - sum(signed[_CHECKSUM]) + _BLANKS:
        raise EnclaverError("a header's checksum is wrong: the tar file is damaged, or is none")


def _folder(magic: bytes, prefix: bytes, trailer: bytes) -> bytes:
    """Return the first part of a name that is in two."""
    if magic.startswith(_USTAR):
        return _text(prefix[:_STAR_PREFIX] if trailer[8:] == _STAR_TRAILER else prefix)
    if magic == _GNU and not all(_is_number(prefix[start : start + 12]) for start in (0, 12)):
        # GNU's own format has times in the prefix's place. Go's writer before 1.8, and so docker's layers of that time,
        # had the prefix of ustar there all the same.
        folder = _text(prefix)
        return folder if folder.isascii() else b""
    return b""


def _is_number(field: bytes) -> bool:
    # As Go reads a time: none behind a NUL, and of other octal ones what is before the first NUL.
    return not field[0] or bool(field[0] & _BASE_256 or _OCTAL.fullmatch(field.lstrip(b" ").partition(b"\0")[0]))


def _number(field: bytes, what: str) -> int:
    if field[0] & _BASE_256:
        if field[0] & _NEGATIVE:
            raise EnclaverError(f"a header's {what} is negative")
        return int.from_bytes(bytes([field[0] & ~_BASE_256]) + field[1:], "big")
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise EnclaverError(f"a header's {what} is no number: {field!a}")
    return int(match[1] or b"0", 8)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
