from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from enclaver.system.docker_config import Credentials
from enclaver.system.registry_auth import Scope
from enclaver.system.registry_http import PassingError, RegistryError
from enclaver.system.registry_session import Session
from tests import fake_registry
from tests.fake_registry import PASSWORD, TOKEN, USER, FakeRegistry

SCOPE = Scope("app")
PATH = "/v2/app/blobs/x"
WHO = Credentials(USER, PASSWORD)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with fake_registry.serving() as found:
        yield found


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    with fake_registry.serving() as found:
        yield found


@pytest.fixture
def waited() -> list[float]:
    return []


@pytest.fixture
def session(server: FakeRegistry, waited: list[float]) -> Iterator[Session]:
    found = Session(server.host, credentials=lambda: WHO, timeout=5, pauses=(1, 2), wait=waited.append)
    yield found
    found.close()


def get(session: Session, path: str = "app/blobs/x", method: str = "GET", **options: bytes) -> bytes:
    def once() -> bytes:
        with session.open(method, path, SCOPE, **options) as answer:  # type: ignore[arg-type]
            return answer.body(1000)

    return session.persist(once)


def test_a_busy_registry_is_waited_for(server: FakeRegistry, session: Session, waited: list[float]) -> None:
    server.hooks[f"GET {PATH}"] = [
        fake_registry.status(503),
        fake_registry.status(429, headers={"Retry-After": "7"}),
        fake_registry.status(200, b"at last"),
    ]
    assert get(session) == b"at last"
    assert waited == [1, 7]


def test_a_connection_that_breaks_is_made_again(server: FakeRegistry, session: Session) -> None:
    server.hooks[f"GET {PATH}"] = [fake_registry.hang_up, fake_registry.cut(b"1234"), fake_registry.status(200, b"x")]
    assert get(session) == b"x"


def test_it_is_not_waited_for_without_end(server: FakeRegistry, session: Session, waited: list[float]) -> None:
    server.hooks[f"GET {PATH}"] = [fake_registry.status(502)]
    server.forever = True
    with pytest.raises(RegistryError, match=f"the registry {server.host} can't be asked: HTTP 502"):
        get(session)
    assert waited == [1, 2]


@pytest.mark.parametrize("text", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_long_pause_is_not_spent(server: FakeRegistry, session: Session, waited: list[float], text: str) -> None:
    server.hooks[f"GET {PATH}"] = [fake_registry.status(429, headers={"Retry-After": text})]
    with pytest.raises(RegistryError, match="HTTP 429; it wants to be asked again in [0-9]{4,} s"):
        get(session)
    assert waited == []


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "Thu, 01 Jan 1970 00:00:00 GMT", f"Thu, 01 Jan 1970 00:00:00 +{'9' * 20}"]
)
def test_a_pause_that_is_none(server: FakeRegistry, session: Session, waited: list[float], text: str) -> None:
    server.hooks[f"GET {PATH}"] = [
        fake_registry.status(429, headers={"Retry-After": text}),
        fake_registry.status(200, b"x"),
    ]
    assert get(session) == b"x"
    assert waited == [1]


@pytest.mark.parametrize("auth", ["basic", "token", "anonymous"])
def test_who_asks_is_told_when_it_is_asked_for(server: FakeRegistry, session: Session, auth: str) -> None:
    server.auth = auth
    digest = server.add_blob(b"x")
    assert get(session, f"app/blobs/{digest}") == b"x"
    assert get(session, f"app/blobs/{digest}") == b"x"
    sent = ["Authorization" in headers for _, path, headers in server.requests if path.startswith("/v2/")]
    assert sent == [False, True, True]
    assert len(server.asked) == (auth != "basic")


