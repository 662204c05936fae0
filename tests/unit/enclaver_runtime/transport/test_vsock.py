from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio

from enclaver_runtime.transport import vsock


def test_whether_vsock_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []

    def opened(*arguments: int) -> SimpleNamespace:
        asked.append(arguments)
        return SimpleNamespace(close=lambda: asked.append(()))

    monkeypatch.setattr(socket, "socket", opened)
    vsock.check()
    assert asked == [(socket.AF_VSOCK, socket.SOCK_STREAM), ()]

    def forbidden(*_: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", forbidden)
    with pytest.raises(PermissionError):
        vsock.check()


def parent(path: Path, said: bytes, received: list[bytes]) -> Callable[[], Awaitable[None]]:
    """A hybrid parent for one connection, which answers the first line with ``said``, or hangs up on it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    async def serve() -> None:
        accepting = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        async with accepting, await accepting.accept() as stream:
            received.append(bytes(await stream.receive_some(100)))
            if said:
                await stream.send_all(said)
                with suppress(trio.BrokenResourceError):
                    await stream.receive_some(1)

    return serve


def test_connecting_through_a_hybrid_parent(tmp_path: Path) -> None:
    received: list[bytes] = []

    async def main() -> None:
        serve = parent(tmp_path / "vm", b"OK 1073741824\nhello", received)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            async with await vsock.connect_hybrid(str(tmp_path / "vm"), 17000) as stream:
                # What follows the greeting is the guest's.
                assert await stream.receive_some(100) == b"hello"

    trio.run(main)
    assert received == [b"CONNECT 17000\n"]


@pytest.mark.parametrize("said", [b"", b"NO\n", b"O" * 100])
def test_a_parent_that_does_not_say_ok(tmp_path: Path, said: bytes) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parent(tmp_path / "vm", said, []))
            with pytest.raises(vsock.HybridError, match="CONNECT 17000"):
                await vsock.connect_hybrid(str(tmp_path / "vm"), 17000)

    trio.run(main)


def test_half_an_answer_is_waited_for_until_the_callers_patience_ends(tmp_path: Path) -> None:
    async def main() -> bool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parent(tmp_path / "vm", b"OK", []))
            with trio.move_on_after(0.05) as patience:
                await vsock.connect_hybrid(str(tmp_path / "vm"), 17000)
        return patience.cancelled_caught

    assert trio.run(main)


def test_no_parent_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        trio.run(vsock.connect_hybrid, str(tmp_path / "vm"), 1)


def test_listening_where_a_hybrid_guests_connections_arrive(tmp_path: Path) -> None:
    path = str(tmp_path / "vm")
    (tmp_path / "vm_9000").touch()

    async def main() -> bytes:
        async with vsock.listen_hybrid(path, 9000) as listener, await trio.open_unix_socket(f"{path}_9000") as guest:
            await guest.send_all(b"\xb7")
            async with await listener.accept() as stream:
                return bytes(await stream.receive_some(1))

    assert trio.run(main) == b"\xb7"


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        vsock.listen_hybrid(str(tmp_path / "missing" / "vm"), 9000)

    with pytest.raises(OSError):
        trio.run(main)


def has_vsock() -> bool:
    try:
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_vsock(), reason="this kernel has no vsock")
def test_a_port_is_listened_on_once() -> None:
    async def main() -> None:
        async with vsock.listen(54321):
            with pytest.raises(OSError) as caught:
                vsock.listen(54321)
            assert caught.value.errno == errno.EADDRINUSE

    trio.run(main)


@pytest.mark.skipif(not has_vsock(), reason="this kernel has no vsock")
def test_a_connection_that_nobody_answers_can_be_given_up() -> None:
    async def main() -> bool:
        with trio.move_on_after(0.1):
            try:
                await (await vsock.connect(77777, 1)).aclose()
            except OSError:
                return True
            return False
        return True

    assert trio.run(main)


def test_a_connection_that_is_begun_is_waited_for_by_others() -> None:
    try:
        plain = vsock.begin(77777, 1)
    except OSError:
        # There is no vsock here, or it is known already that nobody has that number.
        return
    with plain:
        assert not plain.getblocking()


@pytest.mark.parametrize(
    ("family", "peer", "expected"),
    [
        (socket.AF_VSOCK, (3, 8000), True),
        (socket.AF_VSOCK, (2, 8000), False),
        (socket.AF_UNIX, "", True),
        (socket.AF_INET, ("127.0.0.1", 2), True),
    ],
)
def test_only_the_hosts_own_vsock_knows_no_half_close(family: int, peer: object, expected: bool) -> None:
    connection = SimpleNamespace(family=family, getpeername=lambda: peer)
    assert vsock.half_closes(cast(socket.socket, connection)) is expected
