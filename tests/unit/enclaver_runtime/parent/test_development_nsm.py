"""The module against the requests of the runtime, of AWS's library, and of nobody in his right mind."""

from __future__ import annotations

import datetime
import itertools
from hashlib import sha384
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver_runtime.parent.development_nsm import DevelopmentNsm
from enclaver_runtime.parent.development_pki import DevelopmentPki
from enclaver_runtime.protocol import nsm as protocol
from tests.attestation import parse, verify

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, 987654, tzinfo=datetime.UTC)
MODULE = "i-development-enc0123456789abcdef"
REGISTERS = {index: bytes([index + 1]) * 48 for index in (0, 1, 2, 8)}
PKI = DevelopmentPki(module_id=MODULE, now=NOW)
ROOT = PKI.root.public_bytes(Encoding.PEM)
ZERO = bytes(48)


def module(now: datetime.datetime = NOW) -> DevelopmentNsm:
    return DevelopmentNsm(REGISTERS, pki=PKI, module_id=MODULE, clock=lambda: now, random=lambda size: b"r" * size)


def ask(request: object, one: DevelopmentNsm | None = None) -> Any:
    return cbor2.loads((one or module()).respond(cbor2.dumps(request)))


def document(**carried: bytes) -> bytes:
    return protocol.parse_attestation(module().respond(protocol.attestation(**carried)))


def test_what_it_says_of_itself() -> None:
    found = protocol.parse_description(module().respond(protocol.describe_nsm()))
    assert found == protocol.Description(
        module_id=MODULE, version=(1, 0, 0), digest="SHA384", max_pcrs=32, locked_pcrs=tuple(range(16))
    )
    assert protocol.parse_random(module().respond(protocol.get_random())) == b"r" * 256


def test_the_registers_are_the_images_and_the_others_are_zero() -> None:
    one = module()
    found = [protocol.parse_pcr(one.respond(protocol.describe_pcr(index))) for index in range(32)]
    assert [pcr.value for pcr in found] == [REGISTERS.get(index, ZERO) for index in range(32)]
    assert [pcr.locked for pcr in found] == [True] * 16 + [False] * 16


def test_the_upper_registers_can_be_extended_until_they_are_locked() -> None:
    one = module()
    first = protocol.parse_extended(one.respond(protocol.extend_pcr(16, b"data")))
    assert first == sha384(ZERO + b"data").digest()
    # AWS's library writes an array of numbers.
    second = ask({"ExtendPCR": {"index": 16, "data": [1, 2, 255]}}, one)["ExtendPCR"]["data"]
    assert second == sha384(first + b"\x01\x02\xff").digest()
    assert 16 not in parse(protocol.parse_attestation(one.respond(protocol.attestation()))).fields["pcrs"]
    protocol.parse_locked(one.respond(protocol.lock_pcr(16)))
    assert ask({"ExtendPCR": {"index": 16, "data": b"x"}}, one) == {"Error": "ReadOnlyIndex"}
    assert ask({"LockPCR": {"index": 16}}, one) == {"Error": "ReadOnlyIndex"}
    # What is locked is in documents: real ones have 16 or 17 registers.
    fields = verify(protocol.parse_attestation(one.respond(protocol.attestation())), ROOT)
    assert (len(fields["pcrs"]), fields["pcrs"][16]) == (17, second)
    assert ask({"LockPCRs": {"range": 20}}, one) == "LockPCRs"
    assert protocol.parse_description(one.respond(protocol.describe_nsm())).locked_pcrs == tuple(range(20))


def test_a_document_is_one_that_strangers_accept_who_trust_the_root() -> None:
    found = verify(document(user_data=b"u" * 512, nonce=b"n" * 512, public_key=b"k" * 1024), ROOT)
    assert found["module_id"] == MODULE
    assert found["timestamp"] == 1772366400988
    assert found["pcrs"] == {index: REGISTERS.get(index, ZERO) for index in range(16)}
    assert (found["user_data"], found["nonce"], found["public_key"]) == (b"u" * 512, b"n" * 512, b"k" * 1024)


