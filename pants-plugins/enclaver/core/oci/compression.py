"""Blobs unpacked as streams of bounded chunks, hashed as they are read.

Source: RFC 1952 (gzip), RFC 8878 (zstd). Both may be several members or frames, one after the other, and zstd's may be
skippable: so eStargz and zstd:chunked layers are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from typing import IO, Final, cast

import zstandard

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import limits
from enclaver.core.rootfs.entry import CHUNK, FileContent


class Compression(Enum):
    """How a blob is packed."""

    NONE = "not compressed"
    GZIP = "gzip"
    ZSTD = "zstd"


_MAGICS: Final = {b"\x1f\x8b": Compression.GZIP, b"\x28\xb5\x2f\xfd": Compression.ZSTD}
# The first of 16 magics of skippable frames.
_SKIPPABLE: Final = 0x184D2A50
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_OTHERS: Final = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}


def detect(blob: FileContent) -> Compression:
    """Return how a blob is packed, by its first bytes.

    Raises:
        EnclaverError: it is packed by bzip2 or xz, which image layers never are, or can't be read.
    """
    head = blob.head(6)
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            raise EnclaverError(f"is compressed by {name}; gzip, zstd and none are known", cure="Unpack it first.")
    if int.from_bytes(head[:4], "little") & ~0xF == _SKIPPABLE:
        return Compression.ZSTD
    return next((kind for magic, kind in _MAGICS.items() if head.startswith(magic)), Compression.NONE)


def unpacked(blob: FileContent, kind: Compression, packed: Callable[[bytes], object]) -> Iterator[bytes]:
    """Yield what a blob unpacks to, in chunks of at most CHUNK bytes.

    Args:
        blob: the packed bytes; read to their end.
        kind: how they are packed.
        packed: called with all of them, in order.

    Raises:
        EnclaverError: it is damaged, cut short, a decompression bomb, or can't be read.
    """
    source = _Source(blob, packed)
    chunks = {Compression.NONE: _plain, Compression.GZIP: _gzip, Compression.ZSTD: _zstd}[kind](source)
    total = 0
    try:
        for chunk in chunks:
            total += len(chunk)
            limits.check_ratio(source.count, total)
            yield chunk
    except (zlib.error, zstandard.ZstdError, EOFError, MemoryError) as error:
        # zlib says "Error -3 while decompressing data: ..."; the end of it is what matters.
        what = str(error).rpartition(": ")[2] or "not enough memory"
        raise EnclaverError(
            f"is no sound {kind.value} file: {what}", cure="The file is damaged. Save or pull the image again."
        ) from error


class _Source:
    """A blob as what is read from."""

    def __init__(self, blob: FileContent, packed: Callable[[bytes], object]) -> None:
        self.count = 0
        self._packed = packed
        self._chunks = blob.chunks()
        self._rest = b""

    def next(self) -> bytes:
        """Return the next chunk, empty at the end."""
        chunk = bytes(next(self._chunks, b""))
        self.count += len(chunk)
        self._packed(chunk)
        return chunk

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes."""
        self._rest = self._rest or self.next()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def _plain(source: _Source) -> Iterator[bytes]:
    while chunk := source.next():
        yield chunk


def _gzip(source: _Source) -> Iterator[bytes]:
    pending = source.next()
    while pending:
        member = zlib.decompressobj(_GZIP_WINDOW)
        while not member.eof:
            if not pending:
                raise EOFError("it ends within its data")
            # The bound on the output is what keeps a bomb's memory small.
            chunk = member.decompress(pending, CHUNK)
            pending = member.unused_data if member.eof else member.unconsumed_tail or source.next()
            if chunk:
                yield chunk
        pending = pending or source.next()


def _zstd(source: _Source) -> Iterator[bytes]:
    frames = zstandard.ZstdDecompressor(max_window_size=limits.WINDOW)
    file = cast(IO[bytes], source)  # It reads, and nothing else.
    with frames.stream_reader(file, read_size=CHUNK, read_across_frames=True, closefd=False) as reader:
        while chunk := reader.read(CHUNK):
            yield chunk
