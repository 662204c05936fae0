"""Outputs that appear whole or not at all.

Bytes go to a temporary name beside the output, ``.NAME.XXXXXXXX.enclaver-part``, which is synced and then renamed. An
error leaves nothing behind. A kill may leave the temporary one; it is locked while its writer lives, so the
next run for the same output knows an orphan from a neighbour at work and removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from enclaver.core.errors import EnclaverError

# Modes are set whatever the umask says: who built something must not show in it.
FILE_MODE = 0o644
FOLDER_MODE = 0o755
_SUFFIX = ".enclaver-part"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class _Part:
    """One output at work: where it goes, where its bytes are now, and the locked file they go to."""

    path: Path
    temporary: Path
    file: BinaryIO


@contextmanager
def atomic_output(path: Path) -> Iterator[BinaryIO]:
    """Open an output for writing (and reading back); it takes its place when the block ends without an error.

    Its mode is 0644.

    Raises:
        EnclaverError: the folder can't be written, the disk is full, or no regular file is in its place.
    """
    with atomic_outputs([path]) as (file,):
        yield file


@contextmanager
def atomic_outputs(paths: Sequence[Path]) -> Iterator[list[BinaryIO]]:
    """Open outputs that belong together; they take their places together when the block ends well.

    With more than one, the old ones are removed before the new ones are renamed: a kill between the two
    leaves some of them missing, never files of two builds side by side.

    Raises:
        EnclaverError: as ``atomic_output``.
    """
    parts: list[_Part] = []
    try:
        for path in paths:
            with _explained(path):
                parts.append(_open_part(path))
        with _explained(paths[0], only_full=True):
            yield [part.file for part in parts]
        for part in parts:
            with _explained(part.path):
                part.file.flush()
                os.fchmod(part.file.fileno(), FILE_MODE)
                os.fsync(part.file.fileno())
        _commit(parts)
    finally:
        for part in parts:
            with suppress(OSError):  # The error that matters, if there is one, is already on its way.
                part.file.close()
            part.temporary.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Refuse a place that no output could take, before there is one. Raises EnclaverError, as ``atomic_output``."""
    with _explained(path):
        part = _open_part(path)
        part.file.close()
        part.temporary.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a folder, new or in an empty one's place; the block gets the temporary folder to fill.

    Modes end as 0755 for folders and executable files and 0644 for other files.

    Raises:
        EnclaverError: the place is taken, can't be written, or the disk is full.
    """
    final = path.resolve()
    with _explained(path):
        if os.path.lexists(final) and (not final.is_dir() or any(final.iterdir())):
            raise EnclaverError("is there already", file=str(path), cure="Give a new or an empty folder.")
        _remove_orphans(final)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(final), suffix=_SUFFIX, dir=final.parent))
    lock = os.open(temporary, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _explained(path, only_full=True):
            yield temporary
        with _explained(path):
            _settle(temporary)
            os.rename(temporary, final)
            _sync(final.parent)
    finally:
        os.close(lock)
        shutil.rmtree(temporary, ignore_errors=True)


def _open_part(path: Path) -> _Part:
    if path.exists() and not path.is_file():
        raise EnclaverError("is there and is no regular file", file=str(path), cure="Give another output path.")
    _remove_orphans(path)
    while True:
        number, name = tempfile.mkstemp(prefix=_prefix(path), suffix=_SUFFIX, dir=path.parent)
        fcntl.flock(number, fcntl.LOCK_EX)
        if os.fstat(number).st_nlink:
            return _Part(path, Path(name), os.fdopen(number, "w+b"))
        os.close(number)  # A neighbour took it for an orphan in the instant before it was locked.


def _commit(parts: Sequence[_Part]) -> None:
    """Rename all parts; when one fails, none is left in its place."""
    placed: list[Path] = []
    try:
        if len(parts) > 1:
            for part in parts:
                with _explained(part.path):
                    part.path.unlink(missing_ok=True)
        for part in parts:
            with _explained(part.path):
                os.replace(part.temporary, part.path)
                placed.append(part.path)
                _sync(part.path.parent)
    except BaseException:
        for path in placed:
            path.unlink(missing_ok=True)
        raise


def _settle(folder: Path) -> None:
    """Set the modes of a finished folder and see its bytes to the disk."""
    for root, _, files in os.walk(folder):
        os.chmod(root, FOLDER_MODE)
        for name in files:
            file = Path(root, name)
            if file.is_symlink():
                continue
            runs = file.stat().st_mode & stat.S_IXUSR
            file.chmod(FOLDER_MODE if runs else FILE_MODE)
            _sync(file)
        _sync(Path(root))


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _prefix(path: Path) -> str:
    # Long names are cut so that the temporary one fits the file system's limit too.
    return f".{path.name[:60]}."


def _remove_orphans(path: Path) -> None:
    """Remove what killed runs left for this output: temporary names that nobody holds a lock on."""
    prefix = _prefix(path)
    for item in list(os.scandir(path.parent)):
        middle = item.name[len(prefix) : -len(_SUFFIX)]
        if item.name != f"{prefix}{middle}{_SUFFIX}" or "." in middle:
            continue  # The temporary name of another output, or no temporary name at all.
        with suppress(OSError):  # Another user's, or gone meanwhile: not ours to remove.
            number = os.open(item.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if item.is_dir(follow_symlinks=False):
                    shutil.rmtree(item.path)
                else:
                    os.unlink(item.path)
            finally:
                os.close(number)


@contextmanager
def _explained(path: Path, *, only_full: bool = False) -> Iterator[None]:
    """Turn an output's system errors into one that says what to do.

    Args:
        path: the output.
        only_full: leave all errors but a full disk alone; they come from the block's own work.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise EnclaverError(
                f"cannot write: {error.strerror}", file=str(path), cure="Make room there, or write elsewhere."
            ) from error
        if only_full:
            raise
        raise EnclaverError(
            f"cannot write: {error.strerror}",
            file=str(path),
            cure="Check that its folder exists and that you may write there.",
        ) from error
