"""An image's files by name, whether they lie in a folder or in a tar file."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from enclaver.core.errors import EnclaverError, in_file
from enclaver.core.oci import compression, limits
from enclaver.core.oci.compression import Compression
from enclaver.core.oci.stream import Slice
from enclaver.core.oci.tar_members import MemberKind, members
from enclaver.core.rootfs.entry import FileContent, printable
from enclaver.core.rootfs.regular import whole
from enclaver.core.rootfs.spool import Spool

# docker save wrote a layer that two images share once, and links to it. Nobody wrote links to links to links.
_LINKS: Final = 8
#: What a compressed archive unpacks to, in the work folder.
SPOOL: Final = "archive"


class Files(Protocol):
    """Files by relative name, as the image's documents spell them."""

    def find(self, name: str) -> FileContent | None:
        """Return a file's content, or None. Raises EnclaverError when it can't be read."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of an OCI layout's folder."""

    path: Path

    def find(self, name: str) -> FileContent | None:
        """Return a file's content; names are those that the spec fixes, or digests."""
        path = self.path / name
        return whole(path) if path.exists() else None


class Archive:
    """The files of a tar file, as slices of it."""

    def __init__(self, content: FileContent) -> None:
        self._files: dict[str, FileContent] = {}
        self._links: dict[str, str] = {}
        budget = limits.Budget()
        for member in members(Slice(content)):
            budget.take_entry(member.text_size)
            name = _clean(member.name, "")
            if member.kind is MemberKind.DIRECTORY:
                continue
            if name in self._files or name in self._links:
                raise EnclaverError("is in the archive twice", place=printable(name), cure="Save the image again.")
            if member.kind is MemberKind.FILE:
                if member.size > content.size - member.offset:
                    raise EnclaverError("the archive ends within it", place=printable(name), cure="Save it again.")
                self._files[name] = FileContent(content.path, content.offset + member.offset, member.size)
            else:
                folder = posixpath.dirname(name) if member.kind is MemberKind.SYMLINK else ""
                self._links[name] = _clean(member.link, folder)

    def find(self, name: str) -> FileContent | None:
        """Return a file's content, following links within the archive."""
        clean = _clean(name, "")
        for _ in range(_LINKS):
            if clean not in self._links:
                return self._files.get(clean)
            clean = self._links[clean]
        raise EnclaverError("is a link to a link, over and over", place=printable(name))


@contextmanager
def opened(path: Path, work: Path) -> Iterator[Files]:
    """Yield the files of an image; the errors of what is read from them meanwhile name ``path``.

    Args:
        path: an OCI layout's folder, or a tar file, plain or compressed by gzip or zstd.
        work: a folder for what a compressed one unpacks to.

    Raises:
        EnclaverError: it is neither.
    """
    with in_file(path):
        if path.is_dir():
            yield Folder(path)
            return
        yield Archive(_plain(path, work))


def _plain(path: Path, work: Path) -> FileContent:
    content = whole(path)
    kind = compression.detect(content)
    if kind is Compression.NONE:
        return content
    with Spool(work / SPOOL) as spool:
        for chunk in compression.unpacked(content, kind, lambda _chunk: None):
            spool.append(chunk)
        return spool.whole()


def _clean(name: str, folder: str) -> str:
    """Return a path in the archive, from its root on. Raises EnclaverError for one that leaves it."""
    path = posixpath.normpath(posixpath.join(folder, name))
    if path.startswith("/") or path.split("/")[0] == "..":
        raise EnclaverError("leads out of the archive", place=printable(name))
    return path
