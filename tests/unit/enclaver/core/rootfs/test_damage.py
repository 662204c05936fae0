from __future__ import annotations

import errno
import lzma
import os
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.damage import archive_errors


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (lzma.LZMAError("cut"), "x: no sound zip file: cut\n  Make the archive anew."),
        (EOFError(), "x: no sound zip file: it ends too early\n  Make the archive anew."),
        (RecursionError("deep"), "x: no sound zip file: deep\n  Make the archive anew."),
        (OSError("Invalid data stream"), "x: no sound zip file: Invalid data stream\n  Make the archive anew."),
        (OSError(errno.EINVAL, "odd"), "x: no sound zip file: [Errno 22] odd\n  Make the archive anew."),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "x: cannot read: Permission denied"),
        (EnclaverError("is odd"), "x: is odd"),
    ],
)
def test_every_error_names_the_file(error: Exception, message: str) -> None:
    with pytest.raises(EnclaverError) as caught, archive_errors(Path("x"), "zip"):
        raise error
    assert str(caught.value) == message


def test_a_mistake_of_ours_stays_one() -> None:
    with pytest.raises(KeyError), archive_errors(Path("x"), "zip"):
        raise KeyError
