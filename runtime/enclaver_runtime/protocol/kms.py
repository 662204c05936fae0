"""AWS KMS calls as the proxy changes them: JSON over POST, of which five actions give out secrets.

To these a ``Recipient`` is added: an attestation document, whose public key KMS then encrypts the secret for. Its
answer holds ``CiphertextForRecipient`` (see cms.py) and no secret; the caller gets the answer it would have had
without any of this.

Sources: the KMS API reference; "Signature Version 4" of the AWS documentation; the AWS JSON 1.1 protocol of Smithy.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from enclaver_runtime.protocol import json_members, strict_base64
from enclaver_runtime.protocol.json_members import JsonError

#: The member of its answer that an action gives its secret in, by the five that take a Recipient.
SECRETS: Mapping[str, str] = {
    "Decrypt": "Plaintext",
    "DeriveSharedSecret": "SharedSecret",
    "GenerateDataKey": "Plaintext",
    "GenerateDataKeyPair": "PrivateKeyPlaintext",
    "GenerateRandom": "Plaintext",
}

#: Bytes of a request or of an answer; KMS's own limits are far below.
MAX_BODY = 1024 * 1024

CONTENT_TYPE = b"application/x-amz-json-1.1"

HTTPS_PORT = 443

_SEALED = "CiphertextForRecipient"
_RECIPIENT = "Recipient"

_ALGORITHM = "AWS4-HMAC-SHA256"
# Credential=KEY/20261124/us-east-1/kms/aws4_request; the key is the caller's own affair.
_CREDENTIAL = re.compile(r"[^/]+/[0-9]{8}/([^/]+)/([^/]+)/aws4_request", re.ASCII)
# It becomes part of a host's name.
_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_TARGET = re.compile(r"TrentService\.([A-Za-z]{1,64})", re.ASCII)
_LONGEST_REGION = 40

# What a signature is made of is made again; what is about this connection ends here; the rest is what SDKs tell
# of themselves.
_FORWARDED = (b"content-type", b"user-agent", b"x-amz-target", b"x-amz-user-agent")
_FORWARDED_PREFIX = b"amz-sdk-"
# Of an answer: what frames it, and what is about the connection or about bytes that are not the same any more.
_NOT_RETURNED = frozenset(
    {
        *(b"connection", b"content-encoding", b"content-length", b"keep-alive", b"trailer", b"transfer-encoding"),
        *(b"upgrade", b"x-amz-crc32"),
    }
)

Headers = Iterable[tuple[bytes, bytes]]


class CallError(Exception):
    """The proxy's own answer: an HTTP status, the name that SDKs show as the error's code, and a text."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class AnswerError(ValueError):
    """KMS has answered with success, but not as it answers to a Recipient; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is called, ``Decrypt`` or another action, and in which region."""

    action: str
    region: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who serves KMS for a region: a host (an IPv6 address has no brackets) and a TCP port."""

    host: str
    port: int = HTTPS_PORT

    @property
    def authority(self) -> str:
        """As a URL and the Host header have it: the port only if it is not 443."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == HTTPS_PORT else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Sealed:
    """An answer whose secret only the enclave's key opens: the CMS, and all other members."""

    ciphertext: bytes
    members: Mapping[str, str]


def parse_call(method: bytes, target: bytes, headers: Headers) -> Call:
    """Read what a request calls. ``headers`` have lower-case names.

    Raises:
        CallError: it is no KMS call signed with Signature Version 4; status 400.
    """
    if method != b"POST" or target != b"/":
        raise _bad(f"the KMS proxy takes POST / and nothing else, not {_shown(method)} {_shown(target)}")
    fields: dict[bytes, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value.decode("latin-1").strip())
    kind = _one(fields, b"content-type").partition(";")[0].strip().lower()
    if kind != CONTENT_TYPE.decode():
        raise _bad(f"the KMS proxy takes {CONTENT_TYPE.decode()}, not {_shown(kind.encode())}")
    if b"content-encoding" in fields:
        raise _bad("the KMS proxy takes no encoded bodies (Content-Encoding)")
    action = _TARGET.fullmatch(_one(fields, b"x-amz-target"))
    if action is None:
        raise _bad("the header X-Amz-Target names no action of KMS (TrentService.ACTION)")
    return Call(action[1], _region(_one(fields, b"authorization")))


