"""Layers and images for tests, byte by byte: with every field to be got wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image
from enclaver.core.oci.image import Image
from enclaver.core.rootfs.tree import Tree
from tests.unit.enclaver.core.rootfs.trees import flat

END = bytes(1024)
USTAR = b"ustar\x0000"
GNU = b"ustar  \0"
V7 = bytes(8)

OCI = "application/vnd.oci.image."
LAYER = f"{OCI}layer.v1.tar"
MANIFEST = f"{OCI}manifest.v1+json"
INDEX = f"{OCI}index.v1+json"
CONFIG = f"{OCI}config.v1+json"
AMD64 = {"os": "linux", "architecture": "amd64"}
ARM64 = {"os": "linux", "architecture": "arm64", "variant": "v8"}


def short(value: object) -> str | None:
    """A test's name for a parameter: noise makes none, and is not the same in every run."""
    return "bytes" if isinstance(value, bytes) else None


def refusal(action: Callable[[], object]) -> EnclaverError | None:
    """Call something; return what it refuses with, None when it doesn't."""
    try:
        action()
    except EnclaverError as error:
        return error
    return None


def number(value: int, size: int) -> bytes:
    """A number as tar(1) writes it: octal with a NUL behind, or base 256 where that is too short."""
    text = b"%0*o\0" % (size - 1, value)
    return text if len(text) == size else (value | 0x80 << (8 * (size - 1))).to_bytes(size, "big")


def header(
    name: bytes | str,
    kind: bytes = b"0",
    *,
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    link: bytes | str = b"",
    magic: bytes = USTAR,
    prefix: bytes = b"",
    trailer: bytes = bytes(12),
    checksum: bytes | None = None,
) -> bytes:
    """A header; numbers given as bytes stay as they are."""
    name, link = (part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part for part in (name, link))
    fields = [
        name.ljust(100, b"\0"),
        *(
            value.ljust(width, b"\0") if isinstance(value, bytes) else number(value, width)
            for value, width in ((mode, 8), (uid, 8), (gid, 8), (size, 12))
        ),
        number(1234567890, 12),
        b"        ",
        kind,
        link.ljust(100, b"\0"),
        magic,
        b"builder".ljust(32, b"\0"),
        b"builder".ljust(32, b"\0"),
        bytes(16),
        prefix.ljust(155, b"\0"),
        trailer,
    ]
    block = b"".join(fields)
    assert len(block) == 512
    return block[:148] + (checksum or b"%06o\0 " % sum(block)) + block[156:]


def member(name: bytes | str, data: bytes = b"", kind: bytes = b"0", **fields: Any) -> bytes:
    """A header and its content, padded."""
    return header(name, kind, **{"size": len(data), **fields}) + data + bytes(-len(data) % 512)


def folder(name: bytes | str, **fields: Any) -> bytes:
    """A folder."""
    return header(name, b"5", **{"mode": 0o755, **fields})


def symlink(name: bytes | str, target: bytes | str, **fields: Any) -> bytes:
    """A symbolic link."""
    return header(name, b"2", link=target, **{"mode": 0o777, **fields})


def hard_link(name: bytes | str, target: bytes | str, **fields: Any) -> bytes:
    """A hard link."""
    return header(name, b"1", link=target, **fields)


def record(keyword: str, value: bytes | str) -> bytes:
    """A pax record."""
    body = b" " + keyword.encode() + b"=" + (value.encode() if isinstance(value, str) else value) + b"\n"
    length = len(body) + 1
    while length != len(str(length)) + len(body):
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def pax(records: Mapping[str, bytes | str], kind: bytes = b"x") -> bytes:
    """A pax extended header."""
    return member("pax", b"".join(record(*item) for item in records.items()), kind)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    """A GNU long name, or with ``K`` a long link target."""
    return member("././@LongLink", name + b"\0", kind, magic=GNU)


def tar(*parts: bytes) -> bytes:
    """A tar file of members."""
    return b"".join(parts) + END


