from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol import kms
from enclaver_runtime.protocol.kms import AnswerError, Call, CallError, Endpoint

SCOPE = "AKIDEXAMPLE/20261124/eu-central-1/kms/aws4_request"
SIGNED = f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;x-amz-date, Signature=00"
HEADERS = {
    "host": "127.0.0.1:9999",
    "content-type": "application/x-amz-json-1.1",
    "x-amz-target": "TrentService.Decrypt",
    "authorization": SIGNED,
}


def pairs(**changed: str | None) -> list[tuple[bytes, bytes]]:
    fields = {**HEADERS, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return [(name.encode(), value.encode("latin-1")) for name, value in fields.items() if value is not None]


def refused(headers: list[tuple[bytes, bytes]], method: bytes = b"POST", target: bytes = b"/") -> str:
    with pytest.raises(CallError) as caught:
        kms.parse_call(method, target, headers)
    assert (caught.value.status, caught.value.code) == (400, "KmsProxyRequestError")
    return str(caught.value)


def signed(scope: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"


def test_the_action_and_the_region_are_the_callers() -> None:
    assert kms.parse_call(b"POST", b"/", pairs()) == Call("Decrypt", "eu-central-1")


@pytest.mark.parametrize(
    "changed",
    [
        {"content_type": "application/x-amz-json-1.1; charset=utf-8"},
        {"content_type": "Application/X-AMZ-JSON-1.1"},
        {"authorization": SIGNED.replace(", ", ",")},
        {"authorization": f"AWS4-HMAC-SHA256 SignedHeaders=host,Signature=00,Credential={SCOPE}"},
    ],
)
def test_sdks_write_headers_in_their_own_ways(changed: dict[str, str | None]) -> None:
    assert kms.parse_call(b"POST", b"/", pairs(**changed)) == Call("Decrypt", "eu-central-1")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"authorization": None}, "the request has 0 headers Authorization, exactly one is needed"),
        ({"authorization": "Bearer x"}, "is not signed with Signature Version 4"),
        ({"authorization": SIGNED.replace("HMAC-SHA256", "ECDSA-P256-SHA256")}, "is not signed with"),
        ({"authorization": "AWS4-HMAC-SHA256"}, "Credential is not KEY/DATE/REGION/SERVICE/aws4_request"),
        ({"authorization": signed("AKID/eu-central-1/kms/aws4_request")}, "Credential is not"),
        ({"authorization": signed("AKID/today/eu-central-1/kms/aws4_request")}, "Credential is not"),
        ({"authorization": f"{SIGNED}, Credential={SCOPE}"}, "Credential is not"),
        (
            {"authorization": signed("AKID/20261124/eu-central-1/s3/aws4_request")},
            "is signed for the service 's3'; this is a proxy for kms",
        ),
        (
            {"authorization": signed("AKID/20261124/evil.example#/kms/aws4_request")},
            "is signed for 'evil.example#', which is not a region's name",
        ),
        ({"authorization": signed("AKID/20261124/EU-CENTRAL-1/kms/aws4_request")}, "is not a region's name"),
        ({"authorization": signed("AKID/20261124/-a/kms/aws4_request")}, "is not a region's name"),
        ({"authorization": signed(f"AKID/20261124/{'a' * 41}/kms/aws4_request")}, "is not a region's name"),
        ({"x_amz_target": None}, "0 headers X-Amz-Target"),
        ({"x_amz_target": "DynamoDB_20120810.GetItem"}, "names no action of KMS"),
        ({"x_amz_target": "TrentService."}, "names no action of KMS"),
        ({"x_amz_target": "TrentService.De crypt"}, "names no action of KMS"),
        ({"content_type": None}, "0 headers Content-Type"),
        ({"content_type": "application/cbor"}, "takes application/x-amz-json-1.1, not 'application/cbor'"),
        ({"content_type": "application/x-amz-json-1.0"}, "not 'application/x-amz-json-1.0'"),
        ({"content_encoding": "gzip"}, "takes no encoded bodies"),
    ],
)
def test_what_is_no_call_is_refused_in_words(changed: dict[str, str | None], why: str) -> None:
    assert why in refused(pairs(**changed))


@pytest.mark.parametrize(("method", "target"), [(b"GET", b"/"), (b"POST", b"/x"), (b"POST", b"/?X-Amz-Credential=a")])
def test_calls_are_posts_to_the_root(method: bytes, target: bytes) -> None:
    assert "takes POST / and nothing else" in refused(pairs(), method, target)


@pytest.mark.parametrize("name", ["authorization", "x-amz-target", "content-type"])
def test_a_header_that_decides_comes_once(name: str) -> None:
    again = (name.encode(), HEADERS[name].encode())
    assert f"the request has 2 headers {name.title()}" in refused([*pairs(), again])


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_whatever_is_in_the_authorization_there_is_one_error(text: str) -> None:
    headers = [*pairs(authorization=None), (b"authorization", text.encode("latin-1"))]
    assert refused(headers).isascii()


