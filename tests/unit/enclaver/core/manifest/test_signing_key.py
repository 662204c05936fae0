from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.manifest.problems import TextError
from enclaver.core.manifest.signing_key import KeyKind, SigningKey, parse_signing_key


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", "us-east-1"),
        ("arn:aws:kms:eu-central-2:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab", "eu-central-2"),
        ("arn:aws-cn:kms:cn-north-1:111122223333:alias/team/signs-enclaves_1", "cn-north-1"),
        ("arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/a", "us-gov-west-1"),
    ],
)
def test_arns(text: str, region: str) -> None:
    key = parse_signing_key(text)
    assert (key.kind, key.value, key.region) == (KeyKind.KMS, text, region)


@pytest.mark.parametrize("text", ["key.pem", "./arn:aws", "../../secrets/key.pem", "/run/secrets/key", "a b/ü.pem"])
def test_files_may_lie_anywhere(text: str) -> None:
    assert parse_signing_key(text) == SigningKey(KeyKind.FILE, text)
    assert parse_signing_key(text).region is None


@pytest.mark.parametrize(
    "text",
    [
        "arn:",
        "arn:aws:kms:us-east-1:111122223333:key/",
        "arn:aws:kms:us-east-1:111122223333:secret/a",
        "arn:aws:kms:us-east-1:1111:key/a",
        "arn:aws:kms::111122223333:key/a",
        "arn:aws:s3:us-east-1:111122223333:key/a",
        "arn:aws:kms:us-east-1:111122223333:key/a\n",
        "arn:aws:kms:us-east-1.evil.example:111122223333:key/a",
    ],
)
def test_other_arns_are_refused(text: str) -> None:
    with pytest.raises(TextError, match="not the ARN of a KMS key") as caught:
        parse_signing_key(text)
    assert caught.value.cure


@pytest.mark.parametrize("text", ["", "keys/", ".", "a/.."])
def test_folders_are_refused(text: str) -> None:
    with pytest.raises(TextError, match="names a folder"):
        parse_signing_key(text)


@given(st.text(alphabet="arn:kms/aws-1.", max_size=60))
def test_any_text_is_classified_or_refused(text: str) -> None:
    try:
        key = parse_signing_key(text)
    except TextError:
        return
    assert (key.kind is KeyKind.KMS) == text.startswith("arn:") == (key.region is not None)
