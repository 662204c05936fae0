"""One entry of a root file system: what it is, who owns it, where its bytes lie and what brought it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Protocol

from enclaver.core.errors import EnclaverError

# Linux's own limits (include/uapi/linux/limits.h); both are in bytes and PATH_MAX counts the final NUL.
NAME_MAX = 255
PATH_MAX = 4096
CHUNK = 1 << 20
#: The origin of what the build itself adds.
ORIGIN = "enclaver"


class Kind(Enum):
    """What an entry is; a hard link is a FILE whose ``hardlink_to`` is set."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    CHARACTER_DEVICE = "device"


class Source(Protocol):
    """Bytes in order, as a raw file gives them."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill a buffer's beginning; return with how many bytes, 0 at the end. Raises OSError, EnclaverError."""


class Readable(Protocol):
    """What can be read from its beginning, once or again, and says how long it is."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def opened(self) -> AbstractContextManager[Source]:
        """Open it at its beginning. The source may have more than ``size`` bytes to give: the rest isn't its."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """Content that lies in a file: ``size`` bytes from ``offset`` on.

    ``sha256`` (hex) is its digest, where somebody knows it who has made sure of it.
    """

    path: Path
    offset: int
    size: int
    sha256: str | None = field(default=None, compare=False)

    @contextmanager
    def opened(self) -> Iterator[Source]:
        """Open the file where the content begins; an OSError becomes an EnclaverError that names it."""
        try:
            with self.path.open("rb", buffering=0) as source:
                source.seek(self.offset)
                yield source
        except OSError as error:
            raise EnclaverError(f"cannot read: {error.strerror}", file=str(self.path)) from error

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes in order through one reused buffer: use a chunk before asking for the next.

        Raises:
            EnclaverError: the file can't be read or ends too early.
        """
        left = self.size
        if not left:
            return
        buffer = memoryview(bytearray(min(CHUNK, left)))
        with self.opened() as source:
            while left:
                count = source.readinto(buffer[: min(left, len(buffer))])
                if not count:
                    raise too_short(self.path, left)
                yield buffer[:count]
                left -= count

    def head(self, size: int) -> bytes:
        """Return its first ``size`` bytes, all of them if there are fewer; no more than that is read."""
        return b"".join(bytes(chunk) for chunk in replace(self, size=min(size, self.size)).chunks())


@dataclass(frozen=True, slots=True)
class InlineContent:
    """Content that lies in memory, for the few small files the build makes itself."""

    data: bytes

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes, as FileContent.chunks does."""
        if self.data:
            yield memoryview(self.data)

    def head(self, size: int) -> bytes:
        """Return its first ``size`` bytes, as FileContent.head does."""
        return self.data[:size]

    @contextmanager
    def opened(self) -> Iterator[Source]:
        """Open it, as FileContent.opened does."""
        yield BytesIO(self.data)


Content = FileContent | InlineContent


def too_short(path: Path, missing: int) -> EnclaverError:
    """Return the error for a file that has ended before its content did."""
    return EnclaverError(
        f"the file ends {missing} bytes too early; it changed since it was read first",
        file=str(path),
        cure="Build again while nothing writes to it.",
    )


def content_sha256(content: Content) -> str:
    """Return the SHA-256 of a content, in hexadecimal."""
    digest = sha256()
    for chunk in content.chunks():
        digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree.

    Args:
        path: relative, '/'-separated, no '', '.' or '..' parts; bytes that aren't UTF-8 as surrogateescape.
        kind: what it is.
        mode: permission bits with setuid, setgid and sticky; a symlink's is always 0777, as Linux has it.
        uid, gid: numeric owners.
        content: a FILE's bytes; None for everything else, and for a hard link.
        target: a SYMLINK's target.
        device: a CHARACTER_DEVICE's major and minor.
        hardlink_to: path of the FILE whose content, mode and owners this FILE shares.
        origin: what brought it: ``deb:NAME=VERSION``, ``wheel:NAME-VERSION``, ``target://ADDRESS`` or
            ``enclaver``.

    Raises:
        EnclaverError: a field that doesn't fit the kind, or that a Linux file system cannot hold.
    """

    path: str
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    content: Content | None = None
    target: str | None = None
    device: tuple[int, int] | None = None
    hardlink_to: str | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        check_path(self.path)
        if self.kind is Kind.SYMLINK:
            object.__setattr__(self, "mode", 0o777)  # Linux ignores a symlink's mode; one value for all.
        if problem := self._problem():
            raise EnclaverError(problem, place=printable(self.path))

    def _problem(self) -> str | None:
        if not 0 <= self.mode <= 0o7777:
            return f"the mode {self.mode:#o} is more than permission bits"
        if not (0 <= self.uid < 0xFFFFFFFF and 0 <= self.gid < 0xFFFFFFFF):
            return f"the owner {self.uid}:{self.gid} is out of range"
        bodies = (self.content is not None) + (self.hardlink_to is not None)
        if bodies != (self.kind is Kind.FILE):
            return "a file needs either content or a link, and nothing else has any"
        if (self.target is None) is (self.kind is Kind.SYMLINK):
            return "a symlink, and nothing else, needs a target"
        if (self.device is None) is (self.kind is Kind.CHARACTER_DEVICE):
            return "a device, and nothing else, needs a major and a minor number"
        if self.target is not None:
            raw = path_bytes(self.target)
            if not raw or b"\0" in raw or len(raw) >= PATH_MAX:
                return "the symlink's target is empty, too long or has a NUL"
        if self.device is not None and not all(0 <= number < 1 << 20 for number in self.device):
            return f"the device numbers {self.device} are out of range"
        if self.hardlink_to is not None:
            check_path(self.hardlink_to)
            if self.hardlink_to == self.path:
                return "a hard link to itself"
        return None

    @property
    def parent(self) -> str:
        """The path of the folder it lies in; '' for the root."""
        return self.path.rpartition("/")[0]


def path_bytes(path: str) -> bytes:
    """Return a path's bytes as they lie in the image, whatever the locale says."""
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise EnclaverError("a path or a link target is not text", place=printable(path)) from error


def path_text(raw: bytes) -> str:
    """Return the text of path bytes: the inverse of path_bytes."""
    return raw.decode("utf-8", "surrogateescape")


def printable(path: str) -> str:
    """Return a path in a form that any terminal and any log can show."""
    return path.encode("utf-8", "backslashreplace").decode() if path.isprintable() else ascii(path)[1:-1]


def check_path(path: str) -> None:
    """Refuse a path that isn't a clean relative one, or that Linux could not create."""
    raw = path_bytes(path)
    parts = raw.split(b"/")
    if b"" in parts or b"." in parts or b".." in parts or b"\0" in raw:
        raise EnclaverError(
            "a path in an image must be relative, without empty, '.' or '..' parts",
            place=printable(path) or "''",
        )
    if len(raw) >= PATH_MAX or max(map(len, parts)) > NAME_MAX:
        raise EnclaverError(
            f"the path is too long: {PATH_MAX - 1} bytes in all and {NAME_MAX} a part are Linux's limits",
            place=printable(path[:100]) + "...",
        )
