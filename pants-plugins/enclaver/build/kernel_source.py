"""Fetch the package that a kernel is built from, verified by its hash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from enclaver.build import debian
from enclaver.core.kernel import source_lock


def fetch(
    *, lock: Path, output: Path, cache: Path, mirrors: Sequence[str] = (), progress: Callable[[str], None]
) -> Path:
    """Fetch the source package of a kernel's source lock into a folder and return where it lies.

    Raises:
        EnclaverError: the lock is not one, or no mirror has the package as the lock describes it.
    """
    package = source_lock.load(lock).package
    (path,) = debian.fetch_packages([package], output=output, cache=cache, mirrors=mirrors, progress=progress)
    return path
