from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import MockClock, trio_test

from enclaver_runtime.enclave.app_port import reach_app
from tests.unit.enclaver_runtime.net import unix_pair


class App:
    """An app that refuses ``attempts`` connections before it listens."""

    def __init__(self, attempts: int, code: int = errno.ECONNREFUSED) -> None:
        self.left = attempts
        self.code = code

    async def connect(self) -> trio.SocketStream:
        if self.left:
            self.left -= 1
            raise OSError(self.code, "no")
        stream, other = unix_pair()
        await other.aclose()
        return stream


@pytest.fixture
def fast_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


@pytest.mark.parametrize("attempts", [0, 1, 100])
@trio_test
async def test_an_app_that_does_not_listen_yet_is_waited_for(attempts: int, fast_clock: MockClock) -> None:
    told: list[str] = []
    stream = await reach_app(App(attempts).connect, patience=60, tell=told.append)
    assert stream is not None
    await stream.aclose()
    assert told == []


@pytest.mark.parametrize(
    ("app", "what"),
    [
        (App(1_000_000), "ingress: the app did not listen within 60 s, a connection was dropped"),
        (App(1, errno.EMFILE), "ingress: the app cannot be reached, a connection was dropped: no"),
    ],
)
@trio_test
async def test_an_app_that_is_not_there_is_told_of(app: App, what: str, fast_clock: MockClock) -> None:
    told: list[str] = []
    assert await reach_app(app.connect, patience=60, tell=told.append) is None
    assert told == [what]
