from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclaver.core.eif.format import HEADER, Header, SectionType
from enclaver.core.eif.reader import EifError, read
from enclaver.core.eif.writer import write
from enclaver.core.errors import EnclaverError
from enclaver.core.pcr.measure import register_of
from tests.unit.enclaver.core.eif.images import (
    METADATA,
    image_bytes,
    key_and_certificate,
    plan,
    resigned,
    saved,
    sections_bytes,
    signature_section,
    with_crc,
)

GOOD = image_bytes(plan(b"boot", b"app"))
BASE: list[tuple[int, bytes]] = [(1, b"kernel"), (2, b"panic=30"), (5, METADATA), (3, b"boot")]
fuzzing = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)


def table(data: bytes, index: int, *, offset: int = 0, size: int = 0) -> bytes:
    """The file with one entry of its table moved or grown, the CRC right."""
    changed = bytearray(data)
    for place, by in ((28 + 8 * index, offset), (284 + 8 * index, size)):
        (value,) = struct.unpack_from(">Q", changed, place)
        struct.pack_into(">Q", changed, place, (value + by) % (1 << 64))
    return with_crc(bytes(changed))


def patched(data: bytes, offset: int, new: bytes) -> bytes:
    return with_crc(data[:offset] + new + data[offset + len(new) :])


@pytest.mark.slow
@fuzzing
@given(
    kernel=st.binary(min_size=1, max_size=20),
    cmdline=st.text(st.characters(codec="utf-8", exclude_characters="\0\n"), max_size=20),
    ramdisks=st.lists(st.binary(max_size=20), min_size=1, max_size=5),
    memory=st.integers(0, (1 << 64) - 1),
    arm=st.booleans(),
)
def test_what_is_written_is_what_is_read(
    tmp_path: Path, kernel: bytes, cmdline: str, ramdisks: list[bytes], memory: int, arm: bool
) -> None:
    base = plan(*ramdisks, kernel=kernel, cmdline=cmdline)
    image = replace(base, memory_bytes=memory, architecture="aarch64" if arm else "x86_64")
    path = tmp_path / "x.eif"
    with path.open("wb") as out:
        written = write(image, out)
    found = read(path)
    assert found.measurements == written.measurements
    assert found.header.architecture == image.architecture
    assert found.header.memory_bytes == memory
    assert (found.cmdline, found.size, found.signature) == (cmdline, written.size, None)
    assert found.metadata is not None
    assert found.metadata["ImageName"] == "n"
    bodies = [b"".join(map(bytes, section.data.chunks())) for section in found.sections]
    assert bodies == [kernel, cmdline.encode(), METADATA, *ramdisks]


