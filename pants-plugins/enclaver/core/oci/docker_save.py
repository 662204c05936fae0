"""What `docker save` wrote before version 25, and podman and skopeo still do: a tar file with ``manifest.json``.

Source: Docker's image-spec, v1.2, "Combined Image JSON + Filesystem Changeset Format". Layers have no digests here;
what they unpack to has one, in the configuration, and the configuration's own is its name.
"""

from __future__ import annotations

import re
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import config as image_config
from enclaver.core.oci import digest, documents, resolved
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.documents import Object
from enclaver.core.oci.files import Files
from enclaver.core.oci.layer import Layer
from enclaver.core.oci.resolved import Resolved
from enclaver.core.rootfs.entry import FileContent, InlineContent, printable

MANIFEST: Final = "manifest.json"
_NAMED: Final = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?")


def resolve(files: Files, *, architecture: str, reference: str | None) -> Resolved:
    """Choose an image.

    Args:
        files: the archive's.
        architecture: the enclave's; a key of platform.ARCHITECTURES.
        reference: one of the image's tags; needed where there are several images.

    Raises:
        EnclaverError: the archive is not sound, or has no such image, or several.
    """
    images = _images(_file(files, MANIFEST))
    names = [tag for image in images for tag in documents.texts(image, "RepoTags")]
    if reference is not None:
        images = [image for image in images if reference in documents.texts(image, "RepoTags")]
    if not images and reference is None:
        raise EnclaverError("holds no image", place=MANIFEST)
    if len(images) != 1:
        raise resolved.only(names, reference)
    image = images[0]
    found, data = _config(files, documents.text(image, "Config"))
    config = image_config.parse(documents.parse(data))
    names_of_layers = documents.texts(image, "Layers")
    resolved.check(config, len(names_of_layers), architecture)
    layers = tuple(
        Layer(f"layer {number} of {len(config.diff_ids)}", _file(files, name), None, None, diff_id)
        for number, (name, diff_id) in enumerate(zip(names_of_layers, config.diff_ids, strict=True), start=1)
    )
    return Resolved(found, len(data), config, layers)


def _images(content: FileContent) -> list[Object]:
    try:
        found = documents.parse(documents.load(content))
        return documents.objects({MANIFEST: found}, MANIFEST)
    except EnclaverError as error:
        error.place = error.place or MANIFEST
        raise


def _config(files: Files, name: str) -> tuple[Digest, bytes]:
    """Return a configuration's digest and its bytes."""
    data = documents.load(_file(files, name))
    found = digest.of(InlineContent(data))
    named = _NAMED.fullmatch(name)
    if named:
        digest.check(Digest("sha256", named[1]), found.hex, f"the configuration {name}")
    return found, data


def _file(files: Files, name: str) -> FileContent:
    content = files.find(name)
    if content is None:
        raise EnclaverError("is not in the archive", place=printable(name), cure="Save the image again, whole.")
    return content
