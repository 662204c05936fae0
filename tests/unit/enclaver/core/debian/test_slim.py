"""What the boot ramdisk does without: only what a pattern names, and folders left empty by it."""

from __future__ import annotations

import pytest

from enclaver.core.debian import slim
from enclaver.core.rootfs.tree import Entry, InlineContent, Kind, Tree


def slimmed(*paths: str) -> list[str]:
    tree = Tree()
    for path in paths:
        tree.add_file(path, b"")
    tree.ensure_parents()
    slim.for_runtime(tree)
    return [entry.path for entry in tree if entry.kind is Kind.FILE]


@pytest.mark.parametrize(
    "path",
    [
        "usr/lib/x86_64-linux-gnu/gconv/UTF-16.so",
        "usr/lib/aarch64-linux-gnu/libsqlite3.so.0.8.6",
        "usr/lib/python3.11/sqlite3/dbapi2.py",
        "usr/lib/python3.11/test/libregrtest/main.py",
        "usr/lib/python3.11/lib-dynload/_codecs_jp.cpython-311-x86_64-linux-gnu.so",
        "usr/lib/python3.11/lib-dynload/_ctypes_test.cpython-311-x86_64-linux-gnu.so",
        "usr/bin/py3compile",
        "usr/bin/pydoc3.11",
        "usr/share/python3/debpython/version.py",
    ],
)
def test_what_is_left_out(path: str) -> None:
    assert slimmed(path, "usr/bin/python3.11") == ["usr/bin/python3.11"]


@pytest.mark.parametrize(
    "path",
    [
        "usr/lib/x86_64-linux-gnu/libssl.so.3",
        "usr/lib/x86_64-linux-gnu/libexpat.so.1",
        "usr/lib/x86_64-linux-gnu/libcrypt.so.1",
        "usr/lib/python3.11/codecs.py",
        "usr/lib/python3/dist-packages/cryptography/x509/base.py",
        "usr/bin/python3",
        "usr/lib/python3.11/unittest/case.py",
        "usr/lib/python3.11/lib-dynload/_ctypes.cpython-311-x86_64-linux-gnu.so",
        "usr/share/doc/libsqlite3-0/copyright",
        "usr/lib/enclaver/trio/test/x.py",
    ],
)
def test_what_stays(path: str) -> None:
    assert slimmed(path) == [path]


def test_folders_that_become_empty_go_and_others_stay() -> None:
    tree = Tree()
    tree.add_file("usr/lib/python3.11/sqlite3/dbapi2.py", b"")
    tree.add_file("usr/lib/python3.11/os.py", b"")
    tree.add_directory("usr/lib/python3.11/dist-packages")
    tree.ensure_parents()
    slim.for_runtime(tree)
    assert [entry.path for entry in tree] == [
        "usr",
        "usr/lib",
        "usr/lib/python3.11",
        "usr/lib/python3.11/dist-packages",
        "usr/lib/python3.11/os.py",
    ]


def test_a_link_to_what_is_left_out_keeps_the_content() -> None:
    tree = Tree()
    tree.add_file("usr/lib/python3.11/turtle.py", b"draw")
    tree.add(Entry("usr/lib/python3.11/zoo.py", Kind.FILE, 0o644, hardlink_to="usr/lib/python3.11/turtle.py"))
    slim.for_runtime(tree)
    [kept] = tree
    assert (kept.path, kept.content) == ("usr/lib/python3.11/zoo.py", InlineContent(b"draw"))


def test_every_pattern_has_a_reason() -> None:
    assert all(reason.strip() for reason in slim.NOT_IN_RUNTIME.values())
