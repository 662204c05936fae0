from __future__ import annotations

from contextlib import suppress

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol import nsm


def test_requests_are_what_the_driver_of_aws_sends() -> None:
    assert nsm.describe_nsm() == b"\x6bDescribeNSM"
    assert nsm.get_random() == b"\x69GetRandom"
    assert nsm.describe_pcr(2) == b"\xa1\x6bDescribePCR\xa1\x65index\x02"
    assert cbor2.loads(nsm.extend_pcr(16, b"x")) == {"ExtendPCR": {"index": 16, "data": b"x"}}
    assert cbor2.loads(nsm.lock_pcr(16)) == {"LockPCR": {"index": 16}}
    assert cbor2.loads(nsm.attestation(nonce=b"n")) == {
        "Attestation": {"user_data": None, "nonce": b"n", "public_key": None}
    }


@pytest.mark.parametrize(("name", "limit"), [("user_data", 512), ("nonce", 512), ("public_key", 1024)])
def test_an_attestation_carries_so_much(name: str, limit: int) -> None:
    assert len(nsm.attestation(**{name: b"x" * limit})) <= nsm.MAX_REQUEST
    with pytest.raises(ValueError, match=name):
        nsm.attestation(**{name: b"x" * (limit + 1)})


def test_responses() -> None:
    pcr = {"DescribePCR": {"lock": True, "data": b"\x01" * 48}}
    assert nsm.parse_pcr(cbor2.dumps(pcr)) == nsm.Pcr(value=b"\x01" * 48, locked=True)
    assert nsm.parse_random(cbor2.dumps({"GetRandom": {"random": b"abc"}})) == b"abc"
    assert nsm.parse_extended(cbor2.dumps({"ExtendPCR": {"data": b"abc"}})) == b"abc"
    assert nsm.parse_attestation(cbor2.dumps({"Attestation": {"document": b"doc"}})) == b"doc"
    nsm.parse_locked(cbor2.dumps("LockPCR"))


def test_byte_strings_may_be_arrays_of_integers() -> None:
    assert nsm.parse_random(cbor2.dumps({"GetRandom": {"random": [1, 255]}})) == b"\x01\xff"


DESCRIPTION = {
    "version_major": 1,
    "version_minor": 2,
    "version_patch": 3,
    "module_id": "i-0-enc1",
    "max_pcrs": 32,
    "locked_pcrs": [0, 1, 2],
    "digest": "SHA384",
}


def test_a_description() -> None:
    assert nsm.parse_description(cbor2.dumps({"DescribeNSM": DESCRIPTION})) == nsm.Description(
        module_id="i-0-enc1", version=(1, 2, 3), digest="SHA384", max_pcrs=32, locked_pcrs=(0, 1, 2)
    )


@pytest.mark.parametrize("field", [*DESCRIPTION, "locked_pcrs"])
def test_a_description_with_a_wrong_field_is_refused(field: str) -> None:
    wrong = DESCRIPTION | {field: [True]}
    with pytest.raises(nsm.ResponseError, match=field):
        nsm.parse_description(cbor2.dumps({"DescribeNSM": wrong}))


def test_a_refusal_carries_the_modules_word() -> None:
    with pytest.raises(nsm.NsmError) as caught:
        nsm.parse_pcr(cbor2.dumps({"Error": "InvalidIndex"}))
    assert caught.value.code == "InvalidIndex"


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\xff",
        b"\x81" * 3000 + b"\x01",
        b"x" * (nsm.MAX_RESPONSE + 1),
        cbor2.dumps("GetRandom"),
        cbor2.dumps({"GetRandom": None}),
        cbor2.dumps({"GetRandom": {}}),
        cbor2.dumps({"GetRandom": {"random": "text"}}),
        cbor2.dumps({"GetRandom": {"random": [256]}}),
        cbor2.dumps({"GetRandom": {"random": ["a"]}}),
        cbor2.dumps({"DescribePCR": {"lock": True, "data": b""}}),
    ],
)
def test_another_response_is_refused(response: bytes) -> None:
    with pytest.raises(nsm.ResponseError):
        nsm.parse_random(response)


def test_an_answer_to_another_request_is_no_lock() -> None:
    with pytest.raises(nsm.ResponseError):
        nsm.parse_locked(cbor2.dumps("ExtendPCR"))


@given(st.binary(max_size=100))
def test_random_bytes_are_refused_or_read(response: bytes) -> None:
    with suppress(nsm.ResponseError, nsm.NsmError):
        nsm.parse_pcr(response)
