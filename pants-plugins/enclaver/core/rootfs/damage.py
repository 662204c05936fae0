"""What Python's archive modules raise for damaged and hostile files, as one error that names the file."""

from __future__ import annotations

import errno
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError, in_file

#: All but OSError, which other things raise too.
DAMAGE: Final = (
    EOFError,
    MemoryError,  # A header may claim a name of any length.
    NotImplementedError,
    OverflowError,
    RuntimeError,  # RecursionError is one.
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
REMAKE: Final = "Make the archive anew."


@contextmanager
def archive_errors(path: Path, kind: str) -> Iterator[None]:
    """Raise EnclaverError, with the file in it, for whatever reading an archive raises.

    Args:
        path: the archive.
        kind: what it should be: ``zip``, ``tar``.
    """
    try:
        with in_file(path):
            yield
    except OSError as error:
        # bzip2's and gzip's errors have no number; a damaged offset leads to before the file's beginning.
        if error.errno not in (None, errno.EINVAL):
            raise EnclaverError(f"cannot read: {error.strerror}", file=str(path)) from error
        raise EnclaverError(f"no sound {kind} file: {error}", file=str(path), cure=REMAKE) from error
    except DAMAGE as error:
        what = str(error) or "it ends too early"
        raise EnclaverError(f"no sound {kind} file: {what}", file=str(path), cure=REMAKE) from error
