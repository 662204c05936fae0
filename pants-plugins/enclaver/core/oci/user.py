"""Whom an image's program runs as: names and numbers looked up in the image's own files.

Source: OCI image-spec, config.md, ``User``: ``user``, ``uid``, ``user:group``, ``uid:gid``, ``uid:group``,
``user:gid``; passwd(5) and group(5). Without a group it is the user's own, and 0 for a number that no user has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import lookup
from enclaver.core.rootfs.entry import Kind, path_text
from enclaver.core.rootfs.tree import Tree

_PASSWD: Final = "/etc/passwd"
_GROUP: Final = "/etc/group"
# Real ones have a few hundred lines; more than this is read of none.
_MOST: Final = 4 << 20
_MAX_ID: Final = 2**32 - 2


@dataclass(frozen=True, slots=True)
class User:
    """A user by number, and their home where the image has one for them (else ``/``)."""

    uid: int
    gid: int
    home: str


def resolve(tree: Tree, text: str) -> User:
    """Return whom an image's ``User`` means.

    Raises:
        EnclaverError: a name is not in the image, or a number is out of range.
    """
    user, _, group = text.partition(":")
    uid = _number(user or "0")
    users = list(_lines(tree, _PASSWD, 7))
    # A number is never a name, even where there is one of digits: so engines have it.
    found = [fields for fields in users if (fields[0] == user if uid is None else _number(fields[2]) == uid)]
    home, own = "/", 0
    if found:
        uid, own, home = _number(found[0][2]), _number(found[0][3]) or 0, found[0][5]
    if uid is None:
        raise EnclaverError(
            f"the image runs as the user {user[:100]!a}, whom its {_PASSWD} does not have",
            cure="Add the user to the image, or let its USER be a number.",
        )
    gid = _gid(tree, group) if group else own
    return User(uid, gid, home if home.startswith("/") else "/")


def _gid(tree: Tree, group: str) -> int:
    gid = _number(group)
    if gid is None:
        gid = next((_number(fields[2]) for fields in _lines(tree, _GROUP, 3) if fields[0] == group), None)
    if gid is None:
        raise EnclaverError(
            f"the image runs as the group {group[:100]!a}, which its {_GROUP} does not have",
            cure="Add the group to the image, or let its USER name it by number.",
        )
    return gid


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or int(text) > _MAX_ID:
        return None
    return int(text)


def _lines(tree: Tree, path: str, fields: int) -> Iterator[list[str]]:
    """Yield the lines of a file that have as many fields; a file that is missing has none."""
    entry = lookup.resolve(tree, path)
    if entry is None or entry.kind is not Kind.FILE:
        return
    for line in path_text(tree.content(entry).head(_MOST)).split("\n"):
        parts = line.split(":")
        if len(parts) >= fields and not line.startswith("#"):
            yield parts
