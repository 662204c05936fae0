from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import memory_stream_one_way_pair, trio_test

from enclaver_runtime.parent.console import Console


def test_keeps_the_last_lines_and_drops_blank_ones() -> None:
    console = Console(keep=2)
    console.feed(b"one\r\n\r\n  \ntwo\nthr")
    console.feed(b"ee\nfour")
    assert console.tail() == ("two", "three", "four")


def test_strips_what_a_terminal_would_obey() -> None:
    console = Console()
    console.feed(b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS\x07 \xff\tx\n")
    assert console.tail() == ("SeaBIOS \tx",)


def test_a_line_without_end_is_bounded() -> None:
    console = Console()
    for _ in range(100):
        console.feed(b"x" * 10_000)
    assert [len(line) for line in console.tail()] == [400]


@given(st.integers(0, 70), st.integers(0, 70))
def test_a_panic_is_seen_wherever_it_is_cut(first: int, second: int) -> None:
    text = b"[    0.7] Kernel panic - not syncing: Attempted to kill init!\n[ 0.8] x"
    cuts = sorted((first, second))
    console = Console()
    console.feed(text[: cuts[0]])
    console.feed(text[cuts[0] : cuts[1]])
    console.feed(text[cuts[1] :])
    assert console.panicked.is_set()


def test_no_panic_without_one() -> None:
    console = Console()
    console.feed(b"Kernel command line: panic=30 init=/init\n")
    assert not console.panicked.is_set()
    assert not console.init_started.is_set()


def test_the_start_of_init_is_seen() -> None:
    console = Console()
    console.feed(b"[    0.751] Run /init as in")
    console.feed(b"it process\r\n")
    assert console.init_started.is_set()


@trio_test
async def test_echoes_all_until_the_end() -> None:
    echoed = bytearray()

    async def echo(data: bytes) -> None:
        echoed.extend(data)

    sender, receiver = memory_stream_one_way_pair()
    console = Console(echo=echo)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(console.read, receiver)
        await sender.send_all(b"a\nb")
        await sender.send_all(b"c\n")
        await sender.aclose()
    assert bytes(echoed) == b"a\nbc\n"
    assert console.tail() == ("a", "bc")
