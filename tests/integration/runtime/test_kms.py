"""An app with boto3 in a booted guest, and a KMS that gives it nothing without attestation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.fake_kms import SECRET
from tests.integration.runtime.booted import PATIENCE, app, environment
from tests.integration.tools import require

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own takes root"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the app, KMS and the instance metadata service saw, of one boot."""
    unshare = require("unshare")
    require("qemu-nitro")
    require("vhost-device-vsock")
    folder = tmp_path_factory.mktemp("kms")
    command = [str(unshare), "--net", "--", sys.executable, "-m", "tests.integration.runtime.kms_world"]
    command += [str(app("kms").absolute()), str(folder)]
    ended = subprocess.run(
        command, env=environment(), timeout=2 * PATIENCE, check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    assert found["code"] == 0, f"{found['log']}\n{found['said']}"
    return found


def test_unchanged_code_gets_its_secrets_in_plain(report: dict[str, Any]) -> None:
    url = "http://127.0.0.1:9999"
    assert report["log"].splitlines()[:3] == [
        f"endpoint {url} {url}",
        f"decrypt {SECRET.hex()}",
        f"generate_data_key {SECRET.hex()} sealed for later",
    ]


def test_kms_saw_a_recipient_and_the_image_that_asked(report: dict[str, Any]) -> None:
    calls = [(action, sorted(body), body["Recipient"]["KeyEncryptionAlgorithm"]) for action, body in report["calls"]]
    assert calls == [
        ("Decrypt", ["CiphertextBlob", "Recipient"], "RSAES_OAEP_SHA_256"),
        ("GenerateDataKey", ["KeyId", "KeySpec", "Recipient"], "RSAES_OAEP_SHA_256"),
    ]
    # The chain and the signature of each were checked when it came: another document gets no secret.
    first, second = report["documents"]
    assert first == second
    assert first["pcr2"] == report["pcr2"]


def test_the_app_sees_what_kms_refuses_and_what_the_policy_does(report: dict[str, Any]) -> None:
    *_, refused, egress, proxy, blocked = report["log"].splitlines()
    assert refused == "refused {'Message': 'Alias is not found.', 'Code': 'NotFoundException'}"
    assert "'Code': 'KmsProxyPolicyError'" in blocked
    assert "add kms.eu-north-1.amazonaws.com to egress.allow" in blocked
    assert egress.startswith("enclaver: egress: blocked kms.eu-north-1.amazonaws.com port 443: nothing in egress.allow")
    assert proxy.startswith("enclaver: kms_proxy: Decrypt in eu-north-1: 403 'KMS: kms.eu-north-1")


def test_credentials_came_from_the_instance_and_were_kept(report: dict[str, Any]) -> None:
    # Once for the app's own SDK, and once for the proxy's three calls.
    token, roles = "PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/"
    assert report["imds"] == [token, roles, f"{roles}enclaves"] * 2
