"""The kernel's source lock: strict in, canonical out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.kernel.source_lock import build_time, load, parse, render

ROOT = Path(__file__).parents[5]
OURS = ROOT / "3rdparty/kernel/source.lock.json"


def changed(**changes: Any) -> bytes:
    document = json.loads(OURS.read_bytes())
    for path, value in changes.items():
        keys = path.split("__")
        target = document["package"] if keys[0] == "package" and len(keys) > 1 else document
        target[keys[-1]] = value
    return json.dumps(document).encode()


def test_our_own_lock_is_canonical() -> None:
    lock = load(OURS)
    assert render(lock) == OURS.read_bytes()
    assert lock.package.name == "linux-source-6.12"
    assert lock.tarball == "usr/src/linux-source-6.12.tar.xz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed(version=2), "version: only version 1"),
        (changed(version=True), "version: only version 1"),
        (changed(kernel_version="6.12"), "kernel_version: '6.12' is not a kernel version"),
        (changed(kernel_version=6), "kernel_version: 6 is not a kernel version"),
        (changed(kernel_version="6.13.117"), "package.name: 'linux-source-6.12' is not linux-source-6.13"),
        (changed(kernel_version="6.12.11"), "package.version: .* is not a package of kernel 6.12.11"),
        (changed(more=1), "expected an object with the keys"),
        (changed(package={}), "the key .* is missing"),
        (changed(package__sha256="0"), "package.sha256"),
        (b"[]", "expected an object"),
        (b"{", "line 1, column 2: this is not JSON"),
        (b"\xff", "not JSON that can be read"),
        (b'{"version": 1, "version": 1}', "given twice"),
        (b"[" * 100_000, "not JSON that can be read"),
    ],
)
def test_a_lock_that_is_not_one_is_refused_with_the_place(text: bytes, message: str) -> None:
    with pytest.raises(EnclaverError, match=f"lock.json: .*{message}"):
        parse(text, "lock.json")


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="cannot be read: No such file"):
        load(tmp_path / "none")


def test_the_time_is_read_from_the_package() -> None:
    assert build_time(b"!<arch>\ndebian-binary   1794660961  0     0     100644  4         `\n", "f") == 1794660961
    assert build_time(b"!<arch>\ndebian-binary   0           0     0     100644  4         `\n", "f") == 0


@pytest.mark.parametrize("head", [b"", b"!<arch>\n", b"!<arch>\ndebian-binary   -1          ", b"\x7fELF" * 20])
def test_what_is_no_package_has_no_time(head: bytes) -> None:
    with pytest.raises(EnclaverError, match="not a Debian package"):
        build_time(head, "f")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    for read in (parse, build_time):
        with pytest.raises(EnclaverError):
            read(text, "f")
