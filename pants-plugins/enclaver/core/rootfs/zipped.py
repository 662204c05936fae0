"""A zip file as a tree: wheels, PEX files and archives. Times, owners and the host's umask never show.

Source: PKWARE's APPNOTE.TXT 6.3.10; the upper half of the external attributes is a Unix mode.
"""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.damage import REMAKE, archive_errors
from enclaver.core.rootfs.entry import PATH_MAX, Entry, Kind, path_text, printable
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree

_ENCRYPTED: Final = 1 << 0
_UTF_8: Final = 1 << 11


def read(path: Path, spool: Spool, *, origin: str) -> Tree:
    """Read a zip file; contents go to the spool.

    Files become 0755 when the owner's x bit is set and 0644 else, folders 0755, all of them root's.

    Raises:
        EnclaverError: it is no zip file, it is damaged or encrypted, a member's path leaves the folder or leads
            through a link, two members are at one path, or a member is neither file, folder nor link.
    """
    tree = Tree()
    with archive_errors(path, "zip"), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            tree.add(_entry(archive, member, spool, origin))
        tree.ensure_parents(origin=origin)
    return tree


def _entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo, spool: Spool, origin: str) -> Entry:
    name = _name(member)
    mode = member.external_attr >> 16
    # Archivers that know no modes leave them 0; one with permission bits alone is a file's.
    kind = stat.S_IFMT(mode) or (stat.S_IFDIR if member.is_dir() else stat.S_IFREG)
    place = printable(name)
    if "\0" in name:
        raise EnclaverError("the member's name holds a NUL", place=place, cure=REMAKE)
    if member.flag_bits & _ENCRYPTED:
        raise EnclaverError("the member is encrypted", place=place, cure="Make the archive without a password.")
    if member.is_dir():
        return Entry(name.removesuffix("/"), Kind.DIRECTORY, 0o755, origin=origin)
    if kind not in (stat.S_IFREG, stat.S_IFLNK):
        raise EnclaverError("neither a file, a folder nor a link", place=place, cure="Leave it out of the archive.")
    with archive.open(member) as source:
        if kind == stat.S_IFLNK:
            target = path_text(source.read(PATH_MAX))
            return Entry(name, Kind.SYMLINK, 0o777, target=target, origin=origin)
        try:
            content = spool.add(source, member.file_size)
        except EnclaverError as error:
            error.place = error.place or place
            raise
    return Entry(name, Kind.FILE, 0o755 if mode & stat.S_IXUSR else 0o644, content=content, origin=origin)


def _name(member: zipfile.ZipInfo) -> str:
    """Return a member's name by its bytes in the archive: what is not marked as UTF-8 zipfile takes for code page 437.

    On Linux, names are bytes; so whoever zipped a file and whoever unzips it see the same one.
    """
    return path_text(member.orig_filename.encode("utf-8" if member.flag_bits & _UTF_8 else "cp437"))
