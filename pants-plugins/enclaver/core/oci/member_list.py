"""A layer's members as JSON, kept beside the layer that was unpacked: its headers are parsed once for all builds.

The contents' digests are in it, so that those are taken once, too. Before the JSON stands its own, so that damage does
not go unnoticed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from enclaver.core.oci.tar_members import Member, MemberKind

#: Of the form; a list of another one is as good as none.
VERSION: Final = 1

_KINDS: Final = {kind.value: kind for kind in MemberKind}


def render(members: Sequence[Member]) -> bytes:
    """Return the list of members."""
    rows = [
        (
            *(member.name, member.kind.value, member.mode, member.uid, member.gid),
            *(member.offset, member.size, member.link, member.xattrs, member.sha256),
        )
        for member in members
    ]
    body = json.dumps([VERSION, rows], separators=(",", ":")).encode("ascii")
    return sha256(body).hexdigest().encode("ascii") + b"\n" + body


def parse(data: bytes) -> list[Member] | None:
    """Return the members of a list; None for one that is damaged, or of another version."""
    digest, _, body = data.partition(b"\n")
    if digest != sha256(body).hexdigest().encode("ascii"):
        return None
    try:
        version, rows = json.loads(body)
        if version != VERSION:
            return None
        return [
            Member(name, _KINDS[kind], mode, uid, gid, offset, size, link, tuple(xattrs), content)
            for name, kind, mode, uid, gid, offset, size, link, xattrs, content in rows
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        # Whole, and none all the same: somebody else's.
        return None
