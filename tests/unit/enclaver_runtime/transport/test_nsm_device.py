from __future__ import annotations

import ctypes
import errno
import struct
from pathlib import Path

import pytest

from enclaver_runtime.transport.nsm_device import NsmDevice


def device_that_answers(response: bytes, seen: list[tuple[int, bytes]], path: Path) -> NsmDevice:
    def ioctl(fd: int, number: int, message: bytearray) -> int:
        source, size, target, room = struct.unpack("=QQQQ", message)
        seen.append((number, ctypes.string_at(source, size)))
        assert room == 0x3000
        ctypes.memmove(target, response, len(response))
        message[24:32] = struct.pack("=Q", len(response))
        return 0

    path.touch()
    return NsmDevice(str(path), ioctl=ioctl)


def test_a_request_and_its_response(tmp_path: Path) -> None:
    seen: list[tuple[int, bytes]] = []
    with device_that_answers(b"\xa1\x00\x01", seen, tmp_path / "nsm") as device:
        assert device.request(b"request\0with nul") == b"\xa1\x00\x01"
        assert device.request(b"") == b"\xa1\x00\x01"
    assert seen == [(0xC0200A00, b"request\0with nul"), (0xC0200A00, b"")]


def test_a_missing_device_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nsm"):
        NsmDevice(str(tmp_path / "nsm"))


def test_a_file_that_is_no_device_is_refused_by_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "nsm").touch()
    with NsmDevice(str(tmp_path / "nsm")) as device, pytest.raises(OSError) as caught:
        device.request(b"x")
    assert caught.value.errno == errno.ENOTTY
