"""The wheels that a lock pins, from a folder they were fetched into."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.python import wheel
from enclaver.core.rootfs.entry import content_sha256
from enclaver.core.rootfs.regular import open_regular, whole
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import Input

_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class LockedWheel:
    """A wheel: as an input, and its files, which lie in a spool."""

    described: Input
    tree: Tree


def read(folder: Path, lock: Path, spool: Spool, *, without: frozenset[str] = frozenset()) -> Iterator[LockedWheel]:
    """Read the wheels of a folder, sorted by name, each held against the lock.

    Args:
        folder: holds the wheels, and perhaps other files.
        lock: the requirements with the hashes that they must have.
        spool: gets their files' contents.
        without: names of distributions, as wheels' files spell them, that are left out.

    Raises:
        EnclaverError: there is none, or one is not what the lock says or not pure Python.
    """
    with open_regular(lock) as (file, _):
        allowed = set(_HASH.findall(file.read().decode("ascii", "replace")))
    # The folder's own order is the file system's.
    paths = sorted(folder.glob("*.whl"))
    if not paths:
        raise EnclaverError("holds no wheels", file=str(folder), cure="Fetch those of the lock into it.")
    for path in paths:
        content = whole(path)
        digest = content_sha256(content)
        if digest not in allowed:
            raise EnclaverError(
                f"its sha256 {digest} is not in {lock.name}",
                file=str(path),
                cure="Fetch the wheels again; if it stays, whoever serves them changed one.",
            )
        name, version = wheel.identity(path)
        if name not in without:
            yield LockedWheel(Input("wheel", name, digest, content.size, version), wheel.read(path, spool))
