from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol.status import (
    MAX_LINE,
    Exited,
    Fatal,
    Running,
    Signaled,
    Status,
    StatusDecoder,
    StatusError,
    format_line,
    is_final,
    parse_line,
)

STATUSES: st.SearchStrategy[Status] = st.one_of(
    st.just(Running()),
    st.builds(Exited, st.integers(0, 255)),
    st.builds(Signaled, st.integers(1, 64)),
    st.builds(Fatal, st.text(max_size=60)),
)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (Running(), b'{"status":"running"}\n'),
        (Exited(42), b'{"status":"exited","code":42}\n'),
        (Signaled(9), b'{"status":"signaled","signal":9}\n'),
        (Fatal('no "app"\n'), b'{"status":"fatal","error":"no \\"app\\"\\n"}\n'),
    ],
)
def test_the_four_lines(status: Status, line: bytes) -> None:
    assert format_line(status) == line
    assert parse_line(line) == status


def test_only_running_is_not_final() -> None:
    assert not is_final(Running())
    assert all(is_final(status) for status in (Exited(0), Signaled(1), Fatal("")))


@pytest.mark.parametrize("text", ["SIGKILL", "9"])
def test_enclaver_sends_the_signal_as_text(text: str) -> None:
    assert parse_line(f'{{ "status": "signaled", "signal": "{text}" }}\n'.encode()) == Signaled(9)


@given(STATUSES)
def test_what_is_written_is_read(status: Status) -> None:
    assert parse_line(format_line(status)) == status


@given(st.text(st.characters(categories=["Cs", "Cc", "Lu", "So"]), min_size=300, max_size=2000))
def test_any_error_text_makes_one_short_line_of_json(text: str) -> None:
    line = format_line(Fatal(text))
    assert len(line) <= MAX_LINE
    assert line.count(b"\n") == 1
    assert line.isascii()
    error = json.loads(line)["error"]
    error.encode("utf-8")
    assert error.endswith("...") or len(error) >= 300


def test_a_text_that_just_fits_is_not_cut() -> None:
    room = MAX_LINE - len(format_line(Fatal("")))
    assert parse_line(format_line(Fatal("x" * room))) == Fatal("x" * room)
    assert parse_line(format_line(Fatal("x" * (room + 1)))) == Fatal("x" * (room - 3) + "...")


def test_a_lone_surrogate_that_is_read_can_be_printed() -> None:
    assert parse_line(b'{"status":"fatal","error":"\\udc80"}') == Fatal("\\udc80")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"1",
        b"[]",
        b"\xff",
        b"[" * 1000,
        b'{"status":"running"} x',
        b'{"status":"running","code":1}',
        b'{"status":"running","status":"running"}',
        b'{"status":["running"]}',
        b'{"status":"exited"}',
        b'{"status":"exited","code":true}',
        b'{"status":"exited","code":1.0}',
        b'{"status":"exited","code":256}',
        b'{"status":"exited","code":-1}',
        b'{"status":"exited","code":1,"more":2}',
        b'{"status":"signaled","signal":0}',
        b'{"status":"signaled","signal":65}',
        b'{"status":"signaled","signal":"SIGNOPE"}',
        b'{"status":"signaled","signal":"00000000009"}',
        b'{"status":"signaled","signal":null}',
        b'{"status":"fatal","error":1}',
        b'{"status":"stopped"}',
        b'{"status":"fatal","error":"' + b"x" * MAX_LINE + b'"}',
    ],
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(StatusError):
        parse_line(line)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read(line: bytes) -> None:
    with suppress(StatusError):
        parse_line(line)


@given(st.lists(STATUSES, max_size=8), st.integers(1, 50))
def test_the_decoder_takes_any_pieces(statuses: list[Status], size: int) -> None:
    data = b"".join(map(format_line, statuses))
    decoder = StatusDecoder()
    received = []
    for start in range(0, len(data), size):
        received += decoder.receive_data(data[start : start + size])
    assert received == statuses


def test_the_decoder_holds_one_line_at_most() -> None:
    decoder = StatusDecoder()
    decoder.receive_data(b"x" * MAX_LINE)
    with pytest.raises(StatusError, match="longer"):
        decoder.receive_data(b"x")