def test_its_bytes_have_the_shape_of_a_real_ones() -> None:
    raw = document(nonce=b"")
    # An array of four without a tag, ES384 protected, nothing unprotected, a payload in a byte string of two length
    # bytes, which is a map of indefinite length that begins with the module's id (documents since August 2025).
    assert raw[:8] == bytes.fromhex("8444a1013822a059")
    assert raw[10:22] == bytes.fromhex("bf") + cbor2.dumps("module_id") + b"\x78"
    assert raw[-98:-96] == b"\x58\x60"
    payload = parse(raw).payload
    assert payload.endswith(b"\xff")
    assert (parse(raw).fields["nonce"], parse(raw).fields["user_data"]) == (b"", None)


def test_documents_are_signed_by_a_certificate_that_is_good_at_their_time() -> None:
    for hours in (0, 2, 400):
        now = NOW + datetime.timedelta(hours=hours)
        pki = DevelopmentPki(module_id=MODULE, now=NOW)
        one = DevelopmentNsm({}, pki=pki, module_id=MODULE, clock=lambda now=now: now, random=bytes)  # type: ignore[misc]
        raw = protocol.parse_attestation(one.respond(protocol.attestation()))
        assert verify(raw, pki.root.public_bytes(Encoding.PEM))["pcrs"][0] == ZERO


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"DescribePCR": {"index": 32}}, "InvalidIndex"),
        ({"DescribePCR": {"index": -1}}, "InvalidIndex"),
        ({"DescribePCR": {"index": True}}, "InvalidArgument"),
        ({"DescribePCR": {}}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 0, "data": b"x"}}, "ReadOnlyIndex"),
        ({"ExtendPCR": {"index": 16, "data": b""}}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 16, "data": "text"}}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 16, "data": [256]}}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 16, "data": ["x"]}}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 16, "data": b"x" * 513}}, "InputTooLarge"),
        ({"LockPCR": {"index": 3}}, "ReadOnlyIndex"),
        ({"LockPCRs": {"range": 33}}, "InvalidArgument"),
        ({"Attestation": {"user_data": b"x" * 513}}, "InputTooLarge"),
        ({"Attestation": {"nonce": b"x" * 513}}, "InputTooLarge"),
        ({"Attestation": {"public_key": b"x" * 1025}}, "InputTooLarge"),
        ({"Attestation": {"public_key": b""}}, "InvalidArgument"),
        ({"Attestation": {"other": b"x"}}, "InvalidArgument"),
        ({"Attestation": b""}, "InvalidArgument"),
        ({"GetRandom": {}, "DescribeNSM": {}}, "InvalidArgument"),
        ("Reboot", "InvalidArgument"),
        (7, "InvalidArgument"),
    ],
)
def test_what_it_refuses_has_the_modules_own_words(request_: object, code: str) -> None:
    assert ask(request_) == {"Error": code}


NAMES = ["DescribeNSM", "GetRandom", "DescribePCR", "ExtendPCR", "LockPCR", "LockPCRs", "Attestation"]
KEYS = ["index", "data", "range", "user_data", "nonce", "public_key"]
VALUES = st.none() | st.booleans() | st.integers() | st.binary(max_size=600) | st.text(max_size=9)
LISTS = st.lists(st.integers(-1, 300), max_size=9)


@given(
    st.one_of(
        st.sampled_from(NAMES),
        st.dictionaries(
            st.sampled_from(NAMES),
            st.dictionaries(st.sampled_from(KEYS), VALUES | LISTS, max_size=3) | VALUES,
            max_size=2,
        ),
    ).map(cbor2.dumps)
    | st.binary(max_size=99)
)
def test_it_answers_whatever_comes(request: bytes) -> None:
    response = cbor2.loads(module().respond(request))
    name = response if isinstance(response, str) else next(iter(response))
    assert name in (*NAMES, "Error")


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["extend", "lock", "locks"]), st.integers(0, 31)), max_size=20))
def test_a_locked_register_never_changes(steps: list[tuple[str, int]]) -> None:
    one = module()
    for (what, index), number in zip(steps, itertools.count(), strict=False):
        before = [protocol.parse_pcr(one.respond(protocol.describe_pcr(each))) for each in range(32)]
        if what == "extend":
            one.respond(protocol.extend_pcr(index, b"%d" % number))
        elif what == "lock":
            one.respond(protocol.lock_pcr(index))
        else:
            ask({"LockPCRs": {"range": index}}, one)
        after = [protocol.parse_pcr(one.respond(protocol.describe_pcr(each))) for each in range(32)]
        assert all(old == new for old, new in zip(before, after, strict=True) if old.locked)
