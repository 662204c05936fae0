"""A pax extended header: records that stand for, or add to, the fields of the header behind it.

Source: POSIX.1-2017 pax(1), "pax Extended Header": ``LENGTH KEYWORD=VALUE`` and a newline, the length in decimal and of
the whole record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import tarred
from enclaver.core.rootfs.entry import path_text, printable

_LENGTH: Final = re.compile(rb"([0-9]{1,10}) ")
_NUMBER: Final = re.compile(rb"[0-9]{1,20}")
_NO_NUL: Final = (b"path", b"linkpath")
_SPARSE: Final = "GNU.sparse."


def records(data: bytes) -> dict[str, bytes]:
    """Parse a header's records; of a keyword that is there twice the last counts.

    Raises:
        EnclaverError: a record is not of this form.
    """
    found: dict[str, bytes] = {}
    offset = 0
    while offset < len(data):
        match = _LENGTH.match(data, offset)
        end = offset + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(data) or data[end - 1] != ord("\n"):
            raise EnclaverError("a pax record has no proper length")
        keyword, equals, value = data[match.end() : end - 1].partition(b"=")
        if not keyword or not equals or b"\0" in keyword or (b"\0" in value and keyword in _NO_NUL):
            raise EnclaverError("a pax record is no KEYWORD=VALUE")
        found[path_text(keyword)] = value
        offset = end
    return found


def number(found: Mapping[str, bytes], keyword: str, default: int) -> int:
    """Return a numeric record's value; an empty one stands for the header's own. Raises EnclaverError."""
    value = found.get(keyword, b"")
    if not value:
        return default
    if not _NUMBER.fullmatch(value):
        raise EnclaverError(f"the pax record {keyword} is no number: {value[:40]!a}")
    return int(value)


def text(found: Mapping[str, bytes], keyword: str, default: bytes) -> bytes:
    """Return a record's bytes; an empty one stands for the header's own."""
    return found.get(keyword) or default


def is_sparse(found: Mapping[str, bytes]) -> bool:
    """Whether the records make the member a sparse file of GNU tar's."""
    return any(keyword.startswith(_SPARSE) for keyword in found)


def xattrs(found: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the keywords of extended attributes and access lists, sorted and printable."""
    return tuple(printable(keyword) for keyword in tarred.attribute_keywords(found))


def check_global(data: bytes) -> None:
    """Refuse a global header that says more than a comment: unpackers disagree on whether it counts."""
    told = sorted(set(records(data)) - {"comment"})
    if told:
        raise EnclaverError(
            f"a global pax header sets {printable(told[0])}, which some programs obey and others don't",
            cure="Make the archive without one.",
        )
