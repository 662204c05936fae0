"""What images are made of, by media type.

Source: OCI image-spec, media-types.md; Docker's image manifest v2, schema 2.
"""

from __future__ import annotations

from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci.compression import Compression

INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
CONFIGS: Final = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_SCHEMA_1: Final = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
# None: the type says gzip and means whatever the blob begins with, since docker never held itself to it.
_LAYERS: Final[dict[str, Compression | None]] = {
    "application/vnd.oci.image.layer.v1.tar": Compression.NONE,
    "application/vnd.oci.image.layer.v1.tar+gzip": Compression.GZIP,
    "application/vnd.oci.image.layer.v1.tar+zstd": Compression.ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar": None,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": None,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": None,
}
_FOREIGN: Final = (".nondistributable.", ".foreign.")
_ENCRYPTED: Final = "+encrypted"
_SHOWN: Final = 100


def layer_compression(media_type: str) -> Compression | None:
    """Return how a layer of a type is packed; None when its first bytes are to tell.

    Raises:
        EnclaverError: the layer is encrypted or foreign (not in the image), or of an unknown type.
    """
    if media_type in _LAYERS:
        return _LAYERS[media_type]
    if _ENCRYPTED in media_type:
        raise EnclaverError("is encrypted", cure="Decrypt the image first (skopeo copy --decryption-key).")
    if any(part in media_type for part in _FOREIGN):
        raise EnclaverError(
            "is a foreign layer, whose content is not part of the image but is to be fetched from elsewhere",
            cure="Build the image on a base without such layers; only Windows' have them.",
        )
    raise unknown(media_type, "a layer")


def check_manifest(media_type: str) -> None:
    """Refuse what is no image manifest. Raises EnclaverError."""
    if media_type in _SCHEMA_1:
        raise EnclaverError("is a manifest of schema 1, which names no configuration", cure="Push the image anew.")
    if media_type not in MANIFESTS:
        raise unknown(media_type, "an image manifest")


def check_config(media_type: str) -> None:
    """Refuse what is no image's configuration. Raises EnclaverError."""
    if media_type not in CONFIGS:
        raise unknown(media_type, "an image's configuration", cure="It may be another artifact, such as a chart.")


def unknown(media_type: str, what: str, cure: str | None = None) -> EnclaverError:
    """Return the error for a type that is not known."""
    return EnclaverError(f"the media type {media_type[:_SHOWN]!a} is not known as {what}", cure=cure)
