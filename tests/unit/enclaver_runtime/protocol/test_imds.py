from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol import imds
from enclaver_runtime.protocol.imds import ImdsError, RoleCredentials

ROLE = {
    "Code": "Success",
    "LastUpdated": "2026-11-24T10:00:00Z",
    "Type": "AWS-HMAC",
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "secret",
    "Token": "token",
    "Expiration": "2026-11-24T16:00:00Z",
}


def test_a_token_is_asked_for_and_sent() -> None:
    assert imds.token_request_headers() == [(b"X-aws-ec2-metadata-token-ttl-seconds", b"60")]
    assert imds.parse_token(b"AQAEA==\n") == "AQAEA=="
    assert imds.token_headers("AQAEA==") == [(b"X-aws-ec2-metadata-token", b"AQAEA==")]


@pytest.mark.parametrize("body", [b"", b"two words", b"a\r\nHost: b", b"x" * 4097, b"\xe9"])
def test_what_is_no_token_is_not_sent(body: bytes) -> None:
    with pytest.raises(ImdsError, match="it gave no token"):
        imds.parse_token(body)


def test_the_first_role_is_the_instances() -> None:
    assert imds.parse_role(b"enclaves+a=b,c.d@e-f\nother") == "enclaves+a=b,c.d@e-f"


@pytest.mark.parametrize("body", [b"", b"\nrole", b"../../user-data", b"a b", b"r" * 129])
def test_what_is_no_role_becomes_no_path(body: bytes) -> None:
    with pytest.raises(ImdsError, match="it gave no role's name"):
        imds.parse_role(body)


@pytest.mark.parametrize("expiration", ["2026-11-24T16:00:00Z", "2026-11-24T16:00:00", "2026-11-24T18:00:00+02:00"])
def test_a_roles_credentials(expiration: str) -> None:
    found = imds.parse_credentials(json.dumps({**ROLE, "Expiration": expiration}).encode())
    assert found == RoleCredentials("ASIAEXAMPLE", "secret", "token", 1795536000.0)
    assert "secret" not in repr(found)
    assert "token" not in repr(found)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"AccessKeyId": ""}, "lack a part"),
        ({"SecretAccessKey": 1}, "lack a part"),
        ({"Token": None}, "lack a part"),
        ({"Token": "a\r\nHost: b"}, "not a text of printable"),
        ({"Token": "\u20ac"}, "not a text of printable"),
        ({"AccessKeyId": "a\nb"}, "not a text of printable"),
        ({"SecretAccessKey": "secret\ud800"}, "not a text of printable"),
        ({"Expiration": "soon"}, "Expiration is no time"),
        ({"Expiration": 5}, "lack a part"),
    ],
)
def test_other_credentials_are_refused(changed: dict[str, object], why: str) -> None:
    with pytest.raises(ImdsError, match=why) as caught:
        imds.parse_credentials(json.dumps({**ROLE, **changed}).encode())
    assert "secret" not in str(caught.value)


def test_the_services_own_word_is_told() -> None:
    body = b'{"Code": "AssumeRoleUnauthorizedAccess", "Message": "..."}'
    with pytest.raises(ImdsError, match="it has no credentials for the role: 'AssumeRoleUnauthorizedAccess'"):
        imds.parse_credentials(body)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"Code": "Success"}', b"[" * 100_000, b"\xff"])
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ImdsError, match="its credentials"):
        imds.parse_credentials(body)


@given(st.binary(max_size=50))
def test_whatever_comes_there_is_one_error(body: bytes) -> None:
    with pytest.raises(ImdsError):
        imds.parse_credentials(body)
