"""Pure Python wheels laid into one folder, as PYTHONPATH wants them.

Source: the wheel format, packaging.python.org, "Binary distribution format" (version 1.0).
"""

from __future__ import annotations

import email
from dataclasses import replace
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError, in_file
from enclaver.core.rootfs import elf, zipped
from enclaver.core.rootfs.entry import Entry, Kind
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree

# RECORD lists hashes of what an installer would write; nothing in an enclave reads it.
_DROPPED: Final = ("RECORD", "RECORD.jws", "RECORD.p7s")
# The folders of NAME.data that are importable; the others hold scripts, headers and data of the machine.
_IMPORTED: Final = ("purelib", "platlib")
# WHEEL is a handful of lines.
_MOST_METADATA: Final = 1 << 16
_PURE: Final = "Pin a release that has a pure Python wheel (py3-none-any)."


def identity(path: Path) -> tuple[str, str]:
    """Return distribution and version of a wheel, from its file's name.

    Raises:
        EnclaverError: it is no wheel's name, or that of one for some machines only.
    """
    parts = path.name.removesuffix(".whl").split("-")
    if path.suffix != ".whl" or len(parts) not in (5, 6):
        raise EnclaverError(
            "the file's name is no wheel's", file=str(path), cure="Name it as it was named on the package index."
        )
    if parts[-2:] != ["none", "any"]:
        raise EnclaverError("the wheel is not for every machine", file=str(path), cure=_PURE)
    return parts[0], parts[1]


def read(path: Path, spool: Spool) -> Tree:
    """Read a wheel's importable files; contents go to the spool.

    Raises:
        EnclaverError: it is no wheel, or it is not pure Python: the boot ramdisk is the same for every machine.
    """
    name, version = identity(path)
    unpacked = zipped.read(path, spool, origin=f"wheel:{name}-{version}")
    info, data = f"{name}-{version}.dist-info", f"{name}-{version}.data"
    tree = Tree()
    with in_file(path):
        _check(unpacked, f"{info}/WHEEL")
        for entry in unpacked:
            top, _, below = entry.path.partition("/")
            if top == info and below in _DROPPED:
                continue
            if top != data:
                tree.add(_plain(entry))
                continue
            scheme, _, inside = below.partition("/")
            if scheme in _IMPORTED and inside:
                tree.add(_plain(replace(entry, path=inside)))
    return tree


def _check(unpacked: Tree, place: str) -> None:
    marker = unpacked.get(place)
    if marker is None or marker.content is None:
        raise EnclaverError(f"no wheel: it has no {place}", cure="Fetch it again.")
    fields = email.message_from_bytes(marker.content.head(_MOST_METADATA))
    # A field that is not ASCII is no str but a Header.
    version, pure = (str(fields.get(key, "")) for key in ("Wheel-Version", "Root-Is-Purelib"))
    if not version.startswith("1."):
        raise EnclaverError(
            f"a wheel of version {version or 'none'}, not 1", place=place, cure="Pin another release of it."
        )
    if pure.lower() != "true":
        raise EnclaverError("the wheel holds compiled code", place=place, cure=_PURE)


def _plain(entry: Entry) -> Entry:
    """Return an entry as it is imported: whatever mode the wheel was zipped with, it is never executed."""
    if entry.kind is Kind.DIRECTORY:
        return entry
    if entry.content is None:
        raise EnclaverError("the wheel holds a link", place=entry.path, cure="Pin another release of it.")
    if machine := elf.machine(entry.content.head(elf.HEADER_SIZE)):
        raise EnclaverError(
            f"the wheel says that it is pure and holds code for {machine}", place=entry.path, cure=_PURE
        )
    return replace(entry, mode=0o644)