@pytest.mark.parametrize(
    ("region", "endpoint", "authority"),
    [
        ("us-east-1", Endpoint("kms.us-east-1.amazonaws.com"), "kms.us-east-1.amazonaws.com"),
        ("us-gov-west-1", Endpoint("kms.us-gov-west-1.amazonaws.com"), "kms.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", Endpoint("kms.cn-north-1.amazonaws.com.cn"), "kms.cn-north-1.amazonaws.com.cn"),
        ("a", Endpoint("kms.example"), "kms.example"),
        ("b", Endpoint("kms.example", 8443), "kms.example:8443"),
        ("c", Endpoint("192.0.2.1"), "192.0.2.1"),
        ("d", Endpoint("192.0.2.1", 8443), "192.0.2.1:8443"),
        ("e", Endpoint("2001:db8::1"), "[2001:db8::1]"),
        ("f", Endpoint("2001:db8::1", 8443), "[2001:db8::1]:8443"),
    ],
)
def test_who_serves_a_region(region: str, endpoint: Endpoint, authority: str) -> None:
    named = {
        "a": "kms.example",
        "b": "kms.example:8443",
        "c": "192.0.2.1",
        "d": "192.0.2.1:8443",
        "e": "[2001:db8::1]",
        "f": "[2001:db8::1]:8443",
    }
    assert kms.endpoint(region, named) == endpoint
    assert endpoint.authority == authority


def test_what_a_signature_is_made_of_is_not_passed_on() -> None:
    headers = [
        *pairs(x_amz_security_token="token", x_amz_date="20261124T000000Z", content_length="2", user_agent="Boto3"),
        (b"amz-sdk-invocation-id", b"1"),
        (b"connection", b"keep-alive"),
        (b"x-amz-content-sha256", b"0"),
        (b"cookie", b"c"),
    ]
    assert kms.forwarded_headers(headers) == [
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"x-amz-target", b"TrentService.Decrypt"),
        (b"user-agent", b"Boto3"),
        (b"amz-sdk-invocation-id", b"1"),
    ]


def test_what_frames_an_answer_is_not_passed_on() -> None:
    headers = [(b"Content-Length", b"2"), (b"x-amzn-requestid", b"1"), (b"connection", b"close"), (b"date", b"d")]
    assert kms.returned_headers(headers) == [(b"x-amzn-requestid", b"1"), (b"date", b"d")]


def test_a_recipient_is_added_and_nothing_else_is_changed() -> None:
    members = kms.parse_request(b'{"KeyId": "k", "Number": 1.10, "New": {"x": [1e400]}}')
    assert members is not None
    body = kms.with_recipient(members, b"document")
    assert body == (
        b'{"KeyId":"k","Number":1.10,"New":{"x": [1e400]},"Recipient":'
        b'{"AttestationDocument":"ZG9jdW1lbnQ=","KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_256"}}'
    )


def test_a_recipient_of_the_callers_own_is_left_to_it() -> None:
    assert kms.parse_request(b'{"Recipient": {"AttestationDocument": "eA=="}}') is None


def test_a_recipient_that_is_null_is_none() -> None:
    members = kms.parse_request(b'{"Recipient": null, "KeyId": "k"}')
    assert members is not None
    assert json.loads(kms.with_recipient(members, b"x"))["Recipient"]["AttestationDocument"] == "eA=="


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"a":1,"a":2}', b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(CallError, match="the request's body") as caught:
        kms.parse_request(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("action", "member"),
    [
        ("Decrypt", "Plaintext"),
        ("DeriveSharedSecret", "SharedSecret"),
        ("GenerateDataKey", "Plaintext"),
        ("GenerateDataKeyPair", "PrivateKeyPlaintext"),
        ("GenerateRandom", "Plaintext"),
    ],
)
def test_an_answer_is_as_if_nobody_had_attested(action: str, member: str) -> None:
    answer = {"KeyId": "k", member: "", "CiphertextForRecipient": base64.b64encode(b"cms").decode(), "New": [1]}
    sealed = kms.parse_sealed(json.dumps(answer).encode())
    assert sealed.ciphertext == b"cms"
    opened = json.loads(kms.opened(action, sealed, b"secret"))
    assert opened == {"KeyId": "k", member: base64.b64encode(b"secret").decode(), "New": [1]}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"Plaintext": "c2VjcmV0"}', "has no CiphertextForRecipient, so it has not looked at the attestation"),
        (b'{"CiphertextForRecipient": null}', "has no CiphertextForRecipient"),
        (b'{"CiphertextForRecipient": 12}', "has no CiphertextForRecipient"),
        (b'{"CiphertextForRecipient": "*"}', "CiphertextForRecipient of its answer is not base64"),
        (b"<html>", "its answer is no JSON object"),
    ],
)
def test_an_answer_that_is_not_for_the_recipient_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(AnswerError, match=why):
        kms.parse_sealed(body)


def test_errors_are_written_as_kms_writes_them() -> None:
    body = kms.error_body(CallError(503, "KmsProxyX", 'no "é"'))
    assert json.loads(body) == {"__type": "KmsProxyX", "message": 'no "é"'}
