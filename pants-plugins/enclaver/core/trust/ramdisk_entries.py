"""What lies in a ramdisk that another tool wrote, entry by entry, held against what that tool was given.

The source of what linuxkit does with an image's root is its src/cmd/linuxkit/moby/build/image.go and initrd/initrd.go.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Mapping, Sequence
from typing import Any, Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import cpio_scan
from enclaver.core.rootfs.cpio_scan import Scanned
from enclaver.core.rootfs.entry import FileContent, content_sha256, path_bytes, path_text, printable

_TYPES: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
}
#: What a docker daemon lays over an image's root; linuxkit leaves it out, or puts its own in its place.
DAEMONS_OWN: Final = frozenset(
    {"Dockerfile", "dev/console", "dev/pts", "dev/shm", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"}
)
# Folders of the root that nitro-cli asks for itself, with a mode of its own; AWS's init mounts on all but one of them.
_NITRO_CLIS_OWN: Final = frozenset({"dev", "proc", "run", "sys", "tmp", "var"})
# For an error's message.
_SHOWN: Final = 3


def entries(ramdisk: FileContent, *, origins: Mapping[str, str], other: str) -> list[dict[str, Any]]:
    """Return what is there when Linux has unpacked a ramdisk, as JSON objects like ``materials.entries_json``'s.

    Args:
        ramdisk: the archive.
        origins: what brought an entry, by its path in the ramdisk.
        other: what brought all others.

    Raises:
        EnclaverError: the ramdisk is no plain newc archive, or holds what has no place in one.
    """
    found = cpio_scan.unpacked(ramdisk)
    return [_entry(found[path], origins.get(path, other)) for path in sorted(found, key=path_bytes)]


def _entry(entry: Scanned, origin: str) -> dict[str, Any]:
    kind = _TYPES.get(stat.S_IFMT(entry.mode))
    if kind is None or (entry.is_file and entry.links > 1):
        # Which name of a hard-linked file has the content is not the same in all tools.
        raise EnclaverError("is a hard link or of a kind that is not known", place=printable(entry.path))
    plain: dict[str, Any] = {"path": entry.path, "type": kind, "uid": entry.uid, "gid": entry.gid, "origin": origin}
    if kind == "symlink":
        return {**plain, "target": path_text(b"".join(bytes(chunk) for chunk in entry.content.chunks()))}
    plain["mode"] = f"{stat.S_IMODE(entry.mode):04o}"
    if kind == "file":
        return {**plain, "size": entry.content.size, "sha256": content_sha256(entry.content)}
    if kind in ("device", "block device"):
        plain["device"] = list(entry.device)
    return plain


def check_kept(found: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]], prefix: str) -> None:
    """Refuse a ramdisk that has lost or changed what was given: whatever else it measures, it isn't that image.

    linuxkit has no hard links: of names of one content, the one that the daemon gives it first keeps it, and the others
    become relative symlinks to that one.

    Args:
        found: the ramdisk's entries, as ``entries`` returns them.
        given: those of the image, as ``materials.entries_json`` returns them.
        prefix: the folder of the ramdisk that the image's root is.

    Raises:
        EnclaverError: names the first paths.
    """
    there = {entry["path"]: entry for entry in found}
    contents = {record["path"]: record for record in given}
    linked = {record["target"] for record in given if record["type"] == "hardlink"}

    def is_kept(record: Mapping[str, Any]) -> bool:
        entry = there.get(f"{prefix}/{record['path']}")
        content = contents[record["target"]] if record["type"] == "hardlink" else record
        return _same(entry, content) or (content["path"] in linked and _same(_led_to(entry, there), content))

    lost = [record["path"] for record in given if record["path"] not in DAEMONS_OWN and not is_kept(record)]
    if lost:
        shown = ", ".join(printable(path) for path in lost[:_SHOWN])
        raise EnclaverError(
            f"of what the image was to hold, {len(lost)} entries are missing or others: {shown}",
            cure="Look at what linuxkit, in the blobs folder, makes of a docker image: it is not AWS's, or a new one.",
        )


def _led_to(entry: Mapping[str, Any] | None, there: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return what a symlink leads to, in one step; any other entry as it is."""
    if entry is None or entry["type"] != "symlink":
        return entry
    return there.get(posixpath.normpath(posixpath.join(posixpath.dirname(entry["path"]), entry["target"])))


def _same(found: Mapping[str, Any] | None, given: Mapping[str, Any]) -> bool:
    if found is None:
        return False
    if given["path"] in _NITRO_CLIS_OWN:
        return bool(found["type"] == given["type"])
    # A record without a digest is of a file that nobody has read yet.
    told = {key: value for key, value in given.items() if key not in ("path", "origin")}
    return all(found.get(key) == value for key, value in told.items())