def sha256(data: bytes) -> str:
    """A digest as images write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """A descriptor of bytes."""
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}


def to_json(value: object) -> bytes:
    """JSON as any tool might write it."""
    return json.dumps(value).encode()


def packed(layer: bytes, how: str) -> tuple[bytes, str]:
    """A layer's blob and its media type: how is ``""``, ``+gzip`` or ``+zstd``."""
    if how == "+gzip":
        return gzip.compress(layer, mtime=0), LAYER + how
    if how == "+zstd":
        return zstandard.compress(layer), LAYER + how
    return layer, LAYER


@dataclass
class Parts:
    """An image before it is put together: any part may be exchanged."""

    config: dict[str, Any]
    blobs: list[tuple[bytes, str]]

    def manifest(self) -> dict[str, Any]:
        """The manifest."""
        return {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(to_json(self.config), CONFIG),
            "layers": [descriptor(*blob) for blob in self.blobs],
        }

    def files(self, manifest: dict[str, Any] | None = None, **top: Any) -> dict[str, bytes]:
        """The files of an OCI layout; ``top`` is added to the descriptor in its index."""
        data = to_json(self.manifest() if manifest is None else manifest)
        documents = [data, to_json(self.config), *(blob for blob, _ in self.blobs)]
        return layout([descriptor(data, MANIFEST, **top)], *documents)

    def docker_save(self, tags: Sequence[str] = ("app:latest",)) -> dict[str, bytes]:
        """The files of an archive as `docker save` wrote them before version 25."""
        config = to_json(self.config)
        name = hashlib.sha256(config).hexdigest() + ".json"
        names = [f"layer{index}/layer.tar" for index in range(len(self.blobs))]
        manifest = [{"Config": name, "RepoTags": list(tags), "Layers": names}]
        return {
            **{name: blob for name, (blob, _) in zip(names, self.blobs, strict=True)},
            name: config,
            "manifest.json": to_json(manifest),
        }


def layout(manifests: Sequence[dict[str, Any]], *blobs: bytes) -> dict[str, bytes]:
    """The files of an OCI layout."""
    return {
        "oci-layout": to_json({"imageLayoutVersion": "1.0.0"}),
        "index.json": to_json({"schemaVersion": 2, "manifests": list(manifests)}),
        **{f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": blob for blob in blobs},
    }


def parts(*layers: bytes, how: str = "", platform: Mapping[str, str] = AMD64, **config: Any) -> Parts:
    """An image of layers; ``config`` is what is in its configuration's ``config``."""
    return Parts(
        {
            **platform,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
        },
        [packed(layer, how) for layer in layers],
    )


def archived(files: Mapping[str, bytes]) -> bytes:
    """Files as a tar file."""
    return tar(*(member(name, data) for name, data in files.items()))


def write_folder(files: Mapping[str, bytes], place: Path) -> Path:
    """Files as a folder."""
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def read(data: bytes | Mapping[str, bytes], place: Path, **options: Any) -> Image:
    """Read an image from an archive's bytes, or from the files of a layout."""
    path = place / "image.tar"
    path.write_bytes(data if isinstance(data, bytes) else archived(data))
    work = place / "work"
    work.mkdir(exist_ok=True)
    return image.read(path, work, **{"architecture": "x86_64", **options})


def read_layers(place: Path, *layers: bytes, how: str = "", **options: Any) -> Tree:
    """Return the tree that layers come to."""
    return read(parts(*layers, how=how).files(), place, **options).tree


def listed(tree: Tree) -> dict[str, object]:
    """A tree by path: ``DIR``, a file's bytes, or ``-> TARGET`` of a symbolic link."""
    found: dict[str, object] = {}
    for path, kind, _, _, _, body, target, *_ in flat(tree):
        found[str(path)] = body if body is not None else f"-> {target}" if target is not None else str(kind)[5:8]
    return found
