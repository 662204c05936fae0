"""Requests to and responses from the Nitro Security Module (NSM): CBOR, one message each way.

A request is a text (``"GetRandom"``) or a map of one name to its arguments; a response alike, or ``{"Error":
name}``. Byte strings arrive as CBOR byte strings or as arrays of integers, depending on who wrote them; both
are read. Source: AWS's aws-nitro-enclaves-nsm-api, and the responses of QEMU's nitro-enclave machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import cbor2

from enclaver_runtime.protocol.nsm_limits import MAX_NONCE, MAX_PUBLIC_KEY, MAX_USER_DATA

T = TypeVar("T")

#: The driver takes no longer request and gives no longer response; bytes.
MAX_REQUEST = 0x1000
MAX_RESPONSE = 0x3000


class NsmError(Exception):
    """The NSM refused a request; ``code`` is its word for it: ``InvalidIndex``, ``ReadOnlyIndex``..."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the NSM refused the request: {code}")
        self.code = code


class ResponseError(ValueError):
    """The NSM's response is no CBOR, or not what this request is answered with."""


@dataclass(frozen=True, slots=True)
class Pcr:
    """A platform configuration register: its value (48 bytes for SHA-384), and whether it is final."""

    value: bytes
    locked: bool


@dataclass(frozen=True, slots=True)
class Description:
    """What the NSM says of itself."""

    module_id: str
    version: tuple[int, int, int]
    digest: str
    max_pcrs: int
    locked_pcrs: tuple[int, ...]


def describe_nsm() -> bytes:
    """Ask for the :class:`Description`."""
    return _encode("DescribeNSM")


def get_random() -> bytes:
    """Ask for random bytes; the NSM decides how many (256)."""
    return _encode("GetRandom")


def describe_pcr(index: int) -> bytes:
    """Ask for the :class:`Pcr` of ``index``."""
    return _encode({"DescribePCR": {"index": index}})


def extend_pcr(index: int, data: bytes) -> bytes:
    """Ask to extend a PCR with ``data``; answered with the new value."""
    return _encode({"ExtendPCR": {"index": index, "data": data}})


def lock_pcr(index: int) -> bytes:
    """Ask to make a PCR read-only."""
    return _encode({"LockPCR": {"index": index}})


def attestation(
    *, user_data: bytes | None = None, nonce: bytes | None = None, public_key: bytes | None = None
) -> bytes:
    """Ask for an attestation document.

    Raises:
        ValueError: an argument is longer than the NSM takes.
    """
    limits = (
        ("user_data", user_data, MAX_USER_DATA),
        ("nonce", nonce, MAX_NONCE),
        ("public_key", public_key, MAX_PUBLIC_KEY),
    )
    for name, value, limit in limits:
        if value is not None and len(value) > limit:
            raise ValueError(f"{name} is {len(value)} bytes long, the NSM takes {limit}")
    return _encode({"Attestation": {name: value for name, value, _ in limits}})


def parse_description(response: bytes) -> Description:
    """Read the answer to :func:`describe_nsm`; raises :class:`NsmError`, :class:`ResponseError`."""
    body = _body(response, "DescribeNSM")
    locked = _field(body, "locked_pcrs", list)
    if not all(type(index) is int for index in locked):
        raise ResponseError("locked_pcrs in the NSM's response are not numbers")
    return Description(
        module_id=_field(body, "module_id", str),
        version=(
            _field(body, "version_major", int),
            _field(body, "version_minor", int),
            _field(body, "version_patch", int),
        ),
        digest=_field(body, "digest", str),
        max_pcrs=_field(body, "max_pcrs", int),
        locked_pcrs=tuple(locked),
    )


def parse_random(response: bytes) -> bytes:
    """Read the answer to :func:`get_random`; raises :class:`NsmError`, :class:`ResponseError`."""
    return _bytes(_body(response, "GetRandom"), "random")


def parse_pcr(response: bytes) -> Pcr:
    """Read the answer to :func:`describe_pcr`; raises :class:`NsmError`, :class:`ResponseError`."""
    body = _body(response, "DescribePCR")
    return Pcr(value=_bytes(body, "data"), locked=_field(body, "lock", bool))


def parse_extended(response: bytes) -> bytes:
    """Read the answer to :func:`extend_pcr`: the PCR's new value."""
    return _bytes(_body(response, "ExtendPCR"), "data")


def parse_locked(response: bytes) -> None:
    """Read the answer to :func:`lock_pcr`, which says nothing but that it is done."""
    if _decode(response) != "LockPCR":
        raise ResponseError("the NSM's response is not one to LockPCR")


def parse_attestation(response: bytes) -> bytes:
    """Read the answer to :func:`attestation`: the document, a COSE_Sign1."""
    return _bytes(_body(response, "Attestation"), "document")


def _encode(request: object) -> bytes:
    return cbor2.dumps(request)


def _decode(response: bytes) -> object:
    if len(response) > MAX_RESPONSE:
        raise ResponseError(f"the NSM's response is {len(response)} bytes long, at most {MAX_RESPONSE}")
    try:
        message: object = cbor2.loads(response)
    # Besides its own error the decoder lets through what tags for dates, numbers and shared values raise.
    except Exception as problem:
        raise ResponseError(f"the NSM's response is not CBOR: {problem}") from problem
    if isinstance(message, Mapping) and isinstance(code := message.get("Error"), str):
        raise NsmError(code)
    return message


def _body(response: bytes, name: str) -> Mapping[object, object]:
    message = _decode(response)
    if isinstance(message, Mapping) and isinstance(body := message.get(name), Mapping):
        return body
    raise ResponseError(f"the NSM's response is not one to {name}")


def _field(body: Mapping[object, object], name: str, kind: type[T]) -> T:
    value = body.get(name)
    # A bool is an int to isinstance, so the exact type is asked for.
    if type(value) is not kind:
        raise ResponseError(f"{name} in the NSM's response is not of type {kind.__name__}")
    return value


def _bytes(body: Mapping[object, object], name: str) -> bytes:
    value = body.get(name)
    try:
        if isinstance(value, bytes | bytearray | list):
            return bytes(value)
    except (TypeError, ValueError):
        pass
    raise ResponseError(f"{name} in the NSM's response is not a byte string")
