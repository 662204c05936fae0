"""A .deb as a Tree: its data member unpacked into a spool file, its entries as slices of that file.

Source: deb(5): an ar archive of ``debian-binary``, ``control.tar.*`` and ``data.tar.*``. python-debian reads the
ar; only the data member is of interest, since no maintainer script is ever run. Memory does not grow with the
package.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

import zstandard
from debian.arfile import ArError, ArFile, ArMember

from enclaver.core.debian.lock import Package
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tarred import attributes
from enclaver.core.rootfs.tree import Entry, FileContent, Kind, Tree

CHUNK: Final = 1 << 20
_FORMAT: Final = b"2.0\n"
# What an enclave's file system cannot or must not hold; devices are the runtime's alone.
_REFUSED: Final = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a fifo",
    tarfile.CONTTYPE: "a contiguous file",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


def verify(deb: Path, package: Package) -> None:
    """Refuse a file whose size or sha256 is not the locked one. Raises EnclaverError."""
    try:
        size = deb.stat().st_size
        with deb.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EnclaverError(
            f"the package {package.label} cannot be read: {error.strerror}",
            file=str(deb),
            cure="Fetch the lock's packages into this folder first.",
        ) from error
    if (size, digest) != (package.size, package.sha256):
        raise EnclaverError(
            f"this is not {package.label}: the lock says sha256 {package.sha256} and {package.size} bytes, "
            f"the file has {digest} and {size} bytes",
            file=str(deb),
            cure="Remove the file and fetch it again.",
        )


def unpack_data(deb: Path, out: BinaryIO) -> None:
    """Write the uncompressed data.tar of a .deb to ``out``. Raises EnclaverError."""
    try:
        with deb.open("rb") as file:
            members: list[ArMember] = ArFile(fileobj=file).getmembers()
            names = [str(member.name) for member in members]
            data = [member for member in members if str(member.name).startswith("data.tar")]
            if names[:1] != ["debian-binary"] or members[0].read() != _FORMAT or len(data) != 1:
                raise EnclaverError(
                    f"this is not a Debian package of format 2.0; its members are {', '.join(names) or 'none'}",
                    file=str(deb),
                )
            member = data[0]
            _decompress(cast(BinaryIO, member), str(member.name).removeprefix("data.tar"), out)
    except (ArError, EOFError, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile, ValueError) as error:
        raise EnclaverError(f"the package is damaged: {error}", file=str(deb)) from error
    except OSError as error:
        raise EnclaverError(f"the package cannot be unpacked: {error}", file=str(deb)) from error


def _decompress(member: BinaryIO, extension: str, out: BinaryIO) -> None:
    source: IO[bytes]
    if extension == ".zst":
        _decompress_zstd(member, out)
        return
    if extension == ".xz":
        source = lzma.open(member)  # - it holds nothing but the member.
    elif extension == ".gz":
        source = cast(IO[bytes], gzip.open(member))  # - as above.
    elif extension == "":
        source = member
    else:
        raise ValueError(f"the compression {extension} of its data is not known")
    # ArMember takes a size of 0 for "all", so the length is always given.
    shutil.copyfileobj(source, out, CHUNK)


def _decompress_zstd(member: BinaryIO, out: BinaryIO) -> None:
    # The object form tells whether the last frame ended; the stream reader takes a cut one for a short one.
    pending = member.read(CHUNK)
    while pending:
        frame = zstandard.ZstdDecompressor().decompressobj()
        while not frame.eof:
            if not pending:
                raise EOFError("its zstd data is cut short")
            out.write(frame.decompress(pending))
            pending = frame.unused_data if frame.eof else member.read(CHUNK)
        pending = pending or member.read(CHUNK)


def read_data(tar: Path, *, origin: str, deb: Path) -> Tree:
    """The entries of an uncompressed data.tar; file contents are slices of ``tar``.

    Modes, owners, symlinks and hard links are as in the archive; times are not kept. Devices, fifos, extended
    attributes and paths that leave the archive raise EnclaverError, which names ``deb``.
    """
    tree = Tree()
    try:
        # The encoding is named because Python's default for it is the locale's.
        with tarfile.open(tar, "r:", encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                entry = _entry(member, tar, origin=origin, deb=deb)
                if entry is not None:
                    tree.add(entry, replace=False)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise EnclaverError(f"its data cannot be read: {error}", file=str(deb)) from error
    except EnclaverError as error:
        error.file = error.file or str(deb)
        raise
    return tree


def _entry(member: tarfile.TarInfo, tar: Path, *, origin: str, deb: Path) -> Entry | None:
    path = "/".join(_parts(member.name, deb))
    if not path:
        return None
    refused = _REFUSED.get(member.type)
    if refused is None and member.issparse():
        refused = "a sparse file"
    if refused is None and (found := attributes(member)):
        refused = f"a file with extended attributes ({', '.join(found)})"
    if refused is not None:
        raise EnclaverError(
            f"the package holds {refused}, which an image cannot",
            file=str(deb),
            place=path,
            cure="Leave the package out.",
        )
    mode = member.mode & 0o7777
    if member.isdir():
        return Entry(path, Kind.DIRECTORY, mode, member.uid, member.gid, origin=origin)
    if member.issym():
        target = member.linkname
        return Entry(path, Kind.SYMLINK, 0o777, member.uid, member.gid, target=target, origin=origin)
    if member.islnk():
        link = "/".join(_parts(member.linkname, deb))
        return Entry(path, Kind.FILE, mode, member.uid, member.gid, hardlink_to=link, origin=origin)
    content = FileContent(tar, member.offset_data, member.size)
    return Entry(path, Kind.FILE, mode, member.uid, member.gid, content=content, origin=origin)


def _parts(name: str, deb: Path) -> Iterator[str]:
    """The parts of a name such as ``./usr/bin/x``, which must stay below the archive's root."""
    for part in name.split("/"):
        if part == "..":
            raise EnclaverError(
                "the package has a path that leaves it", file=str(deb), place=name, cure="Leave the package out."
            )
        if part not in ("", "."):
            yield part
