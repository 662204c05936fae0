"""The ways from a client to the origin that benchmarks/proxy.py compares, and what their processes use."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks import proxy_origin, proxy_python, proxy_sides
from benchmarks.proxy_client import Entrance

_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class Route:
    """A way to the origin: through what one enters it, and the processes in between."""

    name: str
    egress: Entrance
    ingress: Entrance
    processes: tuple[int, ...] = ()

    def cpu_seconds(self) -> float:
        """What the processes have used so far, with the children that they have waited for."""
        return sum(sum(map(int, _stat(process)[11:15])) for process in self.processes) / _TICKS

    def memory_mib(self) -> float:
        """Resident memory of the processes and their children, now."""
        return sum(_status(process, "VmRSS") for process in _with_children(self.processes)) / 1024

    def peak_mib(self) -> float:
        """The highest resident memory that each of the processes has had, together."""
        return sum(_status(process, "VmHWM") for process in self.processes) / 1024


def _stat(process: int) -> list[str]:
    # proc(5): what follows the name in parentheses, so that utime, stime, cutime and cstime are 11 to 14.
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _status(process: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


def _with_children(processes: Sequence[int]) -> list[int]:
    found = list(processes)
    for process in found:
        try:
            found += map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())
        except FileNotFoundError:
            continue
    return found


@contextmanager
def origin() -> Iterator[int]:
    """Run the origin; its port."""
    with _serving([sys.executable, proxy_origin.__file__]) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


def direct(port: int) -> Route:
    """To the origin, with nothing in between."""
    return Route("direct", Entrance(port), Entrance(port))


@contextmanager
def socats(origin_port: int, folder: Path) -> Iterator[Route]:
    """A chain of two socats, with a unix socket between them.

    Raises:
        FileNotFoundError: socat is not installed.
    """
    if not shutil.which("socat"):
        raise FileNotFoundError("socat is not installed (build-support/ci-tools apt installs it)")
    path, port = folder / "socat", _free_port()
    second = ["socat", "-b65536", f"UNIX-LISTEN:{path},fork,backlog=1024", f"TCP:127.0.0.1:{origin_port},nodelay"]
    first = [
        *("socat", "-b65536", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=1024"),
        f"UNIX-CONNECT:{path}",
    ]
    with ExitStack() as stack:
        processes = [stack.enter_context(_serving(command)) for command in (second, first)]
        _wait_for(port)
        entrance = Entrance(port)
        yield Route("socat", entrance, entrance, tuple(process.pid for process in processes))


@contextmanager
def ours(origin_port: int, folder: Path, python: str = sys.executable) -> Iterator[Route]:
    """The enclave's side and the parent's, with unix sockets between them; what they say goes to ``folder``/said.

    Both run on ``python``; the client and the origin, the same for all routes, on the one that runs this.
    """
    proxy, published = _free_port(), _free_port()
    enclave = ["enclave", str(folder), str(proxy), str(origin_port)]
    parent = ["parent", str(folder), str(published), str(origin_port)]
    with ExitStack() as stack:
        said = stack.enter_context((folder / "said").open("wb"))
        processes = []
        for arguments in (enclave, parent):
            process = stack.enter_context(_serving([python, proxy_sides.__file__, *arguments], said))
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise ConnectionError(f"the {arguments[0]}'s side did not start")
            processes.append(process.pid)
        where = b"127.0.0.1:%d" % origin_port
        connect = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (where, where)
        yield Route("ours", Entrance(proxy, connect, b"http://%s/" % where), Entrance(published), tuple(processes))


@contextmanager
def _serving(command: Sequence[str], said: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(proxy_python.search_path())}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as spare:
        port: int = spare.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(_PATIENCE_SECONDS * 100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    raise ConnectionError(f"nobody listens on port {port}")
