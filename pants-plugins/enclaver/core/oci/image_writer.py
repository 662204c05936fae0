"""An image of layers that are there: its configuration and its manifest, the same bytes for the same layers.

Source: OCI image-spec, config.md and manifest.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from enclaver.core.oci import digest
from enclaver.core.oci.layer_writer import WrittenLayer
from enclaver.core.oci.media_types import CONFIGS, MANIFESTS
from enclaver.core.oci.platform import ARCHITECTURES
from enclaver.core.rootfs.entry import InlineContent

MEDIA_TYPE: Final = MANIFESTS[0]
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
# No clock tells when an image was made, if the same inputs are to give the same image. The spec lets the time be left
# out, and docker and skopeo take that, the one as the year 1 and the other as null. The epoch is what other
# reproducible builders write, so every registry and scanner has met it.
_CREATED: Final = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class NamedLayer:
    """A layer, and what `docker history` calls it."""

    name: str
    written: WrittenLayer


@dataclass(frozen=True, slots=True)
class ImageDocuments:
    """An image's configuration and manifest as they lie in an archive; the manifest's digest is the image's."""

    config: bytes
    manifest: bytes


def documents(
    layers: Sequence[NamedLayer],
    *,
    architecture: str,
    entrypoint: Sequence[str],
    env: Mapping[str, str],
    labels: Mapping[str, str],
    ports: Sequence[int] = (),
) -> ImageDocuments:
    """Write an image's documents.

    Args:
        layers: the lowest first; without compression.
        architecture: a key of platform.ARCHITECTURES.
        entrypoint: the program with its arguments; those of `docker run` follow.
        env: the program's environment.
        labels: what the image says of itself.
        ports: TCP ports that its program listens on, for people and for `docker run -P`.
    """
    inner: dict[str, object] = {
        "Entrypoint": list(entrypoint),
        "Env": [f"{name}={value}" for name, value in sorted(env.items())],
        "Labels": dict(labels),
        "WorkingDir": "/",
    }
    if ports:
        inner["ExposedPorts"] = {f"{port}/tcp": {} for port in ports}
    config = _json(
        {
            "architecture": ARCHITECTURES[architecture],
            "os": "linux",
            "created": _CREATED,
            "config": inner,
            "rootfs": {"type": "layers", "diff_ids": [str(layer.written.digest) for layer in layers]},
            "history": [{"created": _CREATED, "created_by": layer.name} for layer in layers],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE,
            "config": _descriptor(CONFIGS[0], str(digest.of(InlineContent(config))), len(config)),
            "layers": [_descriptor(_LAYER, str(one.written.digest), one.written.size) for one in layers],
        }
    )
    return ImageDocuments(config, manifest)


def _descriptor(media_type: str, of: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": of, "size": size}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
