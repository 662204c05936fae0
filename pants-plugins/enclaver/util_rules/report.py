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
class ManifestReport:
    """What the rules need of a manifest.

    Args:
        name: the manifest's ``name``.
        app_address: ``sources.app`` when it is a target's address, else None.
        files: the files that the image is made of, besides the app's.
        notes: remarks for the user (keys that are accepted and unused).
        unsupported: messages for what is valid and can't be built yet.
    """

    name: str
    app_address: str | None
    files: Tuple[NamedFile, ...]
    notes: Tuple[str, ...]
    unsupported: Tuple[str, ...]


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
        app_address=app["value"] if app["kind"] == "address" else None,
        files=tuple(NamedFile(**file) for file in value["files"]),
        notes=tuple(remark["text"] for remark in value["notes"]),
        unsupported=tuple(remark["text"] for remark in value["unsupported"]),
    )
