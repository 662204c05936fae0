"""What the boot ramdisk and target images do without: only what a pattern names, and folders left empty by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from enclaver.core.debian import lock, slim
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
    reasons = [*slim.NOT_IN_RUNTIME.values(), *slim.NOT_IN_EMULATOR.values(), *slim.PACKAGES_NOT_IN_EMULATOR]
    assert all(reason.strip() for reason in reasons)


def test_what_runs_an_enclave_has_one_machine_of_qemus() -> None:
    tree = Tree()
    modules = "usr/lib/x86_64-linux-gnu/qemu"
    for path, package in {
        "usr/bin/qemu-system-x86_64": "qemu-system-x86",
        "usr/bin/qemu-system-x86_64-microvm": "qemu-system-x86",
        f"{modules}/accel-tcg-x86_64.so": "qemu-system-x86",
        f"{modules}/accel-tcg-i386.so": "qemu-system-x86",
        f"{modules}/audio-alsa.so": "qemu-system-common",
        f"{modules}/ui-curses.so": "qemu-system-common",
        "usr/share/qemu/bios-microvm.bin": "seabios",
        "usr/lib/x86_64-linux-gnu/libopus.so.0": "libopus0",
        "usr/lib/x86_64-linux-gnu/libopuslike.so.0": "libopus0-like",
        "usr/lib/python3.11/turtle.py": "libpython3.11-stdlib",
    }.items():
        tree.add_file(path, b"", origin=f"deb:{package}=1")
    slim.for_runner(tree)
    assert [entry.path for entry in tree] == [
        "usr/bin/qemu-system-x86_64",
        "usr/lib/x86_64-linux-gnu/libopuslike.so.0",
        f"{modules}/accel-tcg-x86_64.so",
        "usr/share/qemu/bios-microvm.bin",
    ]


LOCKS = Path(__file__).parents[5] / "pants-plugins" / "enclaver" / "locks"


def packages(name: str) -> set[str]:
    return {package.name for package in lock.load(LOCKS / name).packages}


def test_the_packages_that_are_left_out_are_those_of_the_emulators_lock() -> None:
    """One that has gone from it would be left out for nothing; one of the others would be missed."""
    unwanted = {name for names in slim.PACKAGES_NOT_IN_EMULATOR.values() for name in names}
    assert unwanted <= packages("runner-emulator.amd64.lock.json") - packages("runner.amd64.lock.json")


def test_the_runners_locks_are_for_the_same_work() -> None:
    assert packages("runner.amd64.lock.json") == packages("runner.arm64.lock.json")
    assert packages("runner.amd64.lock.json") < packages("runner-emulator.amd64.lock.json")
