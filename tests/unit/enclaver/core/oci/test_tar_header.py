from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import tar_header
from tests.unit.enclaver.core.oci.archives import GNU, USTAR, V7, header, short


@pytest.mark.parametrize(
    ("magic", "prefix", "trailer", "name"),
    [
        (USTAR, b"folder/of", bytes(12), b"folder/of/it"),
        (USTAR, b"", bytes(12), b"it"),
        (b"ustar\0\0\0", b"folder", bytes(12), b"folder/it"),
        # star has times behind its shorter prefix.
        (USTAR, b"p".ljust(131, b"\0") + b"00000000000\x0000000000000\0"[:24], b"\0" * 8 + b"tar\0", b"p/it"),
        (GNU, b"00000000000\x0000000000000\0", bytes(12), b"it"),
        (GNU, b"", bytes(12), b"it"),
        # Go before 1.8.
        (GNU, b"folder/that/is/long", bytes(12), b"folder/that/is/long/it"),
        (GNU, b"folder/\xff/is/long", bytes(12), b"it"),
        (V7, b"folder", bytes(12), b"it"),
    ],
    ids=short,
)
def test_names_in_two_parts(magic: bytes, prefix: bytes, trailer: bytes, name: bytes) -> None:
    assert tar_header.parse(header("it", magic=magic, prefix=prefix, trailer=trailer)).name == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"0100644\0", 0o100644),
        (b"", 0),
        (b"00000644", 0o644),
        (b"\x80\0\0\0\0\0\x01\xa4", 0o644),
    ],
    ids=short,
)
def test_numbers(field: bytes, value: int) -> None:
    assert tar_header.parse(header("it", mode=field)).mode == value


@pytest.mark.parametrize(
    "field", [b"0000648\0", b"-000644\0", b"0x1a4\0", b"6_4\0", b"644\x00644", b"\xff" * 8], ids=short
)
@pytest.mark.parametrize("name", ["mode", "uid", "gid", "size"])
def test_what_is_no_number_is_refused(field: bytes, name: str) -> None:
    with pytest.raises(EnclaverError, match=f"a header's {name} is (no number|negative)"):
        tar_header.parse(header("it", **{name: field}))


def test_a_wrong_checksum_is_refused() -> None:
    good = header("it")
    tar_header.parse(good)
    with pytest.raises(EnclaverError, match="checksum is wrong"):
        tar_header.parse(b"x" + good[1:])
    with pytest.raises(EnclaverError, match="checksum is no number"):
        tar_header.parse(header("it", checksum=b"zzzzzzzz"))


def test_the_sum_of_signed_bytes_is_taken_too() -> None:
    block = header(b"\xfc\xfd")
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + b"        " + block[156:])
    assert tar_header.parse(header(b"\xfc\xfd", checksum=b"%06o\0 " % signed)).name == b"\xfc\xfd"


@given(
    name=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=90),
    numbers=st.tuples(st.integers(0, 0o7777), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**60)),
)
def test_what_tarfile_writes_is_read(name: str, numbers: tuple[int, int, int, int]) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid, info.size = numbers
    found = tar_header.parse(info.tobuf(tarfile.GNU_FORMAT))
    assert (found.name, found.mode, found.uid, found.gid, found.size) == (name.encode(), *numbers)


@given(st.binary(min_size=512, max_size=512))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(EnclaverError):
        tar_header.parse(noise)


@given(st.data())
def test_a_flipped_bit_is_noticed(data: st.DataObject) -> None:
    block = bytearray(header("a/name", size=77, uid=1000))
    position = data.draw(st.integers(0, 511))
    block[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert tar_header.parse(bytes(block)) == tar_header.parse(header("a/name", size=77, uid=1000))
    except EnclaverError:
        return
    # A change within the checksum's own padding says nothing.
    assert 148 <= position < 156


def test_what_gnu_tar_writes_is_read(tmp_path: object) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as made:
        made.addfile(tarfile.TarInfo("a" * 80 + "/" + "b" * 80))
    assert tar_header.parse(out.getvalue()[:512]).name == b"a" * 80 + b"/" + b"b" * 80


@pytest.mark.parametrize("prefix", [b"12\0abc", b"\0abc"])
def test_what_go_takes_for_times_is_no_folder(prefix: bytes) -> None:
    assert tar_header.parse(header("a", magic=GNU, prefix=prefix)).name == b"a"
