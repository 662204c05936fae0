from __future__ import annotations

import os
from pathlib import Path

import trio

from enclaver_runtime.enclave.log_server import LogServer
from enclaver_runtime.protocol.log import LogRing
from enclaver_runtime.transport import vsock
from tests.unit.enclaver_runtime import net


async def read_all(path: str) -> bytes:
    async with await trio.open_unix_socket(path) as stream:
        return await net.read_all(stream)


def test_two_readers_get_all_of_the_pipe_and_its_end(tmp_path: Path) -> None:
    path = str(tmp_path / "vm")
    results: list[bytes] = []

    async def reader() -> None:
        results.append(await read_all(f"{path}_1"))

    async def main() -> None:
        server = LogServer()
        pipe, output = os.pipe()
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, vsock.listen_hybrid(path, 1))
            async with trio.open_nursery() as readers:
                readers.start_soon(server.collect, trio.lowlevel.FdStream(pipe))
                readers.start_soon(reader)
                os.write(output, b"hello\n")
                await trio.sleep(0.01)
                readers.start_soon(reader)
                os.write(output, b"world\n")
                os.close(output)
            await server.drained()
            assert await read_all(f"{path}_1") == b"hello\nworld\n"
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert results == [b"hello\nworld\n"] * 2


def test_the_last_line_is_the_runtimes_when_it_has_one(tmp_path: Path) -> None:
    path = str(tmp_path / "vm")

    async def log(written: bytes) -> bytes:
        server = LogServer()
        pipe, output = os.pipe()
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, vsock.listen_hybrid(path, 1))
            os.write(output, written)
            server.conclude("so it ends")
            os.close(output)
            await server.collect(trio.lowlevel.FdStream(pipe))
            data = await read_all(f"{path}_1")
            nursery.cancel_scope.cancel()
        return data

    last = b"enclaver: so it ends\n"
    assert trio.run(log, b"") == last
    assert trio.run(log, b"whole\n") == b"whole\n" + last
    assert trio.run(log, b"half") == b"half\n" + last


def test_the_runtime_s_lines_are_lines_of_their_own_among_the_app_s(tmp_path: Path) -> None:
    path = str(tmp_path / "vm")

    async def main() -> bytes:
        server = LogServer()
        pipe, output = os.pipe()
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, vsock.listen_hybrid(path, 1))
            nursery.start_soon(server.collect, trio.lowlevel.FdStream(pipe))
            async with await trio.open_unix_socket(f"{path}_1") as reader, trio.lowlevel.FdStream(output) as app:
                server.note("first")
                await net.read_until(reader, b"first\n")
                await app.send_all(b"half")
                await net.read_until(reader, b"half")
                server.note("second: \udc80")
                rest = await net.read_until(reader, b"\\udc80\n")
                await app.send_all(b"of it\n")
                await app.aclose()
                rest += await net.read_all(reader)
            nursery.cancel_scope.cancel()
        return rest

    assert trio.run(main) == b"\nenclaver: second: \\udc80\nof it\n"


def test_a_reader_that_does_not_read_never_holds_the_app_up(tmp_path: Path) -> None:
    path = str(tmp_path / "vm")
    lines = b"".join(b"%07d\n" % number for number in range(200_000))

    async def main() -> bytes:
        server = LogServer(LogRing(16 * 1024))
        pipe, output = os.pipe()
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, vsock.listen_hybrid(path, 1))
            nursery.start_soon(server.collect, trio.lowlevel.FdStream(pipe))
            async with await trio.open_unix_socket(f"{path}_1") as stalled, trio.lowlevel.FdStream(output) as app:
                with trio.fail_after(20):
                    await app.send_all(lines)
                await app.aclose()
                data = b""
                async for piece in stalled:
                    data += piece
            nursery.cancel_scope.cancel()
        return data

    data = trio.run(main)
    # What fitted into the socket, a gap, and the end.
    assert len(data) < len(lines)
    assert data[:1000] in lines
    assert data.endswith(lines[-1000:])
