from __future__ import annotations

import functools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import trio_test

from enclaver_runtime.parent.egress import Open, serve_egress
from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.frames import Connected, Failed, Request
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.transport import vsock
from tests.unit.enclaver_runtime.net import read_all, serving, unix_pair

OK = frames.format_answer(Connected())


class Served:
    """A running service: connects as the enclave does."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.told: list[str] = []

    async def connect(self) -> trio.SocketStream:
        return await trio.open_unix_socket(self._path)

    async def say(self, data: bytes) -> bytes:
        """All of the answer to ``data`` and the end of input."""
        async with await self.connect() as stream:
            await stream.send_all(data)
            await stream.send_eof()
            return await read_all(stream)


@asynccontextmanager
async def egress(
    folder: Path, *, allow: list[str], connect: Open | None = None, timeout: float = 5
) -> AsyncIterator[Served]:
    served = Served(f"{folder / 'vm'}_17002")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(
                functools.partial(
                    serve_egress,
                    listener=vsock.listen_hybrid(str(folder / "vm"), frames.PORT),
                    policy=Policy(allow=allow),
                    connect=connect,
                    tell=served.told.append,
                    request_timeout=timeout,
                )
            )
            yield served
            nursery.cancel_scope.cancel()


async def upper(stream: trio.SocketStream) -> None:
    await stream.send_all((await read_all(stream)).upper())


@trio_test
async def test_bytes_follow_the_frames_even_at_once(tmp_path: Path) -> None:
    async with serving(upper) as port, egress(tmp_path, allow=["host"]) as served:
        assert await served.say(frames.format_request(Request("host", port)) + b"text") == OK + b"TEXT"
    assert served.told == []


@trio_test
async def test_what_is_known_is_decided_as_before_and_what_follows_it_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enclaver_runtime.parent.egress._REQUESTS", 2)
    async with serving(upper) as port, egress(tmp_path, allow=["host"]) as served:
        allowed = frames.format_request(Request("host", port))
        for number in (80, 81, 82, 80):
            refused = frames.format_request(Request("denied.example", number))
            for early in (b"", b"one", b"", b"two"):
                assert await served.say(allowed + early) == OK + early.upper()
                assert b"blocked by egress security policy" in await served.say(refused + early)
    # Remembered or not, every refusal is told.
    assert len(served.told) == 16


@trio_test
async def test_what_the_policy_refuses_is_told_and_answered(tmp_path: Path) -> None:
    async with egress(tmp_path, allow=["host:1"]) as served:
        answer = frames.parse_answer((await served.say(frames.format_request(Request("host", 2))))[2:])
        assert isinstance(answer, Failed)
        assert answer.message == "blocked by egress security policy: nothing in egress.allow covers host port 2"
        assert served.told == [f"egress: 'host' port 2 {answer.message}"]
        refused = frames.parse_answer((await served.say(frames.format_request(Request("host", 1))))[2:])
        assert refused == Failed(111, "127.0.0.1 port 1: Connection refused")
    assert len(served.told) == 1


@trio_test
async def test_silent_peers_are_dropped(tmp_path: Path) -> None:
    async with egress(tmp_path, allow=["**"], timeout=0.05) as served, await served.connect() as stream:
        await stream.send_all(b"\x10")
        assert await read_all(stream) == b""
    assert served.told == ["egress: a connection was dropped: no request within 0.05 s"]


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(st.lists(st.binary(max_size=40), max_size=10))
def test_garbage_is_dropped_and_the_next_peer_is_served(garbage: list[bytes]) -> None:
    async def never(host: str, port: int) -> trio.SocketStream | Failed:
        ours, theirs = unix_pair()
        await theirs.aclose()
        return ours

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with egress(Path(folder), allow=["a"], connect=never) as served:
                for data in garbage:
                    # What was not read makes a reset of the hanging up.
                    with suppress(trio.BrokenResourceError):
                        await served.say(b"\xff\xff" + data)
                assert await served.say(frames.format_request(Request("a", 1))) == OK
            assert len(served.told) == len(garbage)

    trio.run(main)