def test_a_token_that_has_run_out_is_renewed(server: FakeRegistry, session: Session) -> None:
    server.auth = "token"
    digest = server.add_blob(b"x")
    get(session, f"app/blobs/{digest}")
    asked = {"WWW-Authenticate": f'Bearer realm="{server.root}/token"'}
    server.hooks[f"GET /v2/app/blobs/{digest}"] = [fake_registry.status(401, headers=asked)]
    assert get(session, f"app/blobs/{digest}") == b"x"
    assert len(server.asked) == 2


def test_a_registry_that_takes_nobody(server: FakeRegistry, session: Session) -> None:
    asked = {"WWW-Authenticate": f'Bearer realm="{server.root}/token"'}
    server.hooks[f"GET {PATH}"] = [fake_registry.status(401, headers=asked)]
    server.forever = True
    with pytest.raises(RegistryError, match="does not take the login"):
        get(session)
    assert server.asks().count(f"GET {PATH}") == 3


def test_a_body_is_sent_again_to_who_asks_first(server: FakeRegistry, session: Session) -> None:
    server.auth = "basic"
    with session.open("PUT", "app/manifests/1", SCOPE, body=b"body", accept=(201,)):
        pass
    assert server.manifests["app:1"][1] == b"body"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_storage_elsewhere_learns_nothing(
    server: FakeRegistry, other: FakeRegistry, session: Session, code: int
) -> None:
    server.auth = "token"
    digest = other.add_blob(b"x")
    get(session, f"app/blobs/{server.add_blob(b'first')}")
    server.hooks[f"GET {PATH}"] = [
        fake_registry.redirect(f"{other.root}/v2/app/blobs/{digest}?X-Signature=secret", code)
    ]
    assert get(session) == b"x"
    assert server.requests[-1][2]["Authorization"] == f"Bearer {TOKEN}"
    assert "Authorization" not in other.requests[0][2]


def test_a_place_of_its_own_is_told_who_asks(server: FakeRegistry, session: Session) -> None:
    server.auth = "basic"
    digest = server.add_blob(b"x")
    server.hooks[f"GET {PATH}"] = [fake_registry.redirect(f"/v2/app/blobs/{digest}")]
    server.forever = True
    assert get(session) == b"x"


def test_a_refusal_elsewhere_is_no_question_who_asks(
    server: FakeRegistry, other: FakeRegistry, session: Session
) -> None:
    asked = {"WWW-Authenticate": f'Bearer realm="{other.root}/token"'}
    other.hooks["GET /x"] = [fake_registry.status(401, headers=asked)]
    server.hooks[f"GET {PATH}"] = [fake_registry.redirect(f"{other.root}/x?X-Signature=secret")]
    with pytest.raises(RegistryError, match=f"answers 401 to GET {other.root}/x$") as caught:
        get(session)
    assert "secret" not in str(caught.value)
    assert other.asked == []


@pytest.mark.slow
def test_what_a_redirect_says_besides_is_not_read(server: FakeRegistry, session: Session) -> None:
    def hook(handler: fake_registry.Handler) -> bool:
        handler.answer(307, b"", {"Location": f"/v2/app/blobs/{digest}", "Content-Length": str(1 << 60)})
        handler.close_connection = True
        while True:
            handler.wfile.write(bytes(1 << 16))

    digest = server.add_blob(b"x")
    server.hooks[f"GET {PATH}"] = [hook]
    assert get(session) == b"x"


def test_a_loop_of_redirects_ends(server: FakeRegistry, session: Session) -> None:
    server.hooks[f"GET {PATH}"] = [fake_registry.redirect(PATH)]
    server.forever = True
    with pytest.raises(RegistryError, match="redirects from one place to the next without end"):
        get(session)
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("", "answers 307 without saying where to go"),
        ("http://storage.example/x?secret", r"storage\.example is to be asked by plain http"),
        ("file:///etc/passwd", "is no URL of http"),
        ("http://[", "names a place that is no URL"),
    ],
)
def test_places_that_are_not_gone_to(server: FakeRegistry, session: Session, place: str, message: str) -> None:
    server.hooks[f"GET {PATH}"] = [fake_registry.redirect(place)]
    with pytest.raises(RegistryError, match=message) as caught:
        get(session)
    assert "secret" not in str(caught.value)


