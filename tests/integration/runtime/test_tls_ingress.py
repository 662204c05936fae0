"""TLS that ends in a booted guest: real clients, certificates made here, and what the app sees of it all."""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from tests.certificates import Authority, rsa_key
from tests.integration.runtime.booted import PATIENCE, Runner, app, running
from tests.integration.runtime.tls_image import with_tls
from tests.integration.tools import require

pytestmark = pytest.mark.slow

AUTHORITY = Authority()
HTTP_PORT, BYTES_PORT = 8443, 8444
LARGE = 8 << 20

T = TypeVar("T")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The enclave, for all tests of this module."""
    # RSA, whose handshakes are the slowest.
    eif = with_tls(app("web"), AUTHORITY.identity(rsa_key()), tmp_path_factory.mktemp("tls"))
    with running(eif, "-p", f"127.0.0.1:0:{HTTP_PORT}", "-p", f"127.0.0.1:0:{BYTES_PORT}") as runner:
        runner.wait_for_log("^listening$")
        yield runner


def trusting(authority: Authority = AUTHORITY, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client's context."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def connect(web: Runner, port: int, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """Connect and shake hands."""
    plain = socket.create_connection(web.published(port), PATIENCE)
    try:
        return (context or trusting()).wrap_socket(plain, server_hostname="localhost")
    except BaseException:
        plain.close()
        raise


def ask(web: Runner, path: str, body: bytes | None = None) -> bytes:
    """One request on a connection of its own."""
    connection = http.client.HTTPSConnection(*web.published(HTTP_PORT), timeout=PATIENCE, context=trusting())
    try:
        connection.request("GET" if body is None else "POST", path, body)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()
    finally:
        connection.close()


def digest(data: bytes) -> bytes:
    """What the app says of data."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


def curl(web: Runner, authority: Path, *options: str, path: str = "/") -> subprocess.CompletedProcess[bytes]:
    """Run curl, which knows the server by its name."""
    address, port = web.published(HTTP_PORT)
    url = f"https://localhost:{port}{path}"
    command = [
        str(require("curl")),
        "--silent",
        "--show-error",
        "--max-time",
        f"{PATIENCE:g}",
        "--cacert",
        str(authority),
    ]
    return subprocess.run(
        [*command, "--resolve", f"localhost:{port}:{address}", *options, url], capture_output=True, check=False
    )


def test_curl_verifies_the_server_and_gets_large_bodies_both_ways(web: Runner, tmp_path: Path) -> None:
    authority, body = tmp_path / "authority.pem", tmp_path / "body"
    authority.write_bytes(AUTHORITY.pem)
    body.write_bytes(bytes(range(256)) * (LARGE // 256))
    down = curl(web, authority, path=f"/bytes/{LARGE}")
    assert (down.returncode, down.stdout) == (0, bytes(LARGE)), down.stderr
    up = curl(web, authority, "--data-binary", f"@{body}")
    assert up.stdout == digest(body.read_bytes()), up.stderr
    agreed = curl(web, authority, "-w", "%{http_version}", path="/bytes/0")
    assert agreed.stdout == b"1.1", agreed.stderr


def test_curl_refuses_a_server_of_another_authority(web: Runner, tmp_path: Path) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_bytes(Authority("Another").pem)
    refused = curl(web, authority)
    assert (refused.returncode, refused.stdout) == (60, b""), refused.stderr
    web.wait_for_said(r"ingress: no TLS with a client of port 8443: .*unknown ca")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_serve(web: Runner, version: ssl.TLSVersion) -> None:
    with connect(web, HTTP_PORT, trusting(version=version)) as client:
        assert client.version() == version.name.replace("_", ".")
        client.sendall(b"GET /bytes/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"


def test_many_shake_hands_at_once_while_others_stall(web: Runner) -> None:
    address = web.published(HTTP_PORT)
    stalled = [socket.create_connection(address, PATIENCE) for _ in range(20)]
    try:
        for one in stalled[::2]:
            # The beginning of a first message that never ends.
            one.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        with ThreadPoolExecutor(40) as threads:
            answers = list(threads.map(lambda count: ask(web, f"/bytes/{count}"), range(80)))
        assert [len(answer) for answer in answers] == list(range(80))
        web.wait_for_said(r"ingress: no TLS with a client of port 8443: no handshake within 10 s")
        # Whoever stalled has been hung up on.
        for one in stalled:
            with suppress(ConnectionResetError):
                assert one.recv(1) == b""
    finally:
        for one in stalled:
            one.close()


class HalfClosing:
    """A TLS client that can end its output and read on, over a socket that stays open both ways."""

    def __init__(self, web: Runner, version: ssl.TLSVersion) -> None:
        self._socket = socket.create_connection(web.published(BYTES_PORT), PATIENCE)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = trusting(version=version)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._until(self._tls.do_handshake)

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def end(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def receive_all(self) -> bytes:
        """All up to close_notify."""
        received = bytearray()
        with suppress(ssl.SSLZeroReturnError):
            while data := self._until(lambda: self._tls.read(1 << 16)):
                received += data
        return bytes(received)

    def close(self) -> None:
        self._socket.close()

    def _flush(self) -> None:
        self._socket.sendall(self._outgoing.read())

    def _until(self, step: Callable[[], T]) -> T:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                data = self._socket.recv(1 << 16)
                assert data, "TCP has ended, TLS has not"
                self._incoming.write(data)
            else:
                self._flush()
                return result


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_ends_its_output_gets_the_answer(web: Runner, version: ssl.TLSVersion) -> None:
    client = HalfClosing(web, version)
    data = bytes(range(256)) * 4096
    client.send(b"digest\n" + data)
    client.end()
    assert client.receive_all() == digest(data)
    client.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_app_that_ends_its_output_gets_the_rest(web: Runner, version: ssl.TLSVersion) -> None:
    client, size = HalfClosing(web, version), 100_000 + version
    client.send(b"answer\n")
    assert client.receive_all() == b"an answer"
    client.send(bytes(size))
    client.end()
    web.wait_for_log(f"^{size} bytes after the answer$")
    client.close()


def test_a_client_that_is_cut_off_is_a_reset_for_the_app(web: Runner) -> None:
    with connect(web, BYTES_PORT) as client:
        client.sendall(b"digest\n" + bytes(12_345))
        # Closed as it is: TCP ends, TLS does not.
    web.wait_for_log(r"^reset after \d+ bytes$")


def test_plain_http_is_hung_up_on_and_told(web: Runner) -> None:
    connection = http.client.HTTPConnection(*web.published(HTTP_PORT), timeout=PATIENCE)
    connection.request("GET", "/")
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    connection.close()
    web.wait_for_said(r"ingress: no TLS with a client of port 8443: it speaks HTTP without TLS")
    assert ask(web, "/bytes/3") == bytes(3)


def test_no_key_and_no_certificate_shows(web: Runner) -> None:
    assert not re.search("BEGIN|PRIVATE", web.log + web.said)
