from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.system.docker_config import Credentials
from enclaver.system.registry_auth import Authorizer, Challenge, Scope, parse_challenge
from enclaver.system.registry_http import Http, PassingError, RegistryError
from tests import fake_registry
from tests.fake_registry import IDENTITY, PASSWORD, TOKEN, USER, FakeRegistry

SCOPE = Scope("app")
WHO = Credentials(USER, PASSWORD)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with fake_registry.serving() as found:
        yield found


@pytest.fixture
def http() -> Iterator[Http]:
    found = Http(timeout=5)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"', ("Bearer", "https://a/t", "s")),
        ("bearer REALM=https://a/t , service=s", ("Bearer", "https://a/t", "s")),
        ('Basic realm="x"', ("Basic", "x", "")),
        ('Basic realm="x", Bearer realm="https://a/t",service="s"', ("Bearer", "https://a/t", "s")),
        ('Bearer realm="https://a/t",service="s", Basic realm="x"', ("Bearer", "https://a/t", "s")),
        ("Basic", ("Basic", "", "")),
    ],
)
def test_challenges(header: str, expected: tuple[str, str, str]) -> None:
    found = parse_challenge(header)
    assert found is not None
    assert (found.scheme, found.realm, found.service) == expected


def test_a_scope_with_a_comma_is_one() -> None:
    assert parse_challenge('Bearer realm="r",scope="repository:x:pull,push"') == Challenge(
        "Bearer", "r", "", "repository:x:pull,push"
    )


@pytest.mark.parametrize("header", ["", "Negotiate", 'Digest realm="Basic"', "Basically"])
def test_what_is_no_challenge_that_is_known(header: str) -> None:
    assert parse_challenge(header) is None


@given(st.text() | st.text('Basic Bearer=,"\\ realm'))
def test_any_text_is_a_challenge_or_none(header: str) -> None:
    found = parse_challenge(header)
    assert found is None or found.scheme in ("Basic", "Bearer")


def test_scopes() -> None:
    assert str(Scope("a/b")) == "repository:a/b:pull"
    assert str(Scope("a/b", push=True)) == "repository:a/b:pull,push"


def challenge(server: FakeRegistry) -> str:
    return f'Bearer realm="{server.root}/token",service="fake"'


def authorizer(server: FakeRegistry, http: Http, who: Credentials | None = WHO) -> Authorizer:
    return Authorizer(server.host, http, lambda: who)


@pytest.mark.parametrize("key", ["token", "access_token"])
def test_a_token_for_a_name_and_a_password(server: FakeRegistry, http: Http, key: str) -> None:
    server.token_key = key
    found = authorizer(server, http)
    assert found.header(SCOPE) is None
    assert found.answer(challenge(server), SCOPE, None) == f"Bearer {TOKEN}" == found.header(SCOPE)
    assert server.asked == [{"service": ["fake"], "scope": ["repository:app:pull"]}]
    assert found.header(Scope("other")) is None


def test_an_identity_token_is_exchanged(server: FakeRegistry, http: Http) -> None:
    found = authorizer(server, http, Credentials("", "", IDENTITY))
    assert found.answer(challenge(server), SCOPE, None) == f"Bearer {TOKEN}"
    [asked] = server.asked
    assert (asked["grant_type"], asked["refresh_token"]) == (["refresh_token"], [IDENTITY])
    assert server.requests[0][0] == "POST"


def test_a_token_for_anybody(server: FakeRegistry, http: Http) -> None:
    server.auth = "anonymous"
    assert authorizer(server, http, None).answer(challenge(server), SCOPE, None) == f"Bearer {TOKEN}"
    assert "Authorization" not in server.requests[0][2]


def test_a_realm_may_have_a_query(server: FakeRegistry, http: Http) -> None:
    authorizer(server, http).answer(f'Bearer realm="{server.root}/token?account=x"', SCOPE, None)
    assert server.asked == [{"account": ["x"], "scope": ["repository:app:pull"]}]


def test_a_name_and_a_password_themselves(server: FakeRegistry, http: Http) -> None:
    found = authorizer(server, http)
    header = found.answer("Basic", SCOPE, None)
    assert header.startswith("Basic ")
    assert found.header(Scope("any", push=True)) == header
    with pytest.raises(RegistryError, match=f"the registry {server.host} does not take the login") as caught:
        found.answer("Basic", SCOPE, header)
    assert PASSWORD not in str(caught.value)