def test_from_https_to_plain_http_is_no_way(session: Session, server: FakeRegistry) -> None:
    class Answer:
        url = "https://r.example/v2/"

    with pytest.raises(RegistryError, match=r"leads from https to plain http \(http://127.0.0.1/x\)"):
        session.located(Answer(), "http://127.0.0.1/x?secret")  # type: ignore[arg-type]


def test_what_is_sent_is_not_led_elsewhere(server: FakeRegistry, other: FakeRegistry, session: Session) -> None:
    server.hooks["PUT /v2/app/manifests/1"] = [fake_registry.redirect(f"{other.root}/x")]
    with pytest.raises(RegistryError, match="answers 307 to PUT"):
        get(session, "app/manifests/1", "PUT", body=b"body")
    assert other.requests == []


def complaint(**error: object) -> bytes:
    return json.dumps({"errors": [error]}).encode()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            404,
            complaint(code="NAME_UNKNOWN", message="no such name"),
            "answers 404 to GET {} (NAME_UNKNOWN: no such name)",
        ),
        (404, complaint(code="NAME_UNKNOWN"), "answers 404 to GET {} (NAME_UNKNOWN)"),
        (400, complaint(code="X", message=f"you sent {PASSWORD}"), "answers 400 to GET {}"),
        (400, complaint(code="X", message="\x1b[31m\n"), "answers 400 to GET {} (X: \\x1b[31m\\n)"),
        (418, b"<html>", "answers 418 to GET {}"),
        (418, b"[" * 60000, "answers 418 to GET {}"),
        (418, b"x" * 100_000, "answers 418 to GET {}"),
        (418, b'{"errors": []}', "answers 418 to GET {}"),
        (418, b'{"errors": [7]}', "answers 418 to GET {}"),
        (403, complaint(code="DENIED"), "does not allow it (DENIED)"),
        (206, b"", "answers 206 to GET {}"),
    ],
)
def test_complaints(server: FakeRegistry, session: Session, status: int, body: bytes, message: str) -> None:
    server.auth = "basic"
    get(session, f"app/blobs/{server.add_blob(b'x')}")
    server.hooks[f"GET {PATH}"] = [fake_registry.status(status, body)]
    with pytest.raises(RegistryError) as caught:
        get(session)
    expected = f"the registry {server.host} {message.format(server.root + PATH)}"
    assert str(caught.value).partition("\n")[0] == expected
    assert caught.value.status == status


def test_the_passing_ones_are_raised_as_such(server: FakeRegistry, session: Session) -> None:
    server.hooks[f"GET {PATH}"] = [fake_registry.status(503)]
    with pytest.raises(PassingError), session.open("GET", "app/blobs/x", SCOPE):
        pass


@pytest.mark.parametrize(
    ("host", "insecure", "root"),
    [
        ("docker.io", False, "https://registry-1.docker.io/v2/"),
        ("r.example:5000", False, "https://r.example:5000/v2/"),
        ("r.example:5000", True, "http://r.example:5000/v2/"),
        ("localhost:5000", False, "http://localhost:5000/v2/"),
        ("localhost:443", False, "https://localhost:443/v2/"),
    ],
)
def test_where_a_registry_is(host: str, insecure: bool, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Session(host, credentials=lambda: None, insecure=insecure, pauses=())
    asked: list[str] = []

    def exchange(self: object, method: str, url: str, *rest: object) -> None:
        asked.append(url)
        raise PassingError("x")

    monkeypatch.setattr("enclaver.system.registry_http.Http.exchange", exchange)
    with pytest.raises(RegistryError):
        get(found, "a/b")
    assert asked == [root + "a/b"]
    found.close()
