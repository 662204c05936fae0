"""A tar file's members in order, with their extended headers and GNU long names put together.

Nothing is kept but the member at hand, and no more than limits.EXTENSION is read for any. Content is not read: a member
says where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import limits, pax, tar_header
from enclaver.core.oci.stream import Stream
from enclaver.core.oci.tar_header import BLOCK, Header
from enclaver.core.rootfs.entry import path_text, printable


class MemberKind(Enum):
    """What a member is."""

    FILE = "file"
    DIRECTORY = "folder"
    SYMLINK = "symbolic link"
    HARD_LINK = "hard link"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a tar file.

    Args:
        name, link: as they are in the archive; bytes that aren't UTF-8 as surrogateescape.
        kind: what it is.
        mode: permission bits.
        offset, size: where its content lies in the uncompressed archive.
        xattrs: pax keywords of its extended attributes.
        sha256: of a FILE's content, in hexadecimal, where somebody has digested it.
    """

    name: str
    kind: MemberKind
    mode: int
    uid: int
    gid: int
    offset: int
    size: int
    link: str
    xattrs: tuple[str, ...]
    sha256: str | None = None

    @property
    def text_size(self) -> int:
        """How much text it has: what it takes to keep it in memory."""
        return len(self.name) + len(self.link) + sum(map(len, self.xattrs))


_KINDS: Final = {
    b"\0": MemberKind.FILE,
    b"0": MemberKind.FILE,
    b"1": MemberKind.HARD_LINK,
    b"2": MemberKind.SYMLINK,
    b"5": MemberKind.DIRECTORY,
}
# Kinds that an image must not bring: devices are the runtime's alone, and nobody is at a fifo's other end.
_REFUSED: Final = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a fifo",
    b"7": "a contiguous file",
    b"S": "a sparse file",
    b"D": "a part of an incremental dump",
    b"M": "the rest of a file from another volume",
    b"V": "a volume's label",
}
_PAX: Final = b"x"
_GLOBAL: Final = b"g"
_LONG_NAME: Final = b"L"
_LONG_LINK: Final = b"K"
_EXTENSIONS: Final = (_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK)
# The only ones that may stand together before one member, each once.
_PAIR: Final = {_LONG_NAME, _LONG_LINK}
_END: Final = bytes(BLOCK)


def members(stream: Stream) -> Iterator[Member]:
    """Yield a tar file's members; then the stream is behind its end, which is a block of zeros or its last byte.

    Raises:
        EnclaverError: the archive is damaged, cut within a member, or has a member that an image cannot hold; ``place``
            is the member's name or its offset.
    """
    told: dict[str, bytes] = {}
    before: set[bytes] = set()  # The kinds of the extended headers that are about the next member.
    start = stream.offset
    try:
        while True:
            start = stream.offset
            block = stream.take(BLOCK)
            if not block or block == _END:
                if told:
                    raise EnclaverError("the tar file ends behind an extended header")
                return
            if len(block) < BLOCK:
                raise EnclaverError("the tar file ends within a header")
            header = tar_header.parse(block)
            if header.kind in _EXTENSIONS:
                if before and (header.kind in before or {*before, header.kind} != _PAIR):
                    raise EnclaverError("extended headers follow each other, of which unpackers obey different ones")
                if header.kind != _GLOBAL:
                    before.add(header.kind)
                _extend(told, header, _payload(stream, header))
                continue
            member = _member(header, told, stream.offset)
            told, before = {}, set()
            yield member
            stream.skip(member.size + -member.size % BLOCK)
    except EnclaverError as error:
        error.place = error.place or f"offset {start:#x}"
        raise


def _payload(stream: Stream, header: Header) -> bytes:
    if header.size > limits.EXTENSION:
        raise EnclaverError(f"an extended header claims {header.size} bytes; {limits.EXTENSION} are allowed")
    data = stream.take(header.size)
    if len(data) < header.size:
        raise EnclaverError("the tar file ends within an extended header")
    stream.skip(-header.size % BLOCK)
    return data


def _extend(told: dict[str, bytes], header: Header, data: bytes) -> None:
    """Add what an extended header says about the member behind it."""
    if header.kind == _GLOBAL:
        pax.check_global(data)
    elif header.kind == _PAX:
        told.update(pax.records(data))
    else:
        # GNU's long names are pax's by another name; both end at a NUL.
        told["path" if header.kind == _LONG_NAME else "linkpath"] = data.partition(b"\0")[0]


def _member(header: Header, told: Mapping[str, bytes], offset: int) -> Member:
    name = pax.text(told, "path", header.name)
    kind = _KINDS.get(header.kind)
    place = printable(path_text(name))
    refused = _REFUSED.get(header.kind)
    if kind is MemberKind.FILE and pax.is_sparse(told):
        refused = "a sparse file"
    if refused:
        raise EnclaverError(
            f"is {refused}, which an image for an enclave cannot hold", place=place, cure="Make the image without it."
        )
    if kind is None:
        raise EnclaverError(f"is of a kind that is not known ({header.kind!a})", place=place)
    if header.kind == b"\0" and name.endswith(b"/"):
        kind = MemberKind.DIRECTORY  # So wrote tar before there was a kind for it.
    return Member(
        path_text(name),
        kind,
        header.mode & 0o7777,
        pax.number(told, "uid", header.uid),
        pax.number(told, "gid", header.gid),
        offset,
        # Only files have content, whatever the others claim.
        pax.number(told, "size", header.size) if kind is MemberKind.FILE else 0,
        path_text(pax.text(told, "linkpath", header.link)),
        pax.xattrs(told) if told else (),
    )
