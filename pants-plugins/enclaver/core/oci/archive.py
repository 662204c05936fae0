"""Writing an image as one file: an OCI layout in a tar file, with what older programs look for beside it.

Source: OCI image-spec, image-layout.md and annotations.md; Docker's image-spec v1.2 for ``manifest.json``, by which
daemons before version 25 load. The same image gives the same bytes: nothing in the file is of a clock or a machine.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest, docker_save, documents, layout, media_types, reference
from enclaver.core.oci import manifest as manifests
from enclaver.core.oci.descriptor import Descriptor
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.manifest import Manifest
from enclaver.core.oci.reference import Reference
from enclaver.core.rootfs.entry import Content, InlineContent

_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755
_BLOBS: Final = "blobs"
_NAME: Final = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME: Final = "io.containerd.image.name"


def write_archive(
    out: BinaryIO,
    *,
    manifest: bytes,
    media_type: str,
    blobs: Mapping[Digest, Content],
    names: Sequence[str] = (),
) -> None:
    """Write an image's archive, as `docker load`, `skopeo copy oci-archive:FILE` and this project's own reader take it.

    Args:
        out: where to; it is written in order, and nothing else is done with it.
        manifest: the image's manifest, as it is to be: its digest is the image's.
        media_type: the manifest's.
        blobs: its configuration and its layers, by digest; what the manifest does not name is left out.
        names: references with a tag, under which the image is loaded. Each is an entry of the index: Docker's full
            spelling for containerd, the short one for everybody else.

    Raises:
        EnclaverError: the manifest is none, a blob is missing or not of its digest and size, a name is no reference
            with a tag. Part of the archive may be written by then.
    """
    media_types.check_manifest(media_type)
    parsed = manifests.parse(documents.parse(manifest))
    top = Descriptor(media_type, digest.of(InlineContent(manifest)), len(manifest))
    tags = [_tagged(name) for name in names]

    contents = {part.digest: _content(blobs, part) for part in parsed.parts}
    contents[top.digest] = InlineContent(manifest)
    _file(out, layout.MARKER, InlineContent(_json({"imageLayoutVersion": "1.0.0"})))
    _file(out, layout.INDEX, InlineContent(_json(_index(top, tags))))
    _file(out, docker_save.MANIFEST, InlineContent(_json(_docker_manifest(parsed, tags))))
    _folder(out, _BLOBS)
    for algorithm in sorted({each.algorithm for each in contents}):
        _folder(out, f"{_BLOBS}/{algorithm}")
    for each in sorted(contents, key=str):
        _file(out, _place(each), contents[each], each)
    # Two blocks of zeros end a tar file.
    out.write(bytes(2 * tarfile.BLOCKSIZE))


def _tagged(name: str) -> Reference:
    found = reference.parse(name)
    if found.tag is None or found.digest is not None:
        raise EnclaverError(f"{name} has a digest, and an image is loaded under a name and a tag", cure="Drop the `@`.")
    return found


def _content(blobs: Mapping[Digest, Content], part: Descriptor) -> Content:
    content = blobs.get(part.digest)
    if content is None:
        raise EnclaverError("the image lacks this part", place=str(part.digest))
    if content.size != part.size:
        raise EnclaverError(f"is {content.size} bytes, and the manifest says {part.size}", place=str(part.digest))
    return content


def _index(image: Descriptor, tags: Sequence[Reference]) -> dict[str, Any]:
    entry = {"mediaType": image.media_type, "digest": str(image.digest), "size": image.size}
    named = [{**entry, "annotations": {_NAME: tag.familiar, _CONTAINERD_NAME: str(tag)}} for tag in tags]
    return {"schemaVersion": 2, "mediaType": media_types.INDEXES[0], "manifests": named or [entry]}


def _docker_manifest(manifest: Manifest, tags: Sequence[Reference]) -> list[Any]:
    return [
        {
            "Config": _place(manifest.config.digest),
            "RepoTags": [tag.familiar for tag in tags],
            "Layers": [_place(layer.digest) for layer in manifest.layers],
        }
    ]


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _place(blob: Digest) -> str:
    return f"{_BLOBS}/{blob.algorithm}/{blob.hex}"


def _folder(out: BinaryIO, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    member.mode = _FOLDER_MODE
    out.write(member.tobuf(tarfile.PAX_FORMAT))


def _file(out: BinaryIO, name: str, content: Content, expected: Digest | None = None) -> None:
    """Write a file; owners and times stay what TarInfo starts with, 0 and no names."""
    member = tarfile.TarInfo(name)
    member.size = content.size
    member.mode = _FILE_MODE
    # A ustar header; only a file of 8 GiB and more gets a pax one before it, for its size.
    out.write(member.tobuf(tarfile.PAX_FORMAT))
    hasher = expected.hasher() if expected else None
    for chunk in content.chunks():
        if hasher:
            hasher.update(chunk)
        out.write(chunk)
    if expected and hasher:
        digest.check(expected, hasher.hexdigest(), name)
    out.write(bytes(-content.size % tarfile.BLOCKSIZE))
