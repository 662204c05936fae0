from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import CHUNK
from enclaver.core.rootfs.spool import Spool


def test_contents_lie_one_after_the_other_and_can_be_read_at_once(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool") as spool:
        first, second, empty = (spool.add(io.BytesIO(data), len(data)) for data in (b"one", b"three", b""))
        assert (first.offset, second.offset, empty.size) == (0, 3, 0)
        assert b"".join(bytes(chunk) for chunk in second.chunks()) == b"three"


def test_more_than_a_chunk_is_copied_whole(tmp_path: Path) -> None:
    data = os.urandom(CHUNK + 5)
    with Spool(tmp_path / "spool") as spool:
        content = spool.add(io.BytesIO(data), len(data))
        assert b"".join(bytes(chunk) for chunk in content.chunks()) == data


@pytest.mark.parametrize(("claimed", "what"), [(2, "more than the 2 bytes"), (4, "fewer than the 4 bytes")])
def test_a_claimed_size_is_held_against_the_real_one(tmp_path: Path, claimed: int, what: str) -> None:
    with Spool(tmp_path / "spool") as spool, pytest.raises(EnclaverError, match=what):
        spool.add(io.BytesIO(b"xyz"), claimed)


def test_a_bomb_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", limit=3 << 20) as spool:
        spool.add(io.BytesIO(bytes(2 << 20)), 2 << 20)
        with pytest.raises(EnclaverError, match="more than 3 MiB in all"):
            spool.add(io.BytesIO(bytes(2 << 20)), 2 << 20)
    assert (tmp_path / "spool").stat().st_size == 2 << 20


def test_a_stream_of_unknown_length_is_appended(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", limit=8) as spool:
        assert spool.whole().size == 0
        spool.append(b"one")
        spool.append(b"two")
        assert spool.whole().head(9) == b"onetwo"
        with pytest.raises(EnclaverError, match="more than 0 MiB in all"):
            spool.append(b"abc")
        assert spool.add(io.BytesIO(b"xy"), 2).offset == 6


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with Spool(Path("/dev/full")) as spool, pytest.raises(EnclaverError, match="/dev: cannot write: No space left"):
        spool.add(io.BytesIO(b"x"), 1)
