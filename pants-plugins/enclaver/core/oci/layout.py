"""An OCI image layout: index, manifest, configuration.

Source: OCI image-spec, image-layout.md, image-index.md, manifest.md. Since version 25 `docker save` writes this too,
with its own ``manifest.json`` beside; then this one counts, because it has a digest for every blob.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import config as image_config
from enclaver.core.oci import descriptor as descriptors
from enclaver.core.oci import digest, documents, media_types, platform, resolved
from enclaver.core.oci.descriptor import Descriptor
from enclaver.core.oci.documents import Object
from enclaver.core.oci.files import Files
from enclaver.core.oci.layer import Layer
from enclaver.core.oci.platform import Platform
from enclaver.core.oci.resolved import Resolved

MARKER: Final = "oci-layout"
INDEX: Final = "index.json"
_VERSION: Final = "1."
_DEPTH: Final = 4
_MOST_IMAGES: Final = 1000


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An image of an index, and for which platform it is."""

    descriptor: Descriptor
    platform: Platform


def resolve(files: Files, *, architecture: str, reference: str | None) -> Resolved:
    """Choose an image.

    Args:
        files: the layout's.
        architecture: the enclave's; a key of platform.ARCHITECTURES.
        reference: the image's name in the index; needed where there are several.

    Raises:
        EnclaverError: the layout is not sound, or has no such image, or several.
    """
    top = [descriptors.parse(item) for item in documents.objects(_index(files), "manifests")]
    names = [name for item in top for name in item.names]
    if reference is not None:
        top = [item for item in top if reference in item.names]
        if not top:
            raise resolved.only(names, reference)
    candidates = list(_candidates(files, top))
    ranked = [(rank, one) for one in candidates if (rank := platform.rank(one.platform, architecture)) is not None]
    if not ranked:
        raise platform.refused([one.platform for one in candidates], architecture)
    best = min(rank for rank, _ in ranked)
    chosen = {one.descriptor.digest: one.descriptor for rank, one in ranked if rank == best}
    if len(chosen) > 1:
        raise resolved.only(names, None)
    return _image(files, next(iter(chosen.values())), architecture)


def _index(files: Files) -> Object:
    version = documents.text(_document(files, MARKER), "imageLayoutVersion")
    if not version.startswith(_VERSION):
        raise EnclaverError(f"is a layout of version {version[:20]!a}; 1.0.0 is known", place=MARKER)
    return _document(files, INDEX)


def _document(files: Files, name: str) -> Object:
    content = files.find(name)
    if content is None:
        raise EnclaverError(f"is no OCI image layout: it has no {name}", cure="Save the image again.")
    try:
        return documents.as_object(documents.parse(documents.load(content)), name)
    except EnclaverError as error:
        error.place = error.place or name
        raise


def _candidates(files: Files, top: list[Descriptor]) -> Iterator[_Candidate]:
    """Yield the images of an index and of those that it holds; each once, however often it is named."""
    seen = set()
    waiting = [(item, 1) for item in reversed(top)]
    while waiting:
        item, depth = waiting.pop()
        if item.attestation or item.digest in seen:
            continue
        seen.add(item.digest)
        if len(seen) > _MOST_IMAGES or depth > _DEPTH:
            raise EnclaverError("has more images, or indexes in indexes, than any real one")
        if item.media_type in media_types.INDEXES:
            inner = documents.as_object(item.document(files), "index")
            parts = [descriptors.parse(value) for value in documents.objects(inner, "manifests")]
            # What an index says of the platform of an index goes for all that is in it.
            waiting += [(replace(one, platform=one.platform or item.platform), depth + 1) for one in reversed(parts)]
            continue
        _check_type(item, media_types.check_manifest)
        yield _Candidate(item, item.platform or platform.parse(_config(files, _manifest(files, item))))


def _check_type(item: Descriptor, check: Callable[[str], None]) -> None:
    try:
        check(item.media_type)
    except EnclaverError as error:
        error.place = str(item.digest)
        raise


def _manifest(files: Files, item: Descriptor) -> Object:
    found = documents.as_object(item.document(files), "manifest")
    if found.get("mediaType") not in (None, item.media_type):
        raise EnclaverError("is of another media type than its index says", place=str(item.digest))
    return found


def _config(files: Files, manifest: Object) -> Object:
    item = descriptors.parse(documents.child(manifest, "config"))
    _check_type(item, media_types.check_config)
    return documents.as_object(item.document(files), "configuration")


def _image(files: Files, item: Descriptor, architecture: str) -> Resolved:
    manifest = _manifest(files, item)
    config = image_config.parse(_config(files, manifest))
    parts = [descriptors.parse(value) for value in documents.objects(manifest, "layers")]
    resolved.check(config, len(parts), architecture)
    layers = []
    for number, (part, diff_id) in enumerate(zip(parts, config.diff_ids, strict=True), start=1):
        label = f"layer {number} of {len(parts)}"
        try:
            packed = media_types.layer_compression(part.media_type)
            layers.append(Layer(label, part.blob(files), part.digest, packed, diff_id))
        except EnclaverError as error:
            error.place = f"{label}: {error.place or part.digest}"
            raise
    # Whatever the index calls it by: an image has one name in what an enclave is made of.
    named = item.digest if item.digest.algorithm == "sha256" else digest.of(item.blob(files))
    return Resolved(named, item.size, config, tuple(layers))
