"""A file that a manifest names: one file of the manifest's own folder, or below it.

Whatever an image is made of lies with its manifest, so that the folder can be moved, checked out elsewhere or handed
on, and names nothing of the machine. A name is no pattern, though whoever looks the file up may take it for one.
"""

from __future__ import annotations

from enclaver.core.manifest.problems import TextError, quote

# What means something else to those who look files up: Pants' globs and ignore patterns, and other systems' paths.
_SPECIAL = "*?[]!\\"


def parse_file_path(text: str) -> str:
    """Return a file's path relative to the manifest's folder, without ``.`` and empty parts.

    Raises:
        TextError: the path leads out of the folder, names no file, or has characters that stand for patterns.
    """
    parts = text.split("/")
    if text.startswith("/"):
        raise TextError(f"{quote(text)} is an absolute path", "write the path relative to the manifest's folder")
    if ".." in parts:
        raise TextError(
            f"{quote(text)} leads out of the manifest's folder", "keep the file beside the manifest or below it"
        )
    if found := [character for character in _SPECIAL if character in text]:
        raise TextError(
            f"{quote(text)} has a {quote(found[0])}; this is the name of one file, and no pattern",
            "rename the file, and write its name",
        )
    if parts[-1] in ("", "."):
        raise TextError(f"{quote(text)} names a folder", "write the path of a file")
    return "/".join(part for part in parts if part not in ("", "."))
