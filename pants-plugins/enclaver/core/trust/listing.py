"""A folder as one input: the digest of the list of its files, as ``sha256sum`` prints it."""

from __future__ import annotations

from hashlib import sha256

from enclaver.core.rootfs.entry import Kind, content_sha256, path_bytes
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import Input


def folder_input(kind: str, name: str, tree: Tree) -> Input:
    """Return a tree as an input: its size is that of its files, its digest that of ``SHA256  PATH`` lines.

    The lines are sorted by the bytes of the paths. Modes, owners and links aren't in it: the image's entries say them.
    """
    listing = sha256()
    size = 0
    for entry in tree:
        if entry.kind is Kind.FILE:
            content = tree.content(entry)
            listing.update(content_sha256(content).encode() + b"  " + path_bytes(entry.path) + b"\n")
            size += content.size
    return Input(kind, name, listing.hexdigest(), size)
