"""The snapshot archive's interface, as a server on loopback plays it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from enclaver.system import snapshot
from enclaver.system.download import TransferError
from tests.loopback_mirror import Mirror, serve

AMD64, ARM64 = "a" * 40, "b" * 40
ANSWER: dict[str, Any] = {
    "package": "g++",
    "result": [{"hash": AMD64}, {"hash": ARM64}],
    "fileinfo": {
        ARM64: [{"archive_name": "debian", "name": "g++_12_arm64.deb", "path": "/pool/main/g/g++", "size": 11}],
        AMD64: [
            {"archive_name": "debian-ports", "name": "other.deb", "size": 10},
            {"archive_name": "debian", "name": "g++_12_amd64.deb", "path": "/pool/main/g/g++", "size": 10},
        ],
    },
}
PATH = "/mr/binary/g%2B%2B/4%3A12/binfiles?fileinfo=1"


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with serve(monkeypatch) as found:
        yield found


def locate(mirror: Mirror, size: int = 10) -> str:
    return snapshot.locate("g++", "4:12", file_name="g++_12_amd64.deb", size=size, timeout=1, root=mirror.root)


def test_the_file_of_that_name_and_size(mirror: Mirror) -> None:
    mirror.files[PATH] = json.dumps(ANSWER).encode()
    assert locate(mirror) == f"{mirror.root}/file/{AMD64}"


def test_a_file_it_does_not_have(mirror: Mirror) -> None:
    mirror.files[PATH] = json.dumps(ANSWER).encode()
    with pytest.raises(TransferError, match=r"it does not know g\+\+_12_amd64\.deb"):
        locate(mirror, 12)
    mirror.files.clear()
    with pytest.raises(TransferError, match="HTTP 404"):
        locate(mirror)


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b"{}", b'{"fileinfo": []}', b'{"fileinfo": {"%s": [{}]}}' % AMD64.encode(), b"[" * 100_000],
)
def test_an_answer_that_cannot_be_read(mirror: Mirror, answer: bytes) -> None:
    mirror.files[PATH] = answer
    with pytest.raises(TransferError, match="its answer cannot be read"):
        locate(mirror)


def test_an_address_that_is_none_is_not_followed(mirror: Mirror) -> None:
    mirror.files[PATH] = json.dumps({"fileinfo": {"../x": ANSWER["fileinfo"][AMD64]}}).encode()
    with pytest.raises(TransferError, match="does not know"):
        locate(mirror)
