from __future__ import annotations

import io
import zlib
from dataclasses import replace
from hashlib import sha384
from pathlib import Path

import pytest

from enclaver.core.eif.format import CRC_OFFSET, HEADER, SECTION_HEADER, SectionType
from enclaver.core.eif.reader import read
from enclaver.core.eif.signing import Signer
from enclaver.core.eif.writer import ImagePlan, write
from enclaver.core.errors import EnclaverError
from enclaver.core.pcr.measure import register_of
from enclaver.core.rootfs.entry import FileContent, InlineContent
from tests.unit.enclaver.core.eif.images import (
    METADATA,
    image_bytes,
    key_and_certificate,
    plan,
    resigned,
    saved,
)
from tests.unit.enclaver.core.eif.signers import signer

SIGNER = signer(*key_and_certificate())


def test_sections_are_in_awss_order_and_the_crc_is_right() -> None:
    data = image_bytes(plan(b"boot", b"app"))
    fields = HEADER.unpack_from(data)
    kinds = []
    for offset, size in zip(fields[7:12], fields[39:44], strict=True):
        kind, flags, claimed = SECTION_HEADER.unpack_from(data, offset)
        assert (flags, claimed) == (0, size)
        kinds.append(SectionType(kind).name)
    assert kinds == ["KERNEL", "CMDLINE", "METADATA", "RAMDISK", "RAMDISK"]
    assert fields[-1] == zlib.crc32(data[CRC_OFFSET + 4 :], zlib.crc32(data[:CRC_OFFSET]))
    assert data.endswith(b"app")
    assert METADATA in data


def test_defaults_and_flags_change_the_header_but_no_register() -> None:
    image = plan(b"boot", b"app")
    other = replace(image, architecture="aarch64", memory_bytes=1 << 32, cpus=4, metadata=b"{}")
    out, other_out = io.BytesIO(), io.BytesIO()
    assert write(image, out).measurements == write(other, other_out).measurements
    assert HEADER.unpack_from(other_out.getvalue())[2:5] == (1, 1 << 32, 4)
    assert HEADER.unpack_from(out.getvalue())[2:5] == (0, 1 << 30, 2)


def test_what_is_measured_changes_registers() -> None:
    base = write(plan(b"boot", b"app"), io.BytesIO()).measurements
    cmdline = write(plan(b"boot", b"app", cmdline="x"), io.BytesIO()).measurements
    boot = write(plan(b"tube", b"app"), io.BytesIO()).measurements
    app = write(plan(b"boot", b"ape"), io.BytesIO()).measurements
    assert len({base.pcr0, cmdline.pcr0, boot.pcr0, app.pcr0}) == 4
    assert len({base.pcr1, cmdline.pcr1, boot.pcr1}) == 3
    assert base.pcr1 == app.pcr1
    assert base.pcr2 == cmdline.pcr2 == boot.pcr2 != app.pcr2


def test_it_writes_from_where_the_file_stands(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"..kernel")
    out = io.BytesIO(b"prefix")
    out.seek(6)
    written = write(replace(plan(), kernel=FileContent(kernel, 2, 6)), out, digests=True)
    assert out.getvalue() == b"prefix" + image_bytes(plan())
    assert (out.tell(), written.size) == (6 + written.size, len(image_bytes(plan())))
    assert written.ramdisks[0].sha384 == sha384(b"boot").hexdigest()


@pytest.mark.parametrize("cmdline", ["x" * 2048, "ü" * 1024, "a\0b", "a\nb"])
def test_a_command_line_that_linux_would_not_take(cmdline: str) -> None:
    with pytest.raises(EnclaverError, match="command line"):
        image_bytes(plan(cmdline=cmdline))


def test_the_longest_command_line() -> None:
    assert image_bytes(plan(cmdline="x" * 2047))


@pytest.mark.parametrize("count", [0, 30, 100])
def test_a_wrong_number_of_ramdisks(count: int) -> None:
    image = replace(plan(), ramdisks=[InlineContent(b"x")] * count)
    with pytest.raises(EnclaverError, match="1 to 29 ramdisks"):
        image_bytes(image)


def test_most_ramdisks() -> None:
    assert image_bytes(plan(*[b"x"] * 29))


def test_an_empty_kernel() -> None:
    with pytest.raises(EnclaverError, match="kernel is empty"):
        image_bytes(plan(kernel=b""))


def signed(image: ImagePlan) -> bytes:
    out = io.BytesIO()
    write(image, out, signer=SIGNER)
    return out.getvalue()


@pytest.mark.parametrize("disks", [(b"boot",), (b"boot", b"app" * 100_000), (b"x",) * 28])
def test_a_signature_is_the_last_section_and_the_crc_is_right(tmp_path: Path, disks: tuple[bytes, ...]) -> None:
    image = replace(plan(*disks), memory_bytes=1, cpus=1)
    unsigned = write(image, io.BytesIO(), digests=True)
    out = io.BytesIO(b"prefix")
    out.seek(6)
    written = write(image, out, digests=True, signer=SIGNER)
    data = out.getvalue()[6:]
    assert (out.tell(), written.size) == (6 + len(data), len(data))
    assert written.ramdisks == unsigned.ramdisks
    assert written.measurements == replace(unsigned.measurements, pcr8=register_of(SIGNER.certificate_der))
    # What the tests' own signing of a finished file makes: table, offsets and CRC, all over again.
    assert data == resigned(image_bytes(image), SIGNER.section(unsigned.measurements.pcr0))
    found = read(saved(tmp_path, data))
    assert [one.kind for one in found.sections].index(SectionType.SIGNATURE) == len(found.sections) - 1
    assert found.measurements == written.measurements
    assert found.signature is not None
    assert found.signature.problem(found.measurements.pcr0) is None


def test_equal_plans_and_signers_give_equal_bytes() -> None:
    assert signed(plan(b"boot", b"app")) == signed(plan(b"boot", b"app"))


def test_there_is_room_for_the_signature() -> None:
    with pytest.raises(EnclaverError, match="a signed image has 1 to 28 ramdisks, not 29"):
        signed(plan(*[b"x"] * 29))


def test_a_signer_that_fails() -> None:
    def refuse(_: bytes) -> bytes:
        raise EnclaverError("it is not there")

    with pytest.raises(EnclaverError, match="it is not there"):
        write(plan(), io.BytesIO(), signer=Signer(SIGNER.certificate, refuse))
