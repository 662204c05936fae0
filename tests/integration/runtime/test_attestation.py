"""An app in a booted guest asks the attestation API: of a module that signs, of one that does not, and of none."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from enclaver.build.describe import describe
from enclaver.build.development_image import with_word
from enclaver.core.eif.reader import read
from tests.attestation import parse, verify
from tests.integration.runtime.booted import MICROVM, NITRO_ENCLAVE, Ended, app, run

pytestmark = pytest.mark.slow
ATTESTS = app("attests")
# Spelled out, as an image's PCR0 hangs on it.
WORD = "enclaver.development_nsm=vsock"


def printed(ended: Ended, name: str) -> Any:
    """What the app printed by a name."""
    assert ended.code == 0, ended.log + ended.said
    line = next(line for line in ended.log.splitlines() if line.startswith(f"{name}: "))
    return json.loads(line.removeprefix(f"{name}: "))


def asked(ended: Ended) -> dict[str, bytes]:
    """What the app wanted in its second document."""
    found = printed(ended, "asked")
    key = load_pem_public_key(found["public_key"].encode())
    return {
        "nonce": base64.b64decode(found["nonce"]),
        "user_data": base64.b64decode(found["user_data"]),
        "public_key": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    }


def answers(ended: Ended) -> list[dict[str, Any]]:
    """What the app was answered, in the order of its requests."""
    return [one | {"body": base64.b64decode(one["body"])} for one in printed(ended, "answers")]


def carried(fields: dict[str, Any]) -> dict[str, bytes | None]:
    """What a document has of its asker's."""
    return {name: fields[name] for name in ("nonce", "user_data", "public_key")}


def check_refusals(refused: list[dict[str, Any]]) -> None:
    """What is wrong with a request is the API's to say, whatever module there is."""
    unknown, get, elsewhere = refused
    assert (unknown["status"], unknown["body"][:7]) == (400, b"'nonse'")
    assert (get["status"], get["allow"]) == (405, "POST")
    assert elsewhere["status"] == 404


@pytest.mark.parametrize("machine", [NITRO_ENCLAVE, MICROVM])
def test_development_documents_are_verified_with_the_runs_root(machine: str, tmp_path: Path) -> None:
    root = tmp_path / "root.pem"
    options = ("--development-attestation", "--development-root", str(root))
    ended = run(ATTESTS, *options, machine=machine)
    bare, full, *refused = answers(ended)
    check_refusals(refused)
    assert (full["status"], full["type"]) == (200, "application/cbor")
    fields = verify(full["body"], root.read_bytes())
    assert carried(fields) == asked(ended)
    fields = verify(bare["body"], root.read_bytes())
    assert set(carried(fields).values()) == {None}
    # The registers are those of the image with the word, and not those of the image that goes into production.
    given = read(ATTESTS)
    booted = describe(with_word(given, WORD, tmp_path / "changed.eif").path)["measurements"]
    assert {f"PCR{index}": fields["pcrs"][index].hex() for index in (0, 1, 2)} == booted
    assert fields["pcrs"][0] != given.measurements.pcr0
    assert fields["pcrs"][1] != given.measurements.pcr1
    assert fields["pcrs"][2] == given.measurements.pcr2
    assert {fields["pcrs"][index] for index in range(3, 16)} == {bytes(48)}
    assert "DEVELOPMENT attestation: the parent signs this enclave's documents" in ended.said
    assert f"PCR0 {booted['PCR0']}" in ended.said


def test_the_emulators_own_module_signs_nothing() -> None:
    ended = run(ATTESTS)
    bare, full, *refused = answers(ended)
    check_refusals(refused)
    assert (bare["status"], full["status"]) == (200, 200)
    document = parse(full["body"])
    assert not any(document.signature)
    assert carried(document.fields) == asked(ended)
    assert document.fields["pcrs"][0] == read(ATTESTS).measurements.pcr0


def test_without_a_module_503_says_so() -> None:
    bare, full, *refused = answers(run(ATTESTS, machine=MICROVM))
    check_refusals(refused)
    for one in (bare, full):
        assert one["status"] == 503
        assert one["body"].startswith(b"this enclave has no security module")
