"""The one pass over an image's sections that yields CRC, registers and digests, and copies if asked to.

PCR1's content is a prefix of PCR0's, so one SHA-384 stream serves both: its state is copied after the first
ramdisk. PCR2's content starts with the second ramdisk, so its stream gives that ramdisk's own digest too.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256, sha384
from typing import BinaryIO

from enclaver.core.eif.fanout import Fanout, Sink
from enclaver.core.eif.format import SectionType
from enclaver.core.pcr.measure import Measurements, extend_zero
from enclaver.core.rootfs.entry import Readable


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the file: a section's data when ``section`` is set, else a section's header."""

    content: Readable
    section: SectionType | None = None


@dataclass(frozen=True, slots=True)
class Digests:
    """One ramdisk's size in bytes and digests in hexadecimal."""

    size: int
    sha256: str
    sha384: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a pass found. ``ramdisks`` is empty unless digests were asked for."""

    crc: int
    measurements: Measurements
    ramdisks: tuple[Digests, ...]


def sweep(pieces: Sequence[Piece], *, crc: int = 0, out: BinaryIO | None = None, digests: bool = False) -> Sweep:
    """Read the pieces once, in order; kernel and command line come before the ramdisks.

    Args:
        pieces: everything behind the file's header.
        crc: the CRC-32 of the header without its last four bytes, to go on from.
        out: gets all pieces' bytes.
        digests: also digest each ramdisk by itself.

    Raises:
        EnclaverError: a piece can't be read. An error of ``out`` comes through as it is.
    """
    with Fanout() as fanout:
        hashes = _Hashes(fanout, crc, digests)
        writer = [] if out is None else [fanout.sink(out.write)]
        for piece in pieces:
            fanout.feed(piece.content, writer + hashes.sinks(piece.section))
            if piece.section is SectionType.RAMDISK:
                hashes.end_ramdisk()
    sizes = [piece.content.size for piece in pieces if piece.section is SectionType.RAMDISK]
    return hashes.result(sizes if digests else [])


class _Hashes:
    """All hash states of a pass; each is touched only by its own sink's thread until the pass is over."""

    def __init__(self, fanout: Fanout, crc: int, digests: bool) -> None:
        self.crc = crc
        self.image, self.app = sha384(), sha384()
        self.boot = self.image  # Until the first ramdisk is through and the state is copied.
        self.alone256, self.alone384 = sha256(), sha384()
        self.digests256: dict[int, str] = {}
        self.digests384: dict[int, str] = {}
        self.ramdisk = 0
        self.crc_sink = fanout.sink(self._update_crc)
        self.image_sink = fanout.sink(self.image.update)
        self.app_sink = fanout.sink(self.app.update)
        self.alone: tuple[Sink, Sink] | None = None
        if digests:
            self.alone = (
                fanout.sink(lambda chunk: self.alone256.update(chunk)),
                fanout.sink(lambda chunk: self.alone384.update(chunk)),
            )

    def sinks(self, section: SectionType | None) -> list[Sink]:
        """Return the sinks that want a piece."""
        sinks = [self.crc_sink]
        if section in (SectionType.KERNEL, SectionType.CMDLINE, SectionType.RAMDISK):
            sinks.append(self.image_sink)
        if section is not SectionType.RAMDISK:
            return sinks
        if self.ramdisk > 0:
            sinks.append(self.app_sink)
        if self.alone:
            sinks.append(self.alone[0])
            if self.ramdisk != 1:  # The app's stream is that ramdisk's alone so far.
                sinks.append(self.alone[1])
        return sinks

    def end_ramdisk(self) -> None:
        """Note the states at the end of a ramdisk, each in its sink's own thread."""
        number = self.ramdisk
        self.ramdisk += 1
        if number == 0:
            self.image_sink.call(self._end_boot)
        if self.alone:
            self.alone[0].call(partial(self._end_256, number))
            if number == 1:
                self.app_sink.call(self._end_first_app)
            else:
                self.alone[1].call(partial(self._end_384, number))

    def result(self, sizes: Sequence[int]) -> Sweep:
        """Return what was found, once all sinks are done."""
        streams = (self.image, self.boot, self.app)
        pcrs = [extend_zero(stream.digest()) for stream in streams]
        ramdisks = (
            Digests(size, self.digests256[number], self.digests384[number]) for number, size in enumerate(sizes)
        )
        return Sweep(self.crc, Measurements(*pcrs), tuple(ramdisks))

    def _update_crc(self, chunk: memoryview) -> None:
        self.crc = zlib.crc32(chunk, self.crc)

    def _end_boot(self) -> None:
        self.boot = self.image.copy()

    def _end_first_app(self) -> None:
        self.digests384[1] = self.app.hexdigest()

    def _end_256(self, number: int) -> None:
        self.digests256[number] = self.alone256.hexdigest()
        self.alone256 = sha256()

    def _end_384(self, number: int) -> None:
        self.digests384[number] = self.alone384.hexdigest()
        self.alone384 = sha384()
