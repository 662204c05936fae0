from __future__ import annotations

from pathlib import Path

import trio

from enclaver_runtime.enclave.status_server import StatusServer
from enclaver_runtime.protocol.status import Exited, Fatal, Running, Signaled, Status, StatusDecoder
from enclaver_runtime.transport import vsock


async def read(stream: trio.abc.ReceiveStream) -> Status:
    decoder = StatusDecoder()
    while not (statuses := decoder.receive_data(bytes(await stream.receive_some()))):
        pass
    return statuses[0]


def test_the_status_of_the_moment_then_every_change(tmp_path: Path) -> None:
    path = str(tmp_path / "vm")

    async def main() -> None:
        server = StatusServer()
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, vsock.listen_hybrid(path, 1))
            async with await trio.open_unix_socket(f"{path}_1") as early:
                assert await read(early) == Running()
                server.publish(Signaled(9))
                assert await read(early) == Signaled(9)
                async with await trio.open_unix_socket(f"{path}_1") as late:
                    assert await read(late) == Signaled(9)
            await server.acknowledged()
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_the_first_last_word_stands(tmp_path: Path) -> None:
    path = str(tmp_path / "vm")

    async def main() -> None:
        server = StatusServer()
        server.publish(Fatal("no app"))
        server.publish(Exited(0))
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, vsock.listen_hybrid(path, 1))
            async with await trio.open_unix_socket(f"{path}_1") as reader:
                assert await read(reader) == Fatal("no app")
            nursery.cancel_scope.cancel()

    trio.run(main)
