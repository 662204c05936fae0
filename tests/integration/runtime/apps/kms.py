"""Use KMS as any app does: nothing here knows of an enclave. What comes back is the log, a line each."""

from __future__ import annotations

import os

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    """Ask KMS for secrets, and for what it refuses."""
    kms = boto3.client("kms")
    print(f"endpoint {kms.meta.endpoint_url} {os.environ['AWS_KMS_ENDPOINT']}", flush=True)
    plaintext = kms.decrypt(CiphertextBlob=b"sealed")["Plaintext"]
    print(f"decrypt {plaintext.hex()}", flush=True)
    key = kms.generate_data_key(KeyId="alias/app", KeySpec="AES_256")
    print(f"generate_data_key {key['Plaintext'].hex()} {key['CiphertextBlob'].decode()}", flush=True)
    try:
        kms.decrypt(CiphertextBlob=b"sealed", KeyId="alias/missing")
    except ClientError as error:
        print(f"refused {error.response['Error']}", flush=True)
    try:
        boto3.client("kms", region_name="eu-north-1").decrypt(CiphertextBlob=b"sealed")
    except ClientError as error:
        print(f"blocked {error.response['Error']}", flush=True)


if __name__ == "__main__":
    main()
