from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.system.registry_http import Http, PassingError, RegistryError, host_of, is_local, shown
from tests import fake_registry
from tests.certificates import Authority
from tests.fake_registry import FakeRegistry

DATA = bytes(range(256)) * 1000


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry.serving() as found:
        yield found


@pytest.fixture
def http() -> Iterator[Http]:
    found = Http(timeout=5)
    yield found
    found.close()


def get(http: Http, url: str, limit: int = 1 << 20) -> bytes:
    with http.exchange("GET", url, {}) as answer:
        return answer.body(limit)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *(("localhost", True), ("localhost:5000", True), ("a.localhost", True), ("127.0.0.1:5000", True)),
        *(("127.9.9.9", True), ("[::1]:5000", True), ("LOCALHOST", True), ("localhost.", True)),
        *(("example.com", False), ("localhost.example.com", False), ("10.0.0.1", False), ("[::2]", False)),
        *(("", False), ("127.0.0.1.example.com", False), ("0.0.0.0", False)),
        *(("[::::]", False), ("[", False), ("a\u2100", False)),
    ],
)
def test_who_is_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_a_url_for_messages_has_nothing_secret() -> None:
    assert shown("https://user:secret@h.io:1/path?X-Amz-Signature=secret#secret") == "https://h.io:1/path"


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://user:secret@h.io:1/path", "h.io:1"), ("https://[x/", ""), ("https://a\u2100/", ""), ("h.io/path", "")],
)
def test_the_host_of_a_url(url: str, host: str) -> None:
    assert host_of(url) == host


def test_a_body_comes_whole(http: Http, registry: FakeRegistry) -> None:
    digest = registry.add_blob(DATA)
    assert get(http, f"{registry.root}/v2/app/blobs/{digest}") == DATA
    [(_, _, headers)] = registry.requests
    assert headers["User-Agent"] == "enclaver"
    assert headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in headers


def test_a_body_is_no_longer_than_what_is_to_come(http: Http, registry: FakeRegistry) -> None:
    digest = registry.add_blob(DATA)
    url = f"{registry.root}/v2/app/blobs/{digest}"
    assert get(http, url, len(DATA)) == DATA
    with pytest.raises(RegistryError, match=f"{registry.host} sends more than the {len(DATA) - 1} bytes"):
        get(http, url, len(DATA) - 1)


def test_a_body_without_end_is_left(http: Http, registry: FakeRegistry) -> None:
    registry.hooks["GET /x"] = [fake_registry.endless(bytes(1 << 16))]
    with pytest.raises(RegistryError, match="sends more than the 1000000 bytes that were to come"):
        get(http, f"{registry.root}/x", 1_000_000)


@pytest.mark.slow
def test_a_body_that_drips_is_left(registry: FakeRegistry) -> None:
    registry.hooks["GET /x"] = [fake_registry.endless(b"x", pause=0.01)]
    http = Http(timeout=5, grace=0.2)
    with pytest.raises(RegistryError, match="sends less than 1024 bytes a second"):
        get(http, f"{registry.root}/x")
    http.close()


@pytest.mark.slow
def test_a_head_that_drips_is_left(registry: FakeRegistry) -> None:
    def hook(handler: fake_registry.Handler) -> bool:
        handler.close_connection = True
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.01)

    registry.hooks["GET /x"] = [hook]
    http = Http(timeout=5, grace=0.2)
    with pytest.raises(PassingError, match="no answer within|the connection broke"):
        get(http, f"{registry.root}/x")
    http.close()


def test_a_body_that_breaks_may_be_asked_for_again(http: Http, registry: FakeRegistry) -> None:
    registry.hooks["GET /x"] = [fake_registry.cut(DATA)]
    with pytest.raises(PassingError, match="the connection broke"):
        get(http, f"{registry.root}/x")


@pytest.mark.slow
def test_a_body_that_stalls_may_be_asked_for_again(registry: FakeRegistry) -> None:
    registry.hooks["GET /x"] = [fake_registry.endless(b"x", pause=1)]
    http = Http(timeout=0.1)
    with pytest.raises(PassingError, match="the connection broke"):
        get(http, f"{registry.root}/x")
    http.close()


