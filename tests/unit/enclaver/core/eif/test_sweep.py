from __future__ import annotations

import io
import zlib
from hashlib import sha256, sha384

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.eif.format import SectionType
from enclaver.core.eif.sweep import Digests, Piece, sweep
from enclaver.core.pcr.measure import register_of
from enclaver.core.rootfs.entry import InlineContent


@pytest.mark.slow
@given(st.binary(max_size=9), st.binary(max_size=9), st.lists(st.binary(max_size=9), max_size=4))
def test_one_pass_finds_what_separate_ones_would(kernel: bytes, cmdline: bytes, ramdisks: list[bytes]) -> None:
    pieces = [
        Piece(InlineContent(b"header")),
        Piece(InlineContent(kernel), SectionType.KERNEL),
        Piece(InlineContent(cmdline), SectionType.CMDLINE),
        Piece(InlineContent(b"{}"), SectionType.METADATA),
        *(Piece(InlineContent(data), SectionType.RAMDISK) for data in ramdisks),
        Piece(InlineContent(b"signed"), SectionType.SIGNATURE),
    ]
    out = io.BytesIO()
    found = sweep(pieces, crc=zlib.crc32(b"before"), out=out, digests=True)
    everything = b"header" + kernel + cmdline + b"{}" + b"".join(ramdisks) + b"signed"
    base = kernel + cmdline
    assert out.getvalue() == everything
    assert found.crc == zlib.crc32(b"before" + everything)
    assert found.measurements.pcr0 == register_of(base + b"".join(ramdisks))
    assert found.measurements.pcr1 == register_of(base + b"".join(ramdisks[:1]))
    assert found.measurements.pcr2 == register_of(b"".join(ramdisks[1:]))
    assert found.measurements.pcr8 is None
    assert found.ramdisks == tuple(
        Digests(len(data), sha256(data).hexdigest(), sha384(data).hexdigest()) for data in ramdisks
    )


def test_no_digests_unless_asked_for() -> None:
    assert sweep([Piece(InlineContent(b"x"), SectionType.RAMDISK)]).ramdisks == ()
