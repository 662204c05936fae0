from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import descriptor as descriptors
from enclaver.core.oci.files import Folder
from enclaver.core.oci.platform import Platform
from tests.unit.enclaver.core.oci.archives import CONFIG, MANIFEST, descriptor, layout, sha256, write_folder

DATA = b'{"a": 1}'


def test_a_descriptor_is_read() -> None:
    found = descriptors.parse(
        descriptor(
            DATA,
            MANIFEST,
            platform={"os": "linux", "architecture": "arm64", "variant": "v8"},
            annotations={
                "org.opencontainers.image.ref.name": "latest",
                "io.containerd.image.name": "docker.io/library/app:latest",
                "other": "x",
            },
        )
    )
    assert (found.media_type, str(found.digest), found.size) == (MANIFEST, sha256(DATA), len(DATA))
    assert found.platform == Platform("linux", "arm64", "v8")
    assert found.names == ("docker.io/library/app:latest", "latest")
    assert not found.attestation


def test_an_attestation_is_told() -> None:
    annotations = {"vnd.docker.reference.type": "attestation-manifest"}
    assert descriptors.parse(descriptor(DATA, MANIFEST, annotations=annotations)).attestation
    assert not descriptors.parse(descriptor(DATA, MANIFEST)).attestation


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"digest": "sha256:../../etc/passwd"}, "is no digest"),
        ({"digest": None}, "`digest` is not a text"),
        ({"size": -1}, "`size` is not"),
        ({"size": "8"}, "`size` is not"),
        ({"platform": "linux/amd64"}, "`platform` is not an object"),
        ({"annotations": []}, "`annotations` is not an object"),
    ],
)
def test_what_is_none_is_refused(change: dict[str, Any], what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        descriptors.parse({**descriptor(DATA, CONFIG), **change})


def test_a_document_is_what_its_digest_says(tmp_path: Path) -> None:
    files = Folder(write_folder(layout([], DATA), tmp_path))
    good = descriptor(DATA, CONFIG)
    assert descriptors.parse(good).document(files) == {"a": 1}
    name = str(good["digest"])
    with pytest.raises(EnclaverError, match=f"{name}: is 8 bytes, and the image says 9"):
        descriptors.parse({**good, "size": 9}).document(files)
    (tmp_path / "blobs/sha256" / name.removeprefix("sha256:")).write_bytes(b'{"a": 2}')
    with pytest.raises(EnclaverError, match=f"{name}: this document is not what the image says"):
        descriptors.parse(good).document(files)
    with pytest.raises(EnclaverError, match="the image lacks this part"):
        descriptors.parse(descriptor(b"another", CONFIG)).document(files)
