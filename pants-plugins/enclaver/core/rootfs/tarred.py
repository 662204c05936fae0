"""A tar file, plain or compressed, as a tree: what an `archive` target packages. Times and owners never show.

Source: pax(1), "ustar Interchange Format" and "pax Interchange Format"; GNU's long names and sparse files as tar(1) has
them. An archive ends with blocks of zeros.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.damage import REMAKE, archive_errors
from enclaver.core.rootfs.directory import IGNORED_XATTRS
from enclaver.core.rootfs.entry import Entry, Kind, printable
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree

# pax keywords under which GNU tar and bsdtar keep extended attributes, capabilities and access lists.
_ATTRIBUTES: Final = ("SCHILY.xattr.", "LIBARCHIVE.xattr.", "SCHILY.acl.", "RHT.security.")
_IGNORED: Final = {
    *(f"{form}.xattr.{name}" for form in ("SCHILY", "LIBARCHIVE") for name in IGNORED_XATTRS),
    "RHT.security.selinux",
}
# tar pads an archive to its record, which is 10 KiB, and larger only when it is told so (-b).
_MOST_PADDING: Final = 1 << 20


def attribute_keywords(keywords: Iterable[str]) -> list[str]:
    """Return those of pax keywords that are extended attributes, which an image cannot hold; sorted."""
    return sorted(key for key in keywords if key.startswith(_ATTRIBUTES) and key not in _IGNORED)


def attributes(member: tarfile.TarInfo) -> list[str]:
    """Return the pax keywords of a member's extended attributes; sorted."""
    return attribute_keywords(member.pax_headers)


def read(path: Path, spool: Spool, *, origin: str) -> Tree:
    """Read a tar file; contents go to the spool.

    Files become 0755 when the owner's x bit is set and 0644 else, folders 0755, all of them root's: an app's
    archive says what its files are, not whose machine made it.

    Raises:
        EnclaverError: it is no tar file, it is damaged or goes on behind its end, a member's path leaves the folder
            or leads through a link, two members are at one path, or a member is a device, a socket or a fifo or has
            extended attributes.
    """
    tree = Tree()
    with archive_errors(path, "tar"), _opened(path) as archive:
        for member in archive:
            if entry := _entry(archive, member, tree, spool, origin):
                tree.add(entry)
        _check_end(archive)
        tree.ensure_parents(origin=origin)
    return tree


def _opened(path: Path) -> tarfile.TarFile:
    try:
        # The encoding is named because Python's default for it is the locale's.
        return tarfile.open(path, "r:*", encoding="utf-8", errors="surrogateescape", errorlevel=2)
    except tarfile.ReadError as error:
        raise EnclaverError("no tar file, plain or compressed by gzip, bzip2 or xz", cure=REMAKE) from error


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, tree: Tree, spool: Spool, origin: str) -> Entry | None:
    name = member.name.removeprefix("./").rstrip("/")
    place = printable(name)
    if name in ("", "."):
        return None
    if found := attributes(member):
        raise EnclaverError(
            f"has the extended attribute {printable(found[0])}, which an image cannot hold",
            place=place,
            cure="Make the archive without extended attributes (tar --no-xattrs --no-acls).",
        )
    if member.isdir():
        return Entry(name, Kind.DIRECTORY, 0o755, origin=origin)
    if member.issym():
        return Entry(name, Kind.SYMLINK, 0o777, target=member.linkname, origin=origin)
    mode = 0o755 if member.mode & 0o100 else 0o644
    if member.islnk():
        linked = member.linkname.removeprefix("./")
        # A link to a link is one more name of the same file.
        owner = tree.get(linked)
        return Entry(name, Kind.FILE, mode, hardlink_to=(owner and owner.hardlink_to) or linked, origin=origin)
    source = archive.extractfile(member) if member.isreg() else None
    if source is None:
        raise EnclaverError("neither a file, a folder nor a link", place=place, cure="Leave it out of the archive.")
    with source:
        try:
            return Entry(name, Kind.FILE, mode, content=spool.add(source, member.size), origin=origin)
        except EnclaverError as error:
            error.place = error.place or place
            raise


def _check_end(archive: tarfile.TarFile) -> None:
    """Refuse an archive that does not end where tarfile stopped: it takes a damaged header for the end.

    What follows is read to the last byte, because only then a compressed file's checksum is looked at.
    """
    file = archive.fileobj
    assert file is not None  # It is open.
    file.seek(archive.offset)
    place = f"offset {archive.offset:#x}"
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
        raise EnclaverError("the archive is damaged or cut short here", place=place, cure=REMAKE)
    rest = file.read(_MOST_PADDING + 1)
    if len(rest) > _MOST_PADDING or rest.strip(b"\0"):
        raise EnclaverError(
            "there is more behind the archive's end",
            place=place,
            cure="Make one archive of it; tar files cannot be joined by cat.",
        )
