from __future__ import annotations

import errno
import fcntl
import struct
from pathlib import Path

import pytest

from enclaver_runtime.enclave import entropy
from tests.unit.enclaver_runtime.isolation import needs_root


@needs_root
def test_the_kernel_takes_a_seed() -> None:
    entropy.credit(b"not that random, and credited in a kernel that is seeded anyway"[:8])


def test_every_bit_of_the_seed_is_credited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[int, bytes]] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda fd, number, data: calls.append((number, data)))
    (tmp_path / "random").touch()
    entropy.credit(b"seed", device=str(tmp_path / "random"))
    assert calls == [(0x40085203, struct.pack("=ii", 32, 4) + b"seed")]


def test_a_file_that_is_no_generator_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "random").touch()
    with pytest.raises(OSError) as caught:
        entropy.credit(b"x", device=str(tmp_path / "random"))
    assert caught.value.errno == errno.ENOTTY
