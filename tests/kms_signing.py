"""The stand-in for AWS KMS as boto3 finds it: an endpoint, an authority and credentials in the environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.certificates import Authority
from tests.fake_kms import FakeKms

REGION = "eu-central-1"
ARN = f"arn:aws:kms:{REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ACCESS_KEY, SECRET_KEY, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI-secret", "session-token-secret"


def _no_document(_: bytes) -> bytes:
    raise ValueError("nobody attests here")


@contextmanager
def kms_for_boto3(folder: Path) -> Iterator[tuple[FakeKms, dict[str, str]]]:
    """Serve a KMS without keys yet; yields it and the environment that leads boto3 to it and to nothing else."""
    kms = FakeKms({ACCESS_KEY: (SECRET_KEY, TOKEN)}, _no_document, REGION)
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    with kms.serving(folder, authority) as port:
        yield (
            kms,
            {
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_SESSION_TOKEN": TOKEN,
                "AWS_CA_BUNDLE": str(folder / "ca.pem"),
                "AWS_ENDPOINT_URL_KMS": f"https://localhost:{port}",
                # Nothing of the machine that tests: no files of its user's, no credentials of an instance's.
                "AWS_CONFIG_FILE": str(folder / "no-config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
                "AWS_EC2_METADATA_DISABLED": "true",
                "no_proxy": "localhost",
            },
        )
