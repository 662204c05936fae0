"""Both sides of a running enclave as two processes of this machine, with unix sockets for vsock between them.

    python proxy_sides.py enclave FOLDER PROXY_PORT APP_PORT
    python proxy_sides.py parent FOLDER PUBLISHED_PORT APP_PORT

Either prints a line when clients can connect, and serves until its standard input ends. They are what runs in
production: the services that a runtime.json of egress and one ingress port asks for.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import trio

from enclaver_runtime.config import App, Config, Egress, Ingress
from enclaver_runtime.parent.limits import allow_many_files

#: Stands for the parent's CID.
_PARENT_CID = 3


def config(proxy_port: int, app_port: int) -> Config:
    """What the image's runtime.json would say."""
    return Config(
        app=App(argv=("/app",), env={}, cwd="/", uid=1, gid=1),
        egress=Egress(proxy_port=proxy_port, allow=("host", "127.0.0.1", "**.example.com"), deny=("10.0.0.0/8",)),
        ingress=(Ingress(app_port),),
        kms_proxy=None,
        api=None,
    )


async def enclave(folder: Path, proxy_port: int, app_port: int) -> None:
    """Serve the proxy and the ingress port."""
    from enclaver_runtime.enclave.providers import providers
    from enclaver_runtime.enclave.security_module import SecurityModule
    from enclaver_runtime.enclave.services import select
    from enclaver_runtime.transport import vsock
    from enclaver_runtime.transport.relay import visits

    async def connect(cid: int, port: int) -> trio.SocketStream:
        if cid != _PARENT_CID:
            await trio.sleep_forever()
        return await trio.open_unix_socket(f"{folder}/parent_{port}")

    def begin(_cid: int, port: int) -> socket.socket:
        return visits.begin(socket.AF_UNIX, f"{folder}/parent_{port}")

    def no_security_module() -> SecurityModule:
        raise RuntimeError("the benchmark asks for no attestation")

    made = providers(
        listen=lambda port: vsock.listen_hybrid(f"{folder}/enclave", port),
        connect=connect,
        begin=begin,
        say=say,
        log=say,
        root="/",
        security_module=no_security_module,
    )
    async with trio.open_nursery() as nursery:
        services, _ = select(config(proxy_port, app_port), made)
        for service in services:
            await nursery.start(service)
        await serve_until_told(nursery)


class Beside:
    """The enclave, as the parent's services see it."""

    half_closes = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def connect(self, port: int, timeout: float) -> trio.SocketStream:
        """Connect to a port of the enclave."""
        with trio.fail_after(timeout):
            return await trio.open_unix_socket(f"{self._folder}/enclave_{port}")

    def listen(self, port: int) -> trio.SocketListener:
        """Listen where the enclave connects to."""
        from enclaver_runtime.transport import vsock

        return vsock.listen_hybrid(f"{self._folder}/parent", port)


async def parent(folder: Path, published: int, app_port: int) -> None:
    """Serve egress and the published port."""
    from enclaver_runtime.parent.services import Publication, services

    beside = Beside(folder)
    publication = Publication("127.0.0.1", published, app_port)
    async with trio.open_nursery() as nursery:
        for serve in services(config(1, app_port), publish=[publication], tell=say):
            await nursery.start(serve, beside)
        await serve_until_told(nursery)


async def serve_until_told(nursery: trio.Nursery) -> None:
    """Say that it can begin, then wait for the end of standard input."""
    print("ready", flush=True)
    await trio.lowlevel.wait_readable(sys.stdin.fileno())
    nursery.cancel_scope.cancel()


def say(line: str) -> None:
    """Print a line for people."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    allow_many_files()
    side, where, first, second = sys.argv[1:]
    trio.run({"enclave": enclave, "parent": parent}[side], Path(where), int(first), int(second))