@pytest.mark.slow
@fuzzing
@given(data=st.data())
def test_any_changed_byte_is_found(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(GOOD)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EifError) as caught:
        read(saved(tmp_path, bytes(raw)))
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.slow
@fuzzing
@given(data=st.data())
def test_any_damage_with_the_crc_made_right_never_crashes(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        # Mostly where the structure lies: the header's fields, its table, the sections' headers.
        place = data.draw(st.one_of(st.integers(0, 70), st.integers(284, 330), st.integers(0, len(raw) - 1)))
        raw[place] = data.draw(st.sampled_from([0, 1, 2, 3, 5, 12, 127, 128, 255]))
    if data.draw(st.booleans()):
        raw += data.draw(st.binary(max_size=20))
    with suppress(EnclaverError):
        read(saved(tmp_path, with_crc(bytes(raw))))


@pytest.mark.slow
@fuzzing
@given(data=st.data())
def test_any_table_never_crashes(tmp_path: Path, data: st.DataObject) -> None:
    numbers = st.one_of(
        st.integers(0, len(GOOD) + 20), st.integers((1 << 64) - 600, (1 << 64) - 1), st.integers(0, 1 << 33)
    )
    sections = tuple(data.draw(st.lists(st.tuples(numbers, numbers), max_size=32)))
    header = Header(0, 1, 1, sections)
    with suppress(EnclaverError):
        read(saved(tmp_path, with_crc(header.pack() + GOOD[HEADER.size :])))


@pytest.mark.slow
@fuzzing
@given(kinds=st.lists(st.tuples(st.integers(0, 7), st.binary(max_size=6)), max_size=8))
def test_any_sections_are_read_or_refused(tmp_path: Path, kinds: list[tuple[int, bytes]]) -> None:
    with suppress(EnclaverError):
        found = read(saved(tmp_path, sections_bytes(kinds)))
        assert [section.kind for section in found.sections] == [kind for kind, _ in kinds]


@pytest.mark.parametrize("size", [*range(40), 547, 548, 549, 559, 560, 570, len(GOOD) - 1])
def test_any_truncation_is_found(tmp_path: Path, size: int) -> None:
    with pytest.raises(EifError, match=r"not an enclave image|ends within|beyond the file's end"):
        read(saved(tmp_path, GOOD[:size]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0x0: is not an enclave image"),
        (b"\x7fELF" + GOOD[4:], "is not an enclave image"),
        (patched(GOOD, 4, b"\0\3"), "offset 0x4: is of version 3"),
        (patched(GOOD, 6, b"\0\2"), "unknown flags 0x0002"),
        (patched(GOOD, 26, b"\0\0"), "claims 0 sections"),
        (patched(GOOD, 26, b"\0\x21"), "claims 33 sections"),
        (patched(GOOD, 26, b"\0\4"), "behind the last section belong to none"),
        (patched(GOOD, 26, b"\0\6"), "section 5: overlaps"),
        (table(GOOD, 1, offset=-1), "section 1: overlaps"),
        (table(GOOD, 0, offset=-1), "section 0: overlaps"),
        (table(GOOD, 1, offset=1), "section 1: leaves 1 bytes"),
        (table(GOOD, 4, offset=1), "section 4: goes beyond"),
        (table(GOOD, 1, offset=1 << 40), "section 1: goes beyond"),
        (table(GOOD, 1, size=1 << 63), "section 1: goes beyond"),
        (table(GOOD, 1, size=1), "section 1: its header says 8 bytes and the file's table 9"),
        (table(GOOD, 4, size=-1), "section 4: its header says 3 bytes"),
        (patched(GOOD, 548, b"\0\6"), "section 0: is of the unknown type 6"),
        (patched(GOOD, 548, b"\0\0"), "section 0: is of the unknown type 0"),
        (patched(GOOD, 550, b"\0\1"), "section 0: has unknown flags"),
        (GOOD + b"x", "1 bytes behind the last section"),
        (GOOD[:-1] + b"x", r"offset 0x220: the CRC is .* the file is damaged"),
        (sections_bytes(BASE[1:]), "has no kernel section"),
        (sections_bytes([BASE[0], *BASE[2:]]), "has no cmdline section"),
        (sections_bytes(BASE[:3]), "has no ramdisk section"),
        (sections_bytes([BASE[0], *BASE]), "more than one kernel"),
        (sections_bytes([*BASE, BASE[2]]), "more than one metadata"),
        (sections_bytes([BASE[3], *BASE]), "ramdisk before the kernel"),
        (sections_bytes([*BASE[:2], (5, b"{"), BASE[3]]), "metadata section: is not JSON"),
        (sections_bytes([*BASE[:2], (5, b"[" * 99999), BASE[3]]), "metadata section: is not JSON"),
        (sections_bytes([*BASE[:2], (5, b"\xff\xfe{"), BASE[3]]), "metadata section: is not JSON"),
        (sections_bytes([*BASE[:2], (5, b"[1]"), BASE[3]]), "metadata section: is no JSON object"),
        (sections_bytes([BASE[0], (2, bytes(65537)), BASE[3]]), "cmdline section: is 65537 bytes"),
        (sections_bytes([*BASE[:2], (5, bytes((1 << 20) + 1)), BASE[3]]), "metadata section: is 1048577"),
        (sections_bytes([*BASE, (4, bytes(65537))]), "signature section: is 65537 bytes"),
        (sections_bytes([*BASE, (4, b"\xff")]), "signature section: the section is not CBOR"),
    ],
    ids=range(35),
)
def test_what_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(EifError, match=message):
        read(saved(tmp_path, data))


def test_what_is_no_readable_file(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="cannot read: Is a directory"):
        read(tmp_path)
    with pytest.raises(EnclaverError, match="cannot read: No such file"):
        read(tmp_path / "none")


def test_a_huge_file_of_holes_is_refused_at_once(tmp_path: Path) -> None:
    path = saved(tmp_path, table(GOOD, 4, size=1 << 40))
    os.truncate(path, len(GOOD) + (1 << 40))
    with pytest.raises(EifError, match="its header says"):
        read(path)


def test_an_image_without_metadata(tmp_path: Path) -> None:
    image = read(saved(tmp_path, sections_bytes([*BASE[:2], BASE[3]])))
    assert image.metadata is None
    assert image.measurements.pcr2 == register_of(b"")


def test_a_signed_image(tmp_path: Path) -> None:
    key, certificate = key_and_certificate()
    pcr0 = read(saved(tmp_path, GOOD)).measurements.pcr0
    image = read(saved(tmp_path, resigned(GOOD, signature_section(key, certificate, pcr0))))
    assert image.sections[-1].kind is SectionType.SIGNATURE
    assert image.signature is not None
    assert image.measurements.pcr0 == pcr0
    assert image.signature.problem(pcr0) is None
    assert image.measurements.pcr8 == register_of(image.signature.certificate_der)


def test_bytes_that_are_no_text_in_the_command_line(tmp_path: Path) -> None:
    image = read(saved(tmp_path, sections_bytes([BASE[0], (2, b"a=\xff"), BASE[3]])))
    assert image.cmdline == "a=\udcff"
