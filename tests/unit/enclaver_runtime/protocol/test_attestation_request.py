from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol.attestation_request import MAX_BODY, AttestationRequest, RequestError, parse
from tests.certificates import rsa_key

RSA = rsa_key().public_key()
PEM = RSA.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
DER = RSA.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refused(body: bytes | dict[str, Any]) -> str:
    with pytest.raises(RequestError) as caught:
        parse(body if isinstance(body, bytes) else json.dumps(body).encode())
    return str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{}", b' {"nonce": null, "user_data": null, "public_key": null}\n'])
def test_everything_is_optional(body: bytes) -> None:
    assert parse(body) == AttestationRequest(nonce=None, user_data=None, public_key=None)


def test_all_of_it() -> None:
    body = {"nonce": b64(b"n" * 512), "user_data": b64(b"u" * 512), "public_key": PEM}
    assert parse(json.dumps(body).encode()) == AttestationRequest(b"n" * 512, b"u" * 512, DER)


def test_empty_is_not_absent() -> None:
    assert parse(b'{"nonce": "", "user_data": ""}') == AttestationRequest(b"", b"", None)


@given(st.binary(max_size=512), st.binary(max_size=512))
def test_bytes_come_back(nonce: bytes, user_data: bytes) -> None:
    found = parse(json.dumps({"user_data": b64(user_data), "nonce": b64(nonce)}).encode())
    assert found == AttestationRequest(nonce=nonce, user_data=user_data)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"nonce=AA==", "the body is not JSON in UTF-8"),
        (b"\xff{}", "the body is not JSON in UTF-8"),
        (b"[" * 16000, "the body is not JSON in UTF-8"),
        (b"[]", "the body must be a JSON object, or empty"),
        (b"null", "the body must be a JSON object, or empty"),
        (b'{"nonce": "", "nonce": ""}', "a key of the body occurs twice"),
        ({"nonse": ""}, "'nonse' is not a key of an attestation request; these are: nonce, user_data, public_key"),
        ({"\u20ac" * 99: ""}, "'" + "\\u20ac" * 40 + "' is not a key"),
        ({"nonce": 1}, "nonce must be a text"),
        ({"user_data": ["AA=="]}, "user_data must be a text"),
        ({"public_key": {}}, "public_key must be a text"),
        ({"nonce": "x"}, "nonce is not base64 in the standard alphabet"),
        ({"nonce": "AB=="}, "nonce is base64 whose last character"),
        ({"nonce": b64(b"n" * 513)}, "nonce is 513 bytes long, the security module takes 512"),
        ({"user_data": b64(b"u" * 513)}, "user_data is 513 bytes long, the security module takes 512"),
        ({"public_key": "AA=="}, "public_key is no PEM"),
        ({"public_key": PEM.replace("PUBLIC", "PRIVATE")}, "public_key is the PEM of a PRIVATE KEY"),
    ],
)
def test_refusals_name_the_key_and_the_reason(body: bytes | dict[str, Any], what: str) -> None:
    assert refused(body).startswith(what)


def test_a_key_that_is_too_long() -> None:
    der = b"\x30\x82\x04\x05\x30\x05\x06\x03\x2a\x03\x04\x03\x82\x03\xfa\x00" + bytes(0x3F9)
    pem = f"-----BEGIN PUBLIC KEY-----\n{b64(der)}\n-----END PUBLIC KEY-----"
    assert refused({"public_key": pem}) == "public_key is 1033 bytes long, the security module takes 1024"


def test_a_request_whose_every_character_is_escaped() -> None:
    body = {"nonce": b64(b"n" * 512), "user_data": b64(b"u" * 512), "public_key": PEM}
    members = [f'"{key}":"' + "".join(rf"\u{ord(one):04x}" for one in text) + '"' for key, text in body.items()]
    escaped = "{" + ",".join(members) + "}"
    assert parse(escaped.encode()) == AttestationRequest(b"n" * 512, b"u" * 512, DER)
    assert len(escaped) <= MAX_BODY


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["nonce", "user_data", "public_key", "x"]), inner, max_size=3)
    ),
)


@given(JSON.map(lambda document: json.dumps(document).encode()) | st.binary(max_size=60))
def test_whatever_comes_there_is_no_other_error(body: bytes) -> None:
    with suppress(RequestError):
        parse(body)
