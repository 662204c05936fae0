"""What an image is made of, as JSON: every input by its hash, every entry by its content and its origin.

The formats are described in docs/formats.md. All JSON is canonical, so that equal images have equal reports.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import cpio, cpio_writer
from enclaver.core.rootfs.tree import Entry, Kind, Tree, printable

VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Input:
    """One pinned thing that went into an image.

    Args:
        kind: ``deb``, ``wheel``, ``target``, ``kernel``, ``source`` and alike.
        name: its name among its kind.
        sha256: hex digest of its bytes.
        size: in bytes.
        version: where its kind has versions.
    """

    kind: str
    name: str
    sha256: str
    size: int
    version: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return its JSON object."""
        plain = {"kind": self.kind, "name": self.name, "sha256": self.sha256, "size": self.size}
        return plain if self.version is None else {**plain, "version": self.version}


@dataclass(frozen=True, slots=True)
class RamdiskMaterial:
    """One ramdisk of a finished image: its name, size, digests (hex) and entries (as ``entries_json``)."""

    name: str
    size: int
    sha256: str
    sha384: str
    entries: Sequence[Mapping[str, Any]]


def canonical_json(value: object) -> bytes:
    """Render JSON the one way: sorted keys, no spaces, ASCII, one trailing newline."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def entries_json(tree: Tree, digests: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a tree's entries as JSON objects, sorted by path bytes.

    Of hard links the first path is the file and the others name it, whichever of them the tree gave the
    content.

    Args:
        tree: the entries.
        digests: SHA-256 (hex) of each file's content by path, as ``cpio.write`` reports them; files that
            aren't in it get none.
    """
    first = {path: names[0] for names in tree.names().values() for path in names}
    return [_entry_json(tree, entry, first.get(entry.path, entry.path), digests) for entry in tree]


def _entry_json(tree: Tree, entry: Entry, owner: str, digests: Mapping[str, str]) -> dict[str, Any]:
    if owner != entry.path:
        return {"path": entry.path, "type": "hardlink", "target": owner, "origin": entry.origin}
    holder = tree.inode(entry)
    plain = {"path": entry.path, "type": entry.kind.value, "uid": holder.uid, "gid": holder.gid}
    plain["origin"] = entry.origin
    if entry.kind is Kind.SYMLINK:
        return {**plain, "target": entry.target}
    plain["mode"] = f"{holder.mode:04o}"
    if entry.device is not None:
        return {**plain, "device": list(entry.device)}
    if entry.kind is Kind.FILE:
        plain["size"] = tree.content(entry).size
        if entry.path in digests:
            plain["sha256"] = digests[entry.path]
    return plain


def write_tree(tree: Tree, inputs: Iterable[Input], archive: BinaryIO, entries: BinaryIO) -> None:
    """Write a tree as an archive and the JSON that says where its entries come from.

    Raises:
        EnclaverError: as ``cpio.write``.
    """
    report = cpio_writer.write(tree, archive)
    entries.write(render_entries(inputs, entries_json(tree, report.digests)))


def render_entries(inputs: Iterable[Input], records: Sequence[Mapping[str, Any]]) -> bytes:
    """Render the JSON that says where entries come from: ``records`` as ``entries_json`` returns them."""
    return canonical_json({"version": VERSION, "inputs": inputs_json(inputs), "entries": list(records)})


def save_tree(tree: Tree, inputs: Iterable[Input], archive: Path, entries: Path) -> None:
    """Write a tree to two files, as ``write_tree``; an error leaves neither.

    Raises:
        EnclaverError: as ``cpio.write``, or a file can't be written.
    """
    try:
        with archive.open("wb") as archive_file, entries.open("wb") as entries_file:
            write_tree(tree, inputs, archive_file, entries_file)
    except BaseException as error:
        archive.unlink(missing_ok=True)
        entries.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise EnclaverError(f"cannot write: {error.strerror}", file=str(archive)) from error
        raise


def load_tree(archive: Path, entries: Path) -> tuple[Tree, list[Input]]:
    """Read what ``save_tree`` wrote: the tree, its contents as slices of the archive, and its inputs.

    Raises:
        EnclaverError: a file can't be read, isn't of this format, or the two don't describe the same tree.
    """
    tree, inputs, records = _load(archive, entries)
    origins = {record["path"]: record["origin"] for record in records}
    return Tree(replace(entry, origin=origins[entry.path]) for entry in tree), inputs


