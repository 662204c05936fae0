"""How much an image may unpack to: bounds that real images keep and decompression bombs don't."""

from __future__ import annotations

import threading
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import spool

# deflate cannot shrink anything below 1/1032. A layer of zeros alone comes near it; what a program needs does not.
RATIO: Final = 500
# Whatever is smaller than this when unpacked harms nobody, however small it was before.
HARMLESS: Final = 64 << 20
# Every entry takes memory, and 512 bytes of a layer make one: 16 GiB of them would fill any machine's.
ENTRIES: Final = 1_000_000
#: The names of all members, their links' targets and attributes' names with them, in bytes; and the paths that they
#: come to. A million real ones have 100 MB. All of them are kept in memory, and each may have megabytes.
NAMES: Final = 256 << 20
#: A JSON document of an image: an index, a manifest, a configuration. Registries take 4 MiB.
DOCUMENT: Final = 4 << 20
#: What a pax header or a GNU long name may hold; as Go's archive/tar has it.
EXTENSION: Final = 1 << 20
#: A zstd frame may ask for any window. zstd(1) itself takes this much unless told otherwise.
WINDOW: Final = 128 << 20

_LEAVE_OUT: Final = "Leave out what the enclave does not need, or let the app fetch it when it runs."


class Budget:
    """What all layers of one image may take together. Layers are read by several threads, and so is this used."""

    def __init__(self, *, size: int = spool.LIMIT, entries: int = ENTRIES, names: int = NAMES) -> None:
        self._lock = threading.Lock()
        self._limits = (size, entries)
        self._size = size
        self._entries = entries
        self._names = names

    def take(self, size: int) -> None:
        """Count unpacked bytes. Raises EnclaverError when there were too many."""
        with self._lock:
            self._size -= size
            if self._size < 0:
                raise EnclaverError(
                    f"the image's layers are more than {self._limits[0] >> 20} MiB in all when unpacked",
                    cure=_LEAVE_OUT,
                )

    def take_entry(self, names: int = 0) -> None:
        """Count an entry and its names' length. Raises EnclaverError when there were too many, or too long ones."""
        with self._lock:
            self._entries -= 1
            self._names -= names
            if self._entries < 0:
                raise EnclaverError(
                    f"the image's layers have more than {self._limits[1]} entries in all", cure=_LEAVE_OUT
                )
            if self._names < 0:
                raise EnclaverError("the names in the image's layers are too long in all", cure=_LEAVE_OUT)


def check_ratio(packed: int, unpacked: int) -> None:
    """Refuse a decompression bomb: more than RATIO times what was read for it. Raises EnclaverError."""
    if unpacked > HARMLESS and unpacked > packed * RATIO:
        raise EnclaverError(
            f"{packed} bytes unpack to more than {RATIO} times as many: a decompression bomb",
            cure="If it is none, store the layer without compression.",
        )
