"""The signature, checked by botocore's own reckoning of it, and what signing loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from enclaver_runtime.enclave import kms_service
from enclaver_runtime.enclave.credentials import Credentials
from enclaver_runtime.enclave.signer import sign
from tests.fake_kms import FakeKms

HEADERS = [
    (b"content-type", b"application/x-amz-json-1.1"),
    (b"x-amz-target", b"TrentService.ListKeys"),
    (b"user-agent", b"Boto3/\xe9"),
]


@pytest.mark.parametrize("token", [None, "a/token+of=many"])
@pytest.mark.parametrize("authority", ["kms.us-east-1.amazonaws.com", "127.0.0.1:8443", "[::1]:8443"])
def test_kms_takes_the_signature(token: str | None, authority: str) -> None:
    async def main() -> list[tuple[bytes, bytes]]:
        credentials = Credentials("AKIDEXAMPLE", "secret", token)
        url = f"https://{authority}/"
        return list(await sign(credentials, region="us-east-1", url=url, headers=HEADERS, body=b'{"Limit":1}'))

    signed = trio.run(main)
    assert signed[:3] == HEADERS
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in signed}
    assert headers.keys() - {"x-amz-security-token"} == {
        *("authorization", "content-type", "user-agent", "x-amz-date", "x-amz-target")
    }
    kms = FakeKms({"AKIDEXAMPLE": ("secret", token)}, lambda document: document)
    assert kms.answer({**headers, "host": authority}, "/", b'{"Limit":1}')[0] == 200
    refused, _ = kms.answer({**headers, "host": authority}, "/", b'{"Limit":2}')
    assert refused == 400


def test_nothing_is_loaded_before_the_first_signature() -> None:
    source = (
        f"import sys, {kms_service.__name__}\n"
        "print([name for name in sys.modules if name in ('botocore', 'cryptography')])"
    )
    command = [sys.executable, "-B", "-c", source]
    environment = {"PYTHONPATH": str(Path(__file__).parents[4] / "runtime")}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert result.stdout == "[]\n"
