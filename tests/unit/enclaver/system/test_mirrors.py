"""Mirrors: the forms in which they are named, and the order in which they are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system import apt, mirrors
from enclaver.system.mirrors import Mirror


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://m.example.com/debian/", [Mirror("debian", "http://m.example.com/debian")]),
        ("https://m.example.com/debian-security", [Mirror("debian-security", "https://m.example.com/debian-security")]),
        ("debian-security=http://m.example.com/sec", [Mirror("debian-security", "http://m.example.com/sec")]),
        (
            "http://m.example.com",
            [
                Mirror("debian", "http://m.example.com/debian"),
                Mirror("debian", "http://m.example.com"),
                Mirror("debian-security", "http://m.example.com/debian-security"),
                Mirror("debian-security", "http://m.example.com"),
            ],
        ),
        ("debian=file:///srv/debian", [Mirror("debian", "file:///srv/debian")]),
        ("debian=http://m.example.com/x?a=b", [Mirror("debian", "http://m.example.com/x?a=b")]),
    ],
)
def test_forms(text: str, found: list[Mirror]) -> None:
    assert mirrors.parse(text) == found


@pytest.mark.parametrize(
    "text", ["", "m.example.com", "ftp://m.example.com/debian", "http://", "ubuntu=http://x", "file:x"]
)
def test_what_is_no_mirror_is_refused(text: str) -> None:
    with pytest.raises(EnclaverError):
        mirrors.parse(text)


def test_the_users_come_first_and_each_comes_once() -> None:
    machine = [
        apt.Source("debian", "http://machine.example.com/debian"),
        apt.Source("debian", "http://mine.example.com/debian"),
        apt.Source("debian-security", "http://machine.example.com/debian-security"),
    ]
    found = mirrors.mirrors(["http://mine.example.com/debian"], archive="debian", sources=machine)
    assert [mirror.root for mirror in found] == ["http://mine.example.com/debian", "http://machine.example.com/debian"]
    found = mirrors.mirrors(["http://mine.example.com/debian"], archive="debian-security", sources=machine)
    assert [mirror.root for mirror in found] == ["http://machine.example.com/debian-security"]


def test_without_being_told_the_machine_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "sources", lambda: [apt.Source("debian", "http://machine.example.com/debian")])
    assert mirrors.mirrors([], archive="debian") == [Mirror("debian", "http://machine.example.com/debian")]


def test_paths_are_quoted_as_the_archive_names_them() -> None:
    mirror = Mirror("debian", "http://m.example.com/debian")
    assert mirror.url("pool/main/g/g++/g++_1%3a2~x_all.deb") == (
        "http://m.example.com/debian/pool/main/g/g++/g++_1%253a2~x_all.deb"
    )
