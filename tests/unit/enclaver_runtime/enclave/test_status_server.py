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


def test_a_reader_may_ask_for_the_end(tmp_path: Path) -> None:
    path, asked = str(tmp_path / "vm"), list[int]()

    async def main() -> None:
        server = StatusServer(stop=asked.append)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, vsock.listen_hybrid(path, 1))
            half, one = [await trio.open_unix_socket(f"{path}_1") for _ in range(2)]
            async with half, one:
                await half.send_all(b'{"stop":')
                await one.send_all(b'{"stop":15}\n')
                await half.send_all(b"2}\n")
                while len(asked) < 2:
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert sorted(asked) == [2, 15]


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
