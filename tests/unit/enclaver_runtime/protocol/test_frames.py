from __future__ import annotations

import io
import json
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.frames import Connected, Failed, FrameError, FrameReader, Request


def read(data: bytes, sizes: list[int], limit: int = frames.MAX_ANSWER) -> tuple[bytes | None, bytes]:
    """The payload, and what is left of ``data``; given in pieces of ``sizes``, then one byte at a time."""
    reader = FrameReader(limit)
    while data:
        size = min(reader.wanted, sizes.pop() if sizes else 1)
        piece, data = data[:size], data[size:]
        if (payload := reader.receive_data(piece)) is not None:
            return payload, data
    return None, b""


def test_the_wire_is_enclavers() -> None:
    assert frames.format_request(Request("example.com", 443)) == b'\x21\x00{"host":"example.com","port":443}'
    assert frames.format_answer(Connected()) == b'\x04\x00"Ok"'
    assert frames.format_answer(Failed(111, "no")) == b'\x26\x00{"Err":{"os_code":111,"message":"no"}}'


@given(st.text(max_size=255), st.integers(1, 65535), st.binary(max_size=5), st.lists(st.integers(1, 9)))
def test_requests_come_back_however_they_are_split(host: str, port: int, rest: bytes, sizes: list[int]) -> None:
    request = Request(host, port)
    payload, left = read(frames.format_request(request) + rest, sizes)
    assert payload is not None
    assert (frames.parse_request(payload), left) == (request, rest)


@given(st.one_of(st.binary(max_size=40), st.binary(max_size=300).map(lambda data: struct.pack("<H", len(data)) + data)))
def test_one_whole_frame_is_what_the_reader_takes_for_one(data: bytes) -> None:
    payload = frames.only_frame(data)
    if payload is not None:
        assert read(data, []) == (payload, b"")
    else:
        with suppress(FrameError):
            found, left = read(data, [])
            assert found is None or left


@given(
    st.one_of(st.just(Connected()), st.builds(Failed, st.integers(-(2**31), 2**31 - 1), st.text(max_size=512))),
    st.lists(st.integers(1, 9)),
)
def test_answers_come_back_however_they_are_split(answer: frames.Answer, sizes: list[int]) -> None:
    payload, _ = read(frames.format_answer(answer), sizes)
    assert payload is not None
    assert frames.parse_answer(payload) == answer


@given(st.sampled_from(["<H", ">I"]), st.binary(min_size=1, max_size=300), st.lists(st.integers(1, 9)))
def test_frames_of_any_length_field_come_back_however_they_are_split(
    form: str, payload: bytes, sizes: list[int]
) -> None:
    length = struct.Struct(form)
    reader = FrameReader(300, length=length)
    stream, result = io.BytesIO(length.pack(len(payload)) + payload + b"rest"), None
    while result is None:
        result = reader.receive_data(stream.read(min(reader.wanted, sizes.pop() if sizes else 1000)))
    assert result == payload
    assert stream.read() == b"rest"


def test_a_long_message_is_cut() -> None:
    payload, _ = read(frames.format_answer(Failed(1, "\U0001f511" * 100_000)), [])
    assert payload is not None
    assert frames.parse_answer(payload) == Failed(1, "\U0001f511" * 512)


@given(st.binary(max_size=200))
def test_garbage_is_an_error_or_wants_more(data: bytes) -> None:
    with suppress(FrameError):
        payload, _ = read(data, [], limit=64)
        if payload is not None:
            frames.parse_request(payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["host", "port", "Err", "os_code", "message", "x"]), inner)
    ),
)


@given(JSON)
def test_other_json_is_an_error(document: object) -> None:
    data = json.dumps(document).encode()
    with suppress(FrameError):
        assert json.loads(frames.format_request(frames.parse_request(data))[2:]) == document
    with suppress(FrameError):
        assert json.loads(frames.format_answer(frames.parse_answer(data))[2:]) == document


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"host":"a"}',
        b'{"host":"a","port":0}',
        b'{"host":"a","port":65536}',
        b'{"host":"a","port":true}',
        b'{"host":"a","port":1.0}',
        b'{"host":"a","port":"1"}',
        b'{"host":1,"port":1}',
        b'{"host":"a","port":1,"x":1}',
        b'{"host":"a","host":"b","port":1}',
        b'{"host":"' + b"a" * 256 + b'","port":1}',
        b'{"host":"a","port":1}{}',
        b"[" * 2000,
        b"\xff",
    ],
)
def test_malformed_requests(payload: bytes) -> None:
    with pytest.raises(FrameError):
        frames.parse_request(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b'"ok"',
        b'{"Ok":null}',
        b'{"Err":"text"}',
        b'{"Err":{"os_code":1}}',
        b'{"Err":{"os_code":1.5,"message":""}}',
        b'{"Err":{"os_code":2147483648,"message":""}}',
        b'{"Err":{"os_code":1,"message":"","x":1}}',
        b'{"Err":{"os_code":1,"message":""},"x":1}',
    ],
)
def test_malformed_answers(payload: bytes) -> None:
    with pytest.raises(FrameError):
        frames.parse_answer(payload)


@pytest.mark.parametrize("data", [b"\x00\x00", b"\x41\x00"])
def test_a_frames_size_is_bounded(data: bytes) -> None:
    with pytest.raises(FrameError, match="1 to 64 are allowed"):
        FrameReader(64).receive_data(data)


def test_an_end_is_an_error() -> None:
    reader = FrameReader(64)
    with pytest.raises(FrameError, match="^the connection ended$"):
        reader.receive_data(b"")
    reader.receive_data(b"\x05")
    with pytest.raises(FrameError, match="within a frame"):
        reader.receive_data(b"")


def test_more_than_wanted_is_the_callers_fault() -> None:
    with pytest.raises(ValueError, match="3 bytes given, 2 wanted"):
        FrameReader(64).receive_data(b"\x05\x00\x00")