def test_nobody_there(http: Http) -> None:
    with fake_registry.serving() as gone:
        pass
    with pytest.raises(PassingError, match="^connection refused$"):
        get(http, f"{gone.root}/x?secret=1")


def test_a_server_that_hangs_up(http: Http, registry: FakeRegistry) -> None:
    registry.hooks["GET /x"] = [fake_registry.hang_up]
    with pytest.raises(PassingError, match="^the connection broke$|^connection reset by peer$"):
        get(http, f"{registry.root}/x")


def test_a_name_that_is_not_known(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with pytest.raises(PassingError, match="^its name is not known$"):
        get(http, "https://nowhere.invalid/x")


def test_a_proxy_is_for_others(http: Http, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_registry.serving() as proxy:
        proxy.hooks["GET http://r.example/"] = [fake_registry.status(200, b"by the proxy")]
        monkeypatch.setenv("http_proxy", proxy.root)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        digest = registry.add_blob(DATA)
        assert get(http, f"{registry.root}/v2/app/blobs/{digest}") == DATA
        assert proxy.requests == []
        allowed = Http(insecure=["r.example"])
        assert get(allowed, "http://r.example/") == b"by the proxy"
        allowed.close()


def test_plain_http_is_for_this_machine_and_for_who_was_named(http: Http) -> None:
    with pytest.raises(RegistryError, match=r"r\.example:5000 is to be asked by plain http") as caught:
        get(http, "http://r.example:5000/v2/")
    assert "--insecure-registry" in str(caught.value)
    assert Http(insecure=["r.example:5000"]).may_be_plain("r.example:5000")
    assert not Http(insecure=["r.example:5000"]).may_be_plain("r.example")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://localhost/x",
        "file:///etc/passwd",
        "http://",
        "http://localhost:99999/",
        "x",
        "http://me:secret@localhost/",
    ],
)
def test_urls_that_are_not_asked(http: Http, url: str) -> None:
    with pytest.raises(RegistryError, match="is no URL of http"):
        get(http, url)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_are_those_of_the_environment(
    http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    authority = Authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.identity().write(tmp_path))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with fake_registry.serving(context) as registry:
        digest = registry.add_blob(DATA)
        url = f"{registry.root}/v2/app/blobs/{digest}"
        with pytest.raises(RegistryError, match="can't be spoken with by TLS: its certificate is not trusted"):
            get(http, url)
        (tmp_path / "ca.pem").write_bytes(authority.pem)
        monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
        assert get(http, url) == DATA


def test_certificates_that_are_not_there(http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with pytest.raises(RegistryError, match=f"there are no certificates at {tmp_path}/gone.pem\n  Mend REQ"):
        get(http, "https://127.0.0.1:1/x")


def test_tls_with_who_speaks_plain_http(http: Http) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RegistryError, match="can't be spoken with by TLS: (wrong version number|record layer)"):
            get(http, f"https://127.0.0.1:{server.getsockname()[1]}/x")
        thread.join()


def test_netrc_is_not_looked_into(
    http: Http, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    registry.hooks["GET /x"] = [fake_registry.status(200)]
    get(http, f"{registry.root}/x")
    assert "Authorization" not in registry.requests[0][2]


def test_cookies_are_not_kept(http: Http, registry: FakeRegistry) -> None:
    registry.hooks["GET /x"] = [fake_registry.status(200, headers={"Set-Cookie": "a=b"}), fake_registry.status(200)]
    get(http, f"{registry.root}/x")
    get(http, f"{registry.root}/x")
    assert "Cookie" not in registry.requests[1][2]


@given(st.text())
def test_any_text_is_asked_or_refused(url: str) -> None:
    http = Http()
    try:
        with pytest.raises((EnclaverError, PassingError)), http.exchange("GET", f"http://x{url}", {}):
            pass
    finally:
        http.close()
