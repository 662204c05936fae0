from __future__ import annotations

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import media_types
from enclaver.core.oci.compression import Compression
from tests.unit.enclaver.core.oci.archives import CONFIG, INDEX, LAYER, MANIFEST

DOCKER = "application/vnd.docker."


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        (LAYER, Compression.NONE),
        (f"{LAYER}+gzip", Compression.GZIP),
        (f"{LAYER}+zstd", Compression.ZSTD),
        (f"{DOCKER}image.rootfs.diff.tar", None),
        (f"{DOCKER}image.rootfs.diff.tar.gzip", None),
        (f"{DOCKER}image.rootfs.diff.tar.zstd", None),
    ],
)
def test_layers(media_type: str, kind: Compression | None) -> None:
    assert media_types.layer_compression(media_type) is kind


@pytest.mark.parametrize(
    ("media_type", "what"),
    [
        (f"{LAYER}+gzip+encrypted", "is encrypted"),
        (f"{LAYER}+encrypted", "is encrypted"),
        (f"{DOCKER}image.rootfs.foreign.diff.tar.gzip", "is a foreign layer"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "is a foreign layer"),
        (f"{LAYER}+bzip2", "not known as a layer"),
        ("", "not known as a layer"),
        ("application/vnd.in-toto+json", "not known as a layer"),
    ],
)
def test_layers_that_are_refused(media_type: str, what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        media_types.layer_compression(media_type)


def test_manifests_and_configurations() -> None:
    media_types.check_manifest(MANIFEST)
    media_types.check_manifest(f"{DOCKER}distribution.manifest.v2+json")
    media_types.check_config(CONFIG)
    media_types.check_config(f"{DOCKER}container.image.v1+json")
    with pytest.raises(EnclaverError, match="schema 1"):
        media_types.check_manifest(f"{DOCKER}distribution.manifest.v1+prettyjws")
    with pytest.raises(EnclaverError, match="not known as an image manifest"):
        media_types.check_manifest(INDEX)
    with pytest.raises(EnclaverError, match="not known as an image's configuration"):
        media_types.check_config("application/vnd.cncf.helm.config.v1+json")
