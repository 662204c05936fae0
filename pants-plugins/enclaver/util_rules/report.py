"""The manifest as the rules see it: core's JSON as a frozen dataclass."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Tuple

_VERSION = 1


@dataclass(frozen=True)
class NamedFile:
    """A file that a manifest names.

    Args:
        key: where it is named: ``ingress[0].tls.key_file``.
        line, column: where that stands, from 1.
        path: relative to the manifest's folder, and not above it.
    """

    key: str
    line: int
    column: int
    path: str


@dataclass(frozen=True)
class SigningKey:
    """Where the key is that signs an image. It is not copied: whoever signs is told where it is.

    Args:
        kind: ``file`` or ``kms``.
        value: a PEM file's path, relative to the manifest's folder unless it is absolute; or the ARN of a KMS key.
    """

    kind: str
    value: str


@dataclass(frozen=True)
class Signature:
    """Who signs an image: a certificate, which is a file like others that the manifest names, and its key."""

    certificate: NamedFile
    key: SigningKey


@dataclass(frozen=True)
class ManifestReport:
    """What the rules need of a manifest.

    Args:
        name: the manifest's ``name``.
        target: the reference of the target image; None when the manifest names none.
        app_address: ``sources.app`` when it is a target's address, else None.
        app_image: ``sources.app`` when it is the reference of a container image, else None.
        files: the files that the ramdisks are made of, besides the app's.
        signature: who signs the image; None when it is unsigned.
        notes: remarks for the user (keys that are accepted and unused).
    """

    name: str
    target: str | None
    app_address: str | None
    app_image: str | None
    files: Tuple[NamedFile, ...]
    signature: Signature | None
    notes: Tuple[str, ...]


def parse_report(raw: bytes) -> ManifestReport:
    """Read the ``manifest`` stage's output.

    Raises:
        ValueError: it is of another version than this backend's.
    """
    value: Any = json.loads(raw)
    if value["version"] != _VERSION:
        raise ValueError(f"manifest report of version {value['version']}, not {_VERSION}")
    app = value["app"]
    return ManifestReport(
        name=value["name"],
        target=value["target"],
        app_address=app["value"] if app["kind"] == "address" else None,
        app_image=app["value"] if app["kind"] == "image" else None,
        files=tuple(NamedFile(**file) for file in value["files"]),
        signature=_signature(value["signature"]),
        notes=tuple(remark["text"] for remark in value["notes"]),
    )


def _signature(value: Any) -> Signature | None:
    if value is None:
        return None
    return Signature(NamedFile(**value["certificate"]), SigningKey(**value["key"]))
