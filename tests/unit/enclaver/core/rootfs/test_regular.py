from __future__ import annotations

import os
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import FileContent
from enclaver.core.rootfs.regular import open_regular, whole


def test_a_file_and_its_size(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    with open_regular(tmp_path / "f") as (file, size):
        assert (file.read(), size) == (b"hello", 5)


def test_a_whole_file_is_a_content(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    assert whole(tmp_path / "f") == FileContent(tmp_path / "f", 0, 5)
    with pytest.raises(EnclaverError, match="not a regular file|Is a directory"):
        whole(tmp_path)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, message in (
        (tmp_path / "fifo", "is not a regular file"),
        (Path("/dev/null"), "is not a regular file"),
        (tmp_path, "cannot read: Is a directory"),
        (tmp_path / "none", "cannot read: No such file"),
    ):
        with pytest.raises(EnclaverError, match=message) as caught, open_regular(path):
            pass
        assert caught.value.file == str(path)
