from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from enclaver.system.timely_adapter import TimelyAdapter
from tests import fake_registry
from tests.certificates import Authority


@contextmanager
def dripping(context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server whose answer has a head without end, a byte at a time; its host."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            wrapped = context.wrap_socket(connection, server_side=True) if context else connection
            with wrapped:
                wrapped.recv(1000)
                try:
                    wrapped.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                    while True:
                        wrapped.sendall(b"x")
                        time.sleep(0.02)
                except OSError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def get(adapter: TimelyAdapter, url: str, **options: str | dict[str, str]) -> bytes:
    request = requests.Request("GET", url).prepare()
    with adapter.send(request, timeout=5, **options) as response:  # type: ignore[arg-type]
        return response.content


@pytest.mark.slow
def test_a_head_that_drips_is_left() -> None:
    adapter = TimelyAdapter(0.1)
    with dripping() as host:
        with pytest.raises(requests.exceptions.RequestException):
            get(adapter, f"http://{host}/")
        adapter.close()
    with dripping() as proxy:
        with pytest.raises(requests.exceptions.RequestException):
            get(adapter, "http://r.example/", proxies={"http": f"http://{proxy}"})
        adapter.close()


@pytest.mark.slow
def test_by_tls_too(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.identity().write(tmp_path))
    adapter = TimelyAdapter(0.1)
    with dripping(context) as host:
        with pytest.raises(requests.exceptions.RequestException):
            get(adapter, f"https://{host}/", verify=str(tmp_path / "ca.pem"))
        adapter.close()


@pytest.mark.slow
def test_a_head_that_comes_in_time_may_have_a_long_body() -> None:
    adapter = TimelyAdapter(0.1)
    with fake_registry.serving() as server:
        server.hooks["GET /x"] = [fake_registry.dripping(b"x" * 20, 0.02)] * 2
        assert get(adapter, f"{server.root}/x") == get(adapter, f"{server.root}/x") == b"x" * 20
    adapter.close()
