"""A tree as one layer of an image: a tar file without compression, the same bytes for the same tree.

Source: OCI image-spec, layer.md; POSIX.1-2017 pax(1) for what does not fit into a ustar header.

It stays without compression. What gzip makes of the same bytes depends on the zlib that did it (its version, its
variant), and daemons before version 23 read no zstd. A registry's client may still compress on the way; what an
image is made of, its diff_ids, stays.
"""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci.digest import Digest
from enclaver.core.rootfs.entry import Entry, InlineContent, Kind, printable
from enclaver.core.rootfs.tree import Tree

# Names that say what a layer takes away from those below.
_WHITEOUT: Final = ".wh."
_TYPES: Final = {Kind.FILE: tarfile.REGTYPE, Kind.DIRECTORY: tarfile.DIRTYPE, Kind.SYMLINK: tarfile.SYMTYPE}
_EMPTY: Final = InlineContent(b"")


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """A layer that was written: its digest, which without compression is its diff_id too, and its size in bytes."""

    digest: Digest
    size: int


def write_layer(tree: Tree, out: BinaryIO) -> WrittenLayer:
    """Write a tree as a layer, streaming.

    Args:
        tree: what the layer adds to those below, with the folders that its entries lie in.
        out: where to; it is written in order, and nothing else is done with it.

    Raises:
        EnclaverError: the tree isn't whole (``Tree.check``), holds a device or a name that means a removal, or a
            content can't be read. Part of the layer may be written by then.
    """
    tree.check()
    writer = _Writer(out)
    # Of hard links the first name has the content: every unpacker links to what is there already.
    owners = {name: names[0] for names in tree.names().values() for name in names}
    for entry in tree:
        _check(entry)
        owner = owners.get(entry.path, entry.path)
        body = tree.content(entry) if entry.kind is Kind.FILE and owner == entry.path else _EMPTY
        writer.write(_header(entry, tree.inode(entry), owner, body.size))
        for chunk in body.chunks():
            writer.write(chunk)
        writer.pad()
    # Two blocks of zeros end a tar file.
    writer.write(bytes(2 * tarfile.BLOCKSIZE))
    return WrittenLayer(Digest("sha256", writer.hasher.hexdigest()), writer.size)


@dataclass(slots=True)
class _Writer:
    out: BinaryIO
    size: int = 0
    hasher: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, data: bytes | memoryview) -> None:
        self.out.write(data)
        self.hasher.update(data)
        self.size += len(data)

    def pad(self) -> None:
        self.write(bytes(-self.size % tarfile.BLOCKSIZE))


def _check(entry: Entry) -> None:
    if entry.kind is Kind.CHARACTER_DEVICE:
        raise EnclaverError(
            "is a device, and whoever runs an image makes those", place=printable(entry.path), cure="Leave it out."
        )
    if any(part.startswith(_WHITEOUT) for part in entry.path.split("/")):
        raise EnclaverError(
            f"in a layer, a name that begins with {_WHITEOUT} takes something away from those below",
            place=printable(entry.path),
            cure="Rename it.",
        )


def _header(entry: Entry, holder: Entry, owner: str, size: int) -> bytes:
    """Return an entry's header, with an extended one before it for names and numbers that a ustar header can't hold.

    What TarInfo starts with stays where it says nothing of the machine: no names of users, no device numbers.
    """
    member = tarfile.TarInfo(entry.path)
    member.type = _TYPES[entry.kind]
    member.mode = holder.mode
    member.uid, member.gid = holder.uid, holder.gid
    member.size = size
    # When something was built is no property of it.
    member.mtime = 0
    if entry.kind is Kind.SYMLINK:
        member.linkname = entry.target or ""
    elif owner != entry.path:
        member.type = tarfile.LNKTYPE
        member.linkname = owner
    # Names that aren't UTF-8 are written as the bytes that they are.
    return member.tobuf(tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape")
