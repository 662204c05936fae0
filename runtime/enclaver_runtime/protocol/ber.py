"""ASN.1 values in BER, as far as CMS needs them: every form of a length, none of the large tags.

What is read is a tree of elements. Both its depth and its size are bounded, so hostile input costs no more than
reading it. Source: X.690, 8.1 and 8.7.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Tags as they stand in the first octet. A constructed form has bit 6 set (SEQUENCE and SET always).
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
SEQUENCE = 0x30
SET = 0x31

CONSTRUCTED = 0x20
CONTEXT = 0x80

_LARGE_TAG = 0x1F
_INDEFINITE = 0x80
_MAX_DEPTH = 16
_END = b"\0\0"


class BerError(ValueError):
    """The bytes are not BER of what was expected."""


@dataclass(frozen=True, slots=True)
class Element:
    """One value: its tag with the bit for the constructed form, and the bytes or the elements in it."""

    tag: int
    data: bytes
    children: tuple[Element, ...] = ()

    @property
    def is_constructed(self) -> bool:
        """Whether it holds elements, not bytes."""
        return bool(self.tag & CONSTRUCTED)

    def octets(self) -> bytes:
        """The bytes of an OCTET STRING, in one piece or, constructed, in several.

        Raises:
            BerError: one of the pieces is no OCTET STRING.
        """
        if not self.is_constructed:
            return self.data
        if any(child.tag & ~CONSTRUCTED != OCTET_STRING for child in self.children):
            raise BerError("a piece of an OCTET STRING is none")
        return b"".join(child.octets() for child in self.children)


def parse(data: bytes) -> Element:
    """Read the one element that ``data`` is.

    Raises:
        BerError: it is not BER, is cut off, goes too deep, or something follows.
    """
    element, end = _element(data, 0, len(data), 0)
    if end != len(data):
        raise BerError("something follows the value")
    return element


def _element(data: bytes, at: int, limit: int, depth: int) -> tuple[Element, int]:
    """The element at ``at``, which ends before ``limit``; and where it ends."""
    if depth > _MAX_DEPTH:
        raise BerError("values are nested too deep")
    if limit - at < 2:
        raise BerError("a value is cut off")
    tag, length = data[at], data[at + 1]
    if tag & _LARGE_TAG == _LARGE_TAG or tag == 0:
        raise BerError("a tag that no CMS has")
    at += 2
    if length == _INDEFINITE:
        if not tag & CONSTRUCTED:
            raise BerError("a primitive value has no end")
        children, at = _children(data, at, limit, depth, endless=True)
        return Element(tag, b"", children), at
    if length & 0x80:
        size = length & 0x7F
        if size > limit - at:
            raise BerError("a value is cut off")
        length, at = int.from_bytes(data[at : at + size], "big"), at + size
    if length > limit - at:
        raise BerError("a value is cut off")
    end = at + length
    if not tag & CONSTRUCTED:
        return Element(tag, data[at:end]), end
    children, _ = _children(data, at, end, depth, endless=False)
    return Element(tag, b"", children), end


def _children(data: bytes, at: int, limit: int, depth: int, *, endless: bool) -> tuple[tuple[Element, ...], int]:
    children = list[Element]()
    while endless or at < limit:
        if endless and data[at : min(at + 2, limit)] == _END:
            return tuple(children), at + 2
        child, at = _element(data, at, limit, depth + 1)
        children.append(child)
    return tuple(children), at
