"""The manifest's stage of the pipeline: a manifest file to what rules and the command line ask about it."""

from __future__ import annotations

import json
from pathlib import Path

from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.document import MAX_BYTES
from enclaver.core.manifest.model import Manifest
from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.problems import Problem
from enclaver.system.atomic import atomic_output

#: The version of the report's schema; util_rules/report.py reads it.
REPORT_VERSION = 1


def load(path: Path) -> Manifest:
    """Read and check a manifest file.

    Raises:
        ManifestError: it is no valid manifest.
        EnclaverError: it cannot be read.
    """
    return parse(data(path), str(path))


def data(path: Path) -> bytes:
    """Return a manifest's bytes, unchecked; of too many, as many as show it. Raises EnclaverError."""
    try:
        with path.open("rb") as file:
            # One byte more than a manifest can have is enough to be told that it has too many.
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise EnclaverError(
            f"the manifest cannot be read: {error.strerror}",
            file=str(path),
            cure="Give the path of an enclaver.yaml.",
        ) from None


def report(manifest_path: Path, output: Path) -> None:
    """Write what the rules need to know of a manifest as JSON.

    ``{"version": 1, "name", "target": str|null, "app": {"kind": "address"|"image", "value"}, "defaults":
    {"cpu_count", "memory_mb"}, "files": [File], "signature": Signature|null, "notes": [Remark]}``. A Remark is
    ``{"key", "line", "column", "message", "cure": str|null, "text"}``, and ``text`` is the whole of it, ready to be
    shown. A File is one that the image is made of: ``{"key", "line", "column", "path"}``, the path relative to the
    manifest's folder; ``files`` are the ramdisks'. Lines and columns count from 1. A Signature is ``{"certificate":
    File, "key": {"kind": "file"|"kms", "value"}}``; the value is a path, relative to the manifest's folder unless it is
    absolute, or an ARN. That the key is no File is on purpose: Files are copied into sandboxes and caches.

    Args:
        manifest_path: the manifest.
        output: where the report goes, whole or not at all.

    Raises:
        ManifestError: it is no valid manifest.
        EnclaverError: it cannot be read, or the report cannot be written.
    """
    manifest = load(manifest_path)
    file = str(manifest_path)
    document = {
        "version": REPORT_VERSION,
        "name": manifest.name,
        "target": manifest.target,
        "app": {"kind": manifest.sources.app.kind.value, "value": manifest.sources.app.value},
        "defaults": {
            "cpu_count": manifest.defaults.cpu_count,
            "memory_mb": manifest.defaults.memory_mb,
        },
        "files": [_file(manifest, key, path) for key, path in manifest.files],
        "signature": _signature(manifest),
        "notes": [_remark(note, file, "note: ") for note in manifest.notes],
    }
    with atomic_output(output) as out:
        out.write(json.dumps(document, sort_keys=True, indent=2).encode("ascii") + b"\n")


def _file(manifest: Manifest, key: str, path: str) -> dict[str, object]:
    place = manifest.origin.places[key]
    return {"key": key, "line": place.line, "column": place.column, "path": path}


def _signature(manifest: Manifest) -> dict[str, object] | None:
    signature = manifest.signature
    if signature is None:
        return None
    return {
        "certificate": _file(manifest, "signature.certificate", signature.certificate),
        "key": {"kind": signature.key.kind.value, "value": signature.key.value},
    }


def _remark(problem: Problem, file: str, label: str) -> dict[str, object]:
    return {
        "key": problem.key,
        "line": problem.place.line,
        "column": problem.place.column,
        "message": problem.message,
        "cure": problem.cure,
        "text": problem.render(file, label=label),
    }
