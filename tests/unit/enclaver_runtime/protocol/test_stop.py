from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol.stop import MAX_LINE, SIGNALS, StopDecoder, format_request


def test_the_wire_form() -> None:
    assert format_request(signal.SIGTERM) == b'{"stop":15}\n'
    assert format_request(signal.SIGINT) == b'{"stop":2}\n'


def test_nothing_else_can_be_asked_for() -> None:
    with pytest.raises(ValueError, match="signal 9"):
        format_request(signal.SIGKILL)


@given(st.data(), st.lists(st.sampled_from(SIGNALS), max_size=5))
def test_requests_are_read_however_they_are_cut(data: st.DataObject, numbers: list[int]) -> None:
    stream = b"".join(map(format_request, numbers))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder, read = StopDecoder(), list[int]()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += decoder.receive_data(stream[start:end])
    assert read == numbers


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET / HTTP/1.1\r",
        b"[15]",
        b"15",
        b"{}",
        b'{"stop":9}',
        b'{"stop":"15"}',
        b'{"stop":true}',
        b'{"stop":15.0}',
        b'{"stop":15,"now":1}',
        b'{"stop":15}' + b" " * MAX_LINE,
        b"[" * MAX_LINE,
        b"\xff",
    ],
)
def test_anything_else_is_ignored_and_harms_nothing(line: bytes) -> None:
    decoder = StopDecoder()
    assert decoder.receive_data(line[:40]) == []
    assert decoder.receive_data(line[40:] + b"\n") == []
    assert decoder.receive_data(format_request(2)) == [2]


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_taken_and_little_is_held(pieces: list[bytes]) -> None:
    decoder = StopDecoder()
    for piece in pieces:
        assert set(decoder.receive_data(piece)) <= set(SIGNALS)
        assert len(decoder._rest) <= MAX_LINE + 1
