from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import elf_needs
from enclaver.core.rootfs.elf_needs import Needs, needs
from enclaver.core.rootfs.entry import InlineContent
from enclaver.core.rootfs.regular import whole

PROGRAM = Path("/bin/sh").resolve()
READELF = shutil.which("readelf")


def libc() -> Path:
    """This machine's C library, which whatever runs here has loaded."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    found = re.search(r"(/\S+/libc\.so\.6|/\S+/libc-[\d.]+\.so)$", maps, re.MULTILINE)
    assert found
    return Path(found[1])


def test_a_program_of_this_machine() -> None:
    found = needs(whole(PROGRAM))
    assert found is not None
    assert found.loader is not None
    assert Path(found.loader).exists()
    assert "libc.so.6" in found.libraries
    assert ("libc.so.6", "GLIBC_2.") in [(name, version[:8]) for name, version in found.versions]
    assert found.defines == frozenset()


def test_a_library_has_what_programs_want_of_it() -> None:
    program, library = needs(whole(PROGRAM)), needs(whole(libc()))
    assert program is not None
    assert library is not None
    assert {version for name, version in program.versions if name == "libc.so.6"} <= library.defines
    assert "GLIBC_2.99" not in library.defines


@pytest.mark.slow
@pytest.mark.skipif(READELF is None, reason="binutils are not here")
@pytest.mark.parametrize(
    "path", [PROGRAM, libc(), Path(sys.executable).resolve()], ids=["program", "library", "python"]
)
def test_readelf_says_the_same(path: Path) -> None:
    assert READELF
    told = subprocess.run([READELF, "-dV", "--wide", path], capture_output=True, text=True, check=True).stdout
    found = needs(whole(path))
    assert found is not None
    assert list(found.libraries) == re.findall(r"\(NEEDED\).*\[(.*)\]", told)
    wanted = set()
    for part in re.findall(r"File: (\S+) +Cnt: \d+\n((?:.*Name: \S+ +Flags: .*\n?)+)", told):
        wanted |= {(part[0], one) for one in re.findall(r"Name: (\S+) +Flags: none", part[1])}
    assert set(found.versions) == wanted


def test_a_program_without_libraries_needs_nothing() -> None:
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    header[16:20] = b"\x02\x00\x3e\x00"
    assert needs(InlineContent(bytes(header))) == Needs()


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x01" + bytes(60)], ids=["empty", "script", "32-bit"])
def test_what_is_no_program(data: bytes) -> None:
    assert needs(InlineContent(data)) is None


def test_a_program_that_ends_too_early() -> None:
    with pytest.raises(EnclaverError, match="is a damaged program"):
        needs(InlineContent(PROGRAM.read_bytes()[:200]))


def with_versions(records: int, headers: int = 2) -> bytes:
    """A program of which each of so many records of needed versions leads to the same chain of so many names."""
    start = 64 + headers * 56
    strings, needed = start + 5 * 16, start + 5 * 16 + 16
    names = needed + 16 * records
    end = names + 16 * records
    header = struct.pack("<6s10xHHIQQQIHHHHHH", b"\x7fELF\x02\x01", 2, 62, 1, 0, 64, 0, 0, 64, 56, headers, 0, 0, 0)
    segments = [(1, 4, 0, 0, 0, end, end, 1), (2, 4, start, start, 0, 5 * 16, 5 * 16, 8)]
    dynamic = [(5, strings), (0x6FFFFFFE, needed), (0x6FFFFFFF, records), (0, 0), (0, 0)]
    parts = [header, *(struct.pack("<IIQQQQQQ", *segments[min(number, 1)]) for number in range(headers))]
    parts += [struct.pack("<qQ", *entry) for entry in dynamic]
    parts.append(b"\0x".ljust(16, b"\0"))
    for number in range(records):
        here = needed + 16 * number
        parts.append(struct.pack("<HHIII", 1, records, 1, names - here, 16 if number + 1 < records else 0))
    for number in range(records):
        parts.append(struct.pack("<IHHII", 0, 0, 0, 1, 16 if number + 1 < records else 0))
    return b"".join(parts)


def test_chains_that_would_keep_us_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is short enough; what they lead to together would be the square of that."""
    monkeypatch.setattr(elf_needs, "_MOST", 50)
    found = needs(InlineContent(with_versions(6)))
    assert found is not None
    assert set(found.versions) == {("x", "x")}
    with pytest.raises(EnclaverError, match="is a damaged program"):
        needs(InlineContent(with_versions(8)))


def test_more_program_headers_than_linux_takes() -> None:
    assert needs(InlineContent(with_versions(1, headers=1000)))
    with pytest.raises(EnclaverError, match="is a damaged program"):
        needs(InlineContent(with_versions(1, headers=1200)))


def test_one_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf_needs, "LIMIT", 1000)
    with pytest.raises(EnclaverError, match="1000 are allowed"):
        needs(whole(PROGRAM))


@settings(max_examples=500)
@given(st.data())
def test_damage_is_refused_or_read(data: st.DataObject) -> None:
    program = bytearray(PROGRAM.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0x20, 0x400) | st.integers(0x20, len(program) - 1))
        program[place] = data.draw(st.integers(0, 255))
    try:
        found = needs(InlineContent(bytes(program)))
    except EnclaverError:
        return
    assert found is not None
