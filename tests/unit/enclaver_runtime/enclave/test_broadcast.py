from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from trio.testing import MemoryReceiveStream, MockClock, memory_stream_one_way_pair, wait_all_tasks_blocked

from enclaver_runtime.enclave import broadcast
from enclaver_runtime.enclave.broadcast import Broadcast


class Text:
    """A feed of one byte string that grows."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.start = 0
        self.ended = False

    def read(self, position: int) -> tuple[bytes, int]:
        return self.data[position:], len(self.data)


class Listener(trio.abc.Listener[trio.abc.Stream]):
    """Gives out the streams that a test puts in."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[trio.abc.Stream](100)

    def connect(self) -> trio.StapledStream[trio.abc.SendStream, MemoryReceiveStream]:
        """A reader's side of a new connection."""
        up_send, up_receive = memory_stream_one_way_pair()
        to_reader, from_server = memory_stream_one_way_pair()
        self._send.send_nowait(trio.StapledStream(to_reader, up_receive))
        return trio.StapledStream(up_send, from_server)

    async def accept(self) -> trio.abc.Stream:
        return await self._receive.receive()

    async def aclose(self) -> None:
        await self._receive.aclose()


def play(scenario: Callable[[Text, Broadcast, Listener], Awaitable[None]], *, hold: bool = False) -> None:
    async def main() -> None:
        feed, listener = Text(), Listener()
        served = Broadcast(feed, hold=hold)
        async with trio.open_nursery() as nursery:
            await nursery.start(served.serve, listener)
            await scenario(feed, served, listener)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_each_reader_gets_all_and_then_the_end() -> None:
    async def scenario(feed: Text, served: Broadcast, listener: Listener) -> None:
        feed.data = b"one "
        early = listener.connect()
        assert await early.receive_some() == b"one "
        feed.data += b"two "
        served.wake()
        late = listener.connect()
        assert await early.receive_some() == b"two "
        assert await late.receive_some() == b"one two "
        feed.ended = True
        served.wake()
        assert await early.receive_some() == await late.receive_some() == b""
        await served.settled(readers=2)

    play(scenario)


def test_a_reader_that_closes_its_sending_side_gets_what_there_is() -> None:
    async def scenario(feed: Text, served: Broadcast, listener: Listener) -> None:
        feed.data = b"all"
        reader = listener.connect()
        await reader.send_stream.aclose()
        assert await reader.receive_some() == b"all"
        assert await reader.receive_some() == b""

    play(scenario)


def test_what_a_reader_sends_is_ignored() -> None:
    async def scenario(feed: Text, served: Broadcast, listener: Listener) -> None:
        reader = listener.connect()
        await reader.send_all(b"GET / HTTP/1.1\r\n\r\n")
        feed.data = b"x"
        await wait_all_tasks_blocked()
        served.wake()
        assert await reader.receive_some() == b"x"

    play(scenario)


def test_what_readers_send_is_told_apart() -> None:
    heard: list[list[bytes]] = []

    def receiver() -> Callable[[bytes], None]:
        heard.append([])
        return heard[-1].append

    async def main() -> None:
        listener = Listener()
        served = Broadcast(Text(), receiver=receiver)
        async with trio.open_nursery() as nursery:
            await nursery.start(served.serve, listener)
            for data in (b"one", b"two"):
                await listener.connect().send_all(data)
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert heard == [[b"one"], [b"two"]]


def test_a_reader_that_left_is_nobody_to_wait_for() -> None:
    async def scenario(feed: Text, served: Broadcast, listener: Listener) -> None:
        reader = listener.connect()
        await wait_all_tasks_blocked()
        await reader.aclose()
        feed.data, feed.ended = b"x", True
        served.wake()
        await served.settled()

    play(scenario)


def test_nobody_has_to_come_but_the_end() -> None:
    async def scenario(feed: Text, served: Broadcast, listener: Listener) -> None:
        with trio.move_on_after(5) as patience:
            await served.settled()
        assert patience.cancelled_caught
        feed.ended = True
        await served.settled()

    play(scenario)


def test_holding_waits_for_the_reader_to_hang_up() -> None:
    async def scenario(feed: Text, served: Broadcast, listener: Listener) -> None:
        feed.data, feed.ended = b"end", True
        reader = listener.connect()
        assert await reader.receive_some() == b"end"
        with trio.move_on_after(5) as patience:
            await served.settled(readers=1)
        assert patience.cancelled_caught
        await reader.aclose()
        await served.settled(readers=1)

    play(scenario, hold=True)


def test_one_reader_too_many_is_turned_away() -> None:
    async def scenario(feed: Text, served: Broadcast, listener: Listener) -> None:
        readers = [listener.connect() for _ in range(broadcast.MAX_READERS + 1)]
        await wait_all_tasks_blocked()
        assert await readers[-1].receive_some() == b""
        feed.data = b"x"
        served.wake()
        assert await readers[0].receive_some() == b"x"

    play(scenario)


def test_a_reader_that_breaks_off_harms_nobody() -> None:
    class Broken(trio.abc.Stream):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            raise trio.BrokenResourceError

        async def wait_send_all_might_not_block(self) -> None:
            raise trio.BrokenResourceError

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            raise trio.BrokenResourceError

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    async def scenario(feed: Text, served: Broadcast, listener: Listener) -> None:
        feed.data = b"x"
        listener._send.send_nowait(Broken())
        await wait_all_tasks_blocked()
        reader = listener.connect()
        assert await reader.receive_some() == b"x"

    play(scenario)