def endpoint(region: str, endpoints: Mapping[str, str]) -> Endpoint:
    """Who serves KMS for ``region``: as ``endpoints`` says (``host`` or ``host:port``, canonical), or AWS itself."""
    if (named := endpoints.get(region)) is None:
        return Endpoint(f"kms.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else ""))
    host, colon, port = named.rpartition(":")
    # The colons of a bracketed IPv6 address are no port's.
    if not colon or port.endswith("]"):
        host, port = named, str(HTTPS_PORT)
    return Endpoint(host.removeprefix("[").removesuffix("]"), int(port))


def forwarded_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """What of the caller's headers KMS gets, before the signature; ``headers`` have lower-case names."""
    return [(name, value) for name, value in headers if name in _FORWARDED or name.startswith(_FORWARDED_PREFIX)]


def returned_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """What of KMS's headers the caller gets."""
    return [(name, value) for name, value in headers if name.lower() not in _NOT_RETURNED]


def parse_request(body: bytes) -> dict[str, str] | None:
    """The members of an attesting call's body; None when it has a Recipient of the caller's own.

    ``null`` is none: to KMS it says as much as no member at all.

    Raises:
        CallError: it is no JSON object; status 400.
    """
    try:
        members = json_members.split(body)
    except JsonError as error:
        raise _bad(f"the request's body {error}") from error
    return None if members.get(_RECIPIENT, "null") != "null" else members


def with_recipient(members: Mapping[str, str], document: bytes) -> bytes:
    """The body of an attesting call, with the attestation document in it."""
    recipient = {
        "AttestationDocument": base64.b64encode(document).decode("ascii"),
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    }
    return json_members.join({**members, _RECIPIENT: json.dumps(recipient, separators=(",", ":"))})


def parse_sealed(body: bytes) -> Sealed:
    """Read KMS's answer to a call with a Recipient.

    Raises:
        AnswerError: it is none; above all, it has no CiphertextForRecipient.
    """
    try:
        members = json_members.split(body)
        if (value := members.pop(_SEALED, None)) is None or (text := json_members.text_of(value)) is None:
            raise AnswerError(f"its answer has no {_SEALED}, so it has not looked at the attestation document")
        return Sealed(strict_base64.decode(text), members)
    except JsonError as error:
        raise AnswerError(f"its answer {error}") from error
    except AnswerError:
        raise
    except ValueError as error:
        raise AnswerError(f"{_SEALED} of its answer {error}") from error


def opened(action: str, sealed: Sealed, secret: bytes) -> bytes:
    """The answer's body as the caller expects it, with the secret in its place."""
    text = json.dumps(base64.b64encode(secret).decode("ascii"))
    return json_members.join({**sealed.members, SECRETS[action]: text})


def error_body(error: CallError) -> bytes:
    """The body of the proxy's own answer, as KMS's errors are written, so that SDKs show it."""
    return json.dumps({"__type": error.code, "message": str(error)}).encode("ascii")


def _region(authorization: str) -> str:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != _ALGORITHM:
        raise _bad(
            f"the request is not signed with Signature Version 4 (Authorization: {_ALGORITHM} Credential=...), so "
            "there is no region in it"
        )
    names = [part.strip().partition("=") for part in rest.split(",")]
    scopes = [_CREDENTIAL.fullmatch(value) for name, _, value in names if name == "Credential"]
    if len(scopes) != 1 or scopes[0] is None:
        raise _bad("the Authorization header's Credential is not KEY/DATE/REGION/SERVICE/aws4_request")
    region, service = scopes[0].groups()
    if service != "kms":
        raise _bad(f"the request is signed for the service {_shown(service.encode())}; this is a proxy for kms")
    if len(region) > _LONGEST_REGION or not _REGION.fullmatch(region):
        raise _bad(f"the request is signed for {_shown(region.encode())}, which is not a region's name")
    return region


def _one(fields: Mapping[bytes, list[str]], name: bytes) -> str:
    values = fields.get(name, [])
    if len(values) != 1:
        raise _bad(f"the request has {len(values)} headers {name.decode().title()}, exactly one is needed")
    return values[0]


def _shown(text: bytes) -> str:
    return ascii(text[:60].decode("utf-8", "replace"))


def _bad(text: str) -> CallError:
    return CallError(400, "KmsProxyRequestError", text)
