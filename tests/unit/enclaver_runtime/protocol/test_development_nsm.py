from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.development_nsm import PORT, frame, frame_reader, is_wanted
from enclaver_runtime.protocol.frames import FrameError


def read(data: bytes, sizes: list[int], limit: int = 4096) -> bytes | None:
    """The payload of a frame given in pieces of ``sizes``, then one byte at a time."""
    reader = frame_reader(limit)
    while data:
        size = min(reader.wanted, sizes.pop() if sizes else 1)
        piece, data = data[:size], data[size:]
        if (payload := reader.receive_data(piece)) is not None:
            return payload
    return None


def test_the_wire() -> None:
    assert frame(b"\x69GetRandom") == b"\0\0\0\x0a\x69GetRandom"
    assert (PORT, frames.PORT) == (17003, 17002)


@given(st.binary(min_size=1, max_size=400), st.lists(st.integers(1, 9)))
def test_messages_come_back_however_they_are_split(message: bytes, sizes: list[int]) -> None:
    assert read(frame(message), sizes) == message


@pytest.mark.parametrize("data", [frame(b""), frame(b"x" * 11), b"\xff\xff\xff\xff"])
def test_nothing_and_too_much_are_no_frames(data: bytes) -> None:
    with pytest.raises(FrameError, match="1 to 10 are allowed"):
        read(data, [], limit=10)


def test_an_end_within_a_frame_is_told() -> None:
    reader = frame_reader(10)
    reader.receive_data(b"\0\0")
    with pytest.raises(FrameError, match="ended within a frame"):
        reader.receive_data(b"")


@given(st.binary(max_size=40), st.lists(st.integers(1, 9)))
def test_garbage_is_an_error_or_wants_more(data: bytes, sizes: list[int]) -> None:
    with suppress(FrameError):
        read(data, sizes, limit=16)


@pytest.mark.parametrize(
    ("command_line", "wanted"),
    [
        ("panic=30 enclaver.development_nsm=vsock\n", True),
        ("enclaver.development_nsm=vsock virtio_mmio.device=512@0xfeb00e00:12", True),
        ("", False),
        ("panic=30", False),
        ("enclaver.development_nsm=off", False),
        ("xenclaver.development_nsm=vsock", False),
        ("enclaver.development_nsm=vsockx", False),
        ('x="enclaver.development_nsm=vsock"', False),
    ],
)
def test_only_a_word_of_its_own_asks_for_it(command_line: str, wanted: bool) -> None:
    assert is_wanted(command_line) is wanted