def test_credentials_are_asked_for_once_and_late(server: FakeRegistry, http: Http) -> None:
    asked: list[int] = []

    def ask() -> Credentials:
        asked.append(1)
        return WHO

    found = Authorizer(server.host, http, ask)
    assert asked == []
    found.answer(challenge(server), SCOPE, None)
    found.answer(challenge(server), Scope("other"), None)
    assert asked == [1]


def test_a_token_that_another_thread_got_is_taken(server: FakeRegistry, http: Http) -> None:
    found = authorizer(server, http)
    sent = found.answer(challenge(server), SCOPE, None)
    assert found.answer(challenge(server), SCOPE, None) == sent
    assert len(server.asked) == 1
    found.answer(challenge(server), SCOPE, sent)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (fake_registry.status(200, b"<html>"), "answers with something that is no JSON object"),
        (fake_registry.status(200, b"[]"), "answers with something that is no JSON object"),
        (fake_registry.status(200, b"[" * 100_000), "answers with something that is no JSON object"),
        (fake_registry.status(200, b"{}"), "answers without a token"),
        (fake_registry.status(200, b'{"token": 1}'), "answers without a token"),
        (fake_registry.status(200, b'{"token": "a\\r\\nX-Header: b"}'), "answers without a token"),
        (fake_registry.status(200, b'{"token": "%b"}' % (b"x" * 100_000)), "answers without a token"),
        (fake_registry.status(200, b'{"token": "%b"}' % (b"x" * 2_000_000)), "sends more than the 1048576 bytes"),
        (fake_registry.status(404), "answers 404"),
        (fake_registry.redirect("/elsewhere"), "answers 307"),
    ],
)
def test_token_servers_that_are_none(
    server: FakeRegistry, http: Http, answer: Callable[..., bool], message: str
) -> None:
    server.hooks["GET /token"] = [answer]
    with pytest.raises(RegistryError, match=message) as caught:
        authorizer(server, http).answer(challenge(server), SCOPE, None)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("code", [429, 503])
def test_a_token_server_that_is_busy(server: FakeRegistry, http: Http, code: int) -> None:
    server.hooks["GET /token"] = [fake_registry.status(code)]
    with pytest.raises(PassingError, match=f"answers {code}"):
        authorizer(server, http).answer(challenge(server), SCOPE, None)


@pytest.mark.parametrize(
    ("who", "message"),
    [
        (Credentials(USER, "wrong-password"), "does not take the login that docker's configuration has"),
        (None, "asks for a login"),
    ],
)
def test_a_login_that_is_not_enough(server: FakeRegistry, http: Http, who: Credentials | None, message: str) -> None:
    for header in (challenge(server), "Basic") if who is None else (challenge(server),):
        with pytest.raises(RegistryError, match=message) as caught:
            authorizer(server, http, who).answer(header, SCOPE, None)
        assert f"`docker login {server.host}`" in str(caught.value)
        assert "wrong-password" not in str(caught.value)


def test_a_challenge_of_another_kind(server: FakeRegistry, http: Http) -> None:
    with pytest.raises(RegistryError, match="asks for a login of a kind that is not known"):
        authorizer(server, http).answer("Negotiate", SCOPE, None)


def test_a_password_goes_by_no_plain_http_and_not_to_this_machine(server: FakeRegistry, http: Http) -> None:
    found = Authorizer("registry.example.com", http, lambda: WHO)
    with pytest.raises(RegistryError, match=r"tokens\.example is to be asked by plain http"):
        found.answer('Bearer realm="http://tokens.example/"', SCOPE, None)
    with pytest.raises(RegistryError, match="names a token server on this machine"):
        found.answer(challenge(server), SCOPE, None)
    assert server.requests == []


@pytest.mark.parametrize("realm", ["", "https://[x/", "https://a\u2100/", "https://h:99999/", "https://u:p@h/"])
def test_a_realm_that_is_no_url(http: Http, realm: str) -> None:
    found = Authorizer("registry.example.com", http, lambda: WHO)
    with pytest.raises(RegistryError, match="a place that was to be asked is no URL"):
        found.answer(f'Bearer realm="{realm}"', SCOPE, None)


def test_what_is_secret_is_known_as_such(server: FakeRegistry, http: Http) -> None:
    found = authorizer(server, http)
    assert not found.hidden(PASSWORD)
    found.answer(challenge(server), SCOPE, None)
    assert found.hidden(f"... {PASSWORD} ...")
    assert found.hidden(TOKEN)
    assert not found.hidden(f"user {USER}")
