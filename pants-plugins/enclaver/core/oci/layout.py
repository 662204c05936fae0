"""An OCI image layout: index, manifest, configuration.

Source: OCI image-spec, image-layout.md, image-index.md, manifest.md. Since version 25 `docker save` writes this too,
with its own ``manifest.json`` beside; then this one counts, because it has a digest for every blob.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import config as image_config
from enclaver.core.oci import descriptor as descriptors
from enclaver.core.oci import digest, documents, media_types, platform, resolved
from enclaver.core.oci import manifest as manifests
from enclaver.core.oci.descriptor import Descriptor
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.documents import Object
from enclaver.core.oci.files import Files
from enclaver.core.oci.layer import Layer
from enclaver.core.oci.manifest import Manifest
from enclaver.core.oci.platform import Platform
from enclaver.core.oci.resolved import Resolved

MARKER: Final = "oci-layout"
INDEX: Final = "index.json"
_VERSION: Final = "1."
_DEPTH: Final = 4
# What an index has and no manifest, and the other way round. A document with both is read as the one or the other,
# depending on who reads it (GHSA-77vh-xpmg-72qh).
_OF_INDEXES: Final = ("manifests",)
_OF_MANIFESTS: Final = ("config", "layers")
_MOST_IMAGES: Final = 1000


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An image of an index, and for which platform it is."""

    descriptor: Descriptor
    platform: Platform


def resolve(files: Files, *, architecture: str, reference: str | None) -> Resolved:
    """Choose an image, and find it whole.

    Args:
        files: the layout's.
        architecture: the enclave's; a key of platform.ARCHITECTURES.
        reference: the image's name in the index; needed where there are several.

    Raises:
        EnclaverError: the layout is not sound, or has no such image, or several.
    """
    return _image(files, choose(files, architecture=architecture, reference=reference), architecture)


def choose(files: Files, *, architecture: str, reference: str | None) -> Descriptor:
    """Return the descriptor of an image's manifest; no layer is looked for. Arguments and errors as of ``resolve``."""
    top = [descriptors.parse(item) for item in documents.objects(_index(files), "manifests")]
    names = [name for item in top for name in item.names]
    if reference is not None:
        top = [item for item in top if reference in item.names]
        if not top:
            raise resolved.only(names, reference)
    return choose_among(files, top, architecture=architecture)


def choose_among(files: Files, top: list[Descriptor], *, architecture: str) -> Descriptor:
    """Return the descriptor of an image's manifest among manifests and indexes. Errors as of ``resolve``."""
    candidates = list(_candidates(files, top))
    ranked = [(rank, one) for one in candidates if (rank := platform.rank(one.platform, architecture)) is not None]
    if not ranked:
        raise platform.refused([one.platform for one in candidates], architecture)
    best = min(rank for rank, _ in ranked)
    chosen = {one.descriptor.digest: one.descriptor for rank, one in ranked if rank == best}
    if len(chosen) > 1:
        raise resolved.only([name for item in top for name in item.names], None)
    return next(iter(chosen.values()))


def only_manifest(files: Files) -> Descriptor:
    """Return the descriptor of a layout's only image, whatever machine it is for.

    Raises:
        EnclaverError: the layout is not sound, or has several images, none, or one for several platforms.
    """
    top = [descriptors.parse(item) for item in documents.objects(_index(files), "manifests")]
    found = {item.digest: item for item in top if not item.attestation}
    if len(found) != 1:
        raise resolved.only([name for item in top for name in item.names], None)
    item = next(iter(found.values()))
    _check_type(item, media_types.check_manifest)
    return item


def manifest_of(files: Files, item: Descriptor) -> Manifest:
    """Return a manifest that was chosen. Raises EnclaverError."""
    return manifests.parse(_described(files, item, "manifest", _OF_INDEXES))


def image_id(files: Files, manifest: Manifest) -> Digest:
    """Return the sha256 of an image's configuration. Raises EnclaverError.

    It is the name that an image has whatever way it comes: packed anew, or saved by a daemon, its manifest is another.
    """
    config = manifest.config
    return config.digest if config.digest.algorithm == "sha256" else digest.of(config.blob(files))


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
            inner = _described(files, item, "index", _OF_MANIFESTS)
            parts = [descriptors.parse(value) for value in documents.objects(inner, "manifests")]
            # What an index says of the platform of an index goes for all that is in it.
            waiting += [(replace(one, platform=one.platform or item.platform), depth + 1) for one in reversed(parts)]
            continue
        _check_type(item, media_types.check_manifest)
        yield _Candidate(item, item.platform or platform.parse(_config(files, manifest_of(files, item))))


def _described(files: Files, item: Descriptor, what: str, others: Sequence[str]) -> Object:
    """Return a manifest or an index, which has to be that and nothing else besides. Raises EnclaverError."""
    found = documents.as_object(item.document(files), what)
    if found.get("mediaType") not in (None, item.media_type):
        raise EnclaverError("is of another media type than its index says", place=str(item.digest))
    for key in (key for key in others if key in found):
        raise EnclaverError(
            f"is an image's {what} and has `{key}`, so that it could be read as something else",
            place=str(item.digest),
            cure="Build or push the image anew.",
        )
    return found


def _check_type(item: Descriptor, check: Callable[[str], None]) -> None:
    try:
        check(item.media_type)
    except EnclaverError as error:
        error.place = str(item.digest)
        raise


def _config(files: Files, manifest: Manifest) -> Object:
    _check_type(manifest.config, media_types.check_config)
    return documents.as_object(manifest.config.document(files), "configuration")


def _image(files: Files, item: Descriptor, architecture: str) -> Resolved:
    manifest = manifest_of(files, item)
    config = image_config.parse(_config(files, manifest))
    parts = manifest.layers
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
    return Resolved(image_id(files, manifest), manifest.config.size, config, tuple(layers))