def load_records(archive: Path, entries: Path) -> tuple[list[Input], list[dict[str, Any]]]:
    """Read the inputs and the entries' JSON objects of what ``save_tree`` wrote, held against the archive.

    Raises:
        EnclaverError: as ``load_tree``.
    """
    _, inputs, records = _load(archive, entries)
    return inputs, records


def _load(archive: Path, entries: Path) -> tuple[Tree, list[Input], list[dict[str, Any]]]:
    tree = cpio.read(archive)
    inputs, records = load_entries(entries)
    # The archive is what counts; the JSON has to agree with it on all that both of them say.
    expected = [{**record, "origin": ""} for record in entries_json(tree, {})]
    claimed = [{**record, "origin": ""} for record in records]
    for record in claimed:
        record.pop("sha256", None)
    if expected != claimed:
        differing = [one["path"] for one, other in zip(expected, claimed, strict=False) if one != other]
        raise EnclaverError(
            f"does not describe {archive.name}",
            file=str(entries),
            place=printable(differing[0]) if differing else f"{len(claimed)} entries, not {len(expected)}",
            cure="Make the two anew, together.",
        )
    return tree, inputs, records


def load_entries(path: Path) -> tuple[list[Input], list[dict[str, Any]]]:
    """Read the JSON that says where entries come from, alone: its inputs and its entries' JSON objects.

    Raises:
        EnclaverError: it can't be read or isn't of this format.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise EnclaverError(f"cannot read: {error.strerror}", file=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise EnclaverError("is not JSON", file=str(path), cure="Make it anew.") from error
    wrong = EnclaverError("is not a list of entries of this version", file=str(path), cure="Make it anew.")
    if not isinstance(document, dict) or set(document) != {"version", "inputs", "entries"}:
        raise wrong
    inputs, records = document["inputs"], document["entries"]
    if document["version"] != VERSION or not isinstance(inputs, list) or not isinstance(records, list):
        raise wrong
    if not all(
        isinstance(record, dict) and isinstance(record.get("path"), str) and isinstance(record.get("origin"), str)
        for record in records
    ):
        raise wrong
    return [input_from_json(item, str(path)) for item in inputs], records


def input_from_json(item: object, file: str) -> Input:
    """Return the Input of a JSON object.

    Raises:
        EnclaverError: a key is missing, unknown or of another type; ``file`` is named.
    """
    wrong = EnclaverError("an input is not described as it must be", file=file, place=str(item)[:200])
    if not isinstance(item, dict) or not set(item) <= {"kind", "name", "sha256", "size", "version"}:
        raise wrong
    kind, name, sha256, size = (item.get(key) for key in ("kind", "name", "sha256", "size"))
    version = item.get("version")
    if not (isinstance(kind, str) and isinstance(name, str) and isinstance(sha256, str)):
        raise wrong
    if not _SHA256.match(sha256) or type(size) is not int or not isinstance(version, str | None):
        raise wrong
    return Input(kind, name, sha256, size, version)


def inputs_json(inputs: Iterable[Input]) -> list[dict[str, Any]]:
    """Return inputs as JSON objects, each once, sorted by kind, name, version and digest."""
    order = sorted(set(inputs), key=lambda item: (item.kind, item.name, item.version or "", item.sha256))
    return [item.as_json() for item in order]


def materials_json(
    *,
    architecture: str,
    cmdline: str,
    inputs: Iterable[Input],
    ramdisks: Sequence[RamdiskMaterial],
    eif_sha256: str,
    eif_size: int,
    measurements: Mapping[str, str],
) -> bytes:
    """Render the materials of a finished image, canonical.

    Args:
        architecture: ``x86_64`` or ``aarch64``.
        cmdline: the kernel's command line.
        inputs: everything pinned that went in, of all ramdisks and the kernel.
        ramdisks: in the image's order.
        eif_sha256, eif_size: of the image file.
        measurements: hex by register name, as ``Measurements.registers``.
    """
    return canonical_json(
        {
            "version": VERSION,
            "architecture": architecture,
            "cmdline": cmdline,
            "inputs": inputs_json(inputs),
            "ramdisks": [
                {
                    "name": ramdisk.name,
                    "size": ramdisk.size,
                    "sha256": ramdisk.sha256,
                    "sha384": ramdisk.sha384,
                    "entries": list(ramdisk.entries),
                }
                for ramdisk in ramdisks
            ],
            "eif": {"sha256": eif_sha256, "size": eif_size},
            "measurements": dict(measurements),
        }
    )
