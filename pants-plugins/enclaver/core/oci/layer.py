"""One layer: its blob unpacked and hashed in one pass, its members listed, its contents left where they lie.

A layer without compression stays in its file; any other is unpacked once, as a whole, to a file of its own. What layers
above overwrite is unpacked too: to leave it out, a layer would have to wait for all above it, and none does now. With a
cache, it is unpacked once for all images that have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import compression, digest
from enclaver.core.oci.compression import Compression
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.layer_cache import LayerCache
from enclaver.core.oci.limits import Budget
from enclaver.core.oci.stream import Chunks
from enclaver.core.oci.tar_members import Member, MemberKind, members
from enclaver.core.rootfs.entry import CHUNK, FileContent, Source
from enclaver.core.rootfs.spool import Spool


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as an image names it.

    Args:
        label: names it in errors: ``layer 2 of 3``.
        blob: its bytes.
        digest: of the blob, where the image says one.
        packed: how it is packed; None when its first bytes are to tell.
        diff_id: the digest of what it unpacks to.
    """

    label: str
    blob: FileContent
    digest: Digest | None
    packed: Compression | None
    diff_id: Digest

    @property
    def origin(self) -> str:
        """What entries of this layer name as what brought them: the same however the layer was packed."""
        return f"layer:{self.diff_id}"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A layer's members, and the uncompressed tar file that their offsets are in."""

    layer: Layer
    members: list[Member]
    content: FileContent

    def part(self, member: Member) -> FileContent:
        """Return a file's content."""
        return FileContent(self.content.path, self.content.offset + member.offset, member.size, member.sha256)


def read(layer: Layer, spool: Path, budget: Budget, cache: LayerCache | None = None) -> Unpacked:
    """Read a layer.

    Args:
        layer: which.
        spool: the file for what it unpacks to; not made for one that is not compressed, or that was kept.
        budget: of all layers together.
        cache: where unpacked layers are kept.

    Raises:
        EnclaverError: it is not what its digests say, is damaged, packed otherwise than it says, unpacks to too much,
            or holds what no image may.
    """
    with _named(layer):
        try:
            kind = compression.detect(layer.blob)
            if layer.packed not in (None, kind):
                raise EnclaverError(f"is {kind.value} where the image says {layer.packed and layer.packed.value}")
            if kind is Compression.NONE or cache is None:
                return _read(layer, kind, spool, budget)
            return _kept(layer, budget, cache) or _unpack(layer, kind, spool, budget, cache)
        except EnclaverError:
            # Whatever else a layer suffers from: that it is not the one that was meant explains it.
            _check_blob(layer)
            raise


def _kept(layer: Layer, budget: Budget, cache: LayerCache) -> Unpacked | None:
    """Return a layer as it was kept; None for one that wasn't, or is no longer what it was."""
    found = cache.find(layer.diff_id)
    if found is None:
        return None
    content, members = found
    try:
        digest.check(layer.diff_id, digest.of(content, layer.diff_id.algorithm).hex, "what was kept")
    except EnclaverError:
        cache.drop(layer.diff_id)
        return None
    budget.take(content.size)
    for member in members:
        budget.take_entry(member.text_size)
    return Unpacked(layer, members, content)


def _unpack(layer: Layer, kind: Compression, spool: Path, budget: Budget, cache: LayerCache) -> Unpacked:
    found = _digested(_read(layer, kind, spool, budget))
    cache.keep(layer.diff_id, spool, found.members)
    return found


def _digested(unpacked: Unpacked) -> Unpacked:
    """Return a layer with the digests of all its contents: of those that end up in an image, they are needed anyway."""
    buffer = memoryview(bytearray(CHUNK))
    members = []
    with unpacked.content.opened() as source:
        at = 0  # Contents lie in the order of their members.
        for member in unpacked.members:
            if member.kind is MemberKind.FILE:
                _take(source, member.offset - at, buffer)
                member = replace(member, sha256=_take(source, member.size, buffer))
                at = member.offset + member.size
            members.append(member)
    return replace(unpacked, members=members)


def _take(source: Source, size: int, buffer: memoryview) -> str:
    """Read so much, and return its digest."""
    hasher = sha256()
    while size:
        count = source.readinto(buffer[:size])
        if not count:
            raise EnclaverError("what it was unpacked to has become shorter", cure="Build again.")
        hasher.update(buffer[:count])
        size -= count
    return hasher.hexdigest()


def _read(layer: Layer, kind: Compression, spool: Path, budget: Budget) -> Unpacked:
    if kind is Compression.NONE:
        return Unpacked(layer, _members(layer, kind, None, budget), layer.blob)
    with Spool(spool) as out:
        return Unpacked(layer, _members(layer, kind, out, budget), out.whole())


@contextmanager
def _named(layer: Layer) -> Iterator[None]:
    try:
        yield
    except EnclaverError as error:
        error.place = f"{layer.label}: {error.place}" if error.place else layer.label
        raise


def _check_blob(layer: Layer) -> None:
    """Refuse a blob that is not what the image says, by a pass of its own."""
    if layer.digest is not None:
        digest.check(layer.digest, digest.of(layer.blob, layer.digest.algorithm).hex, "its blob")


def _members(layer: Layer, kind: Compression, out: Spool | None, budget: Budget) -> list[Member]:
    diff = layer.diff_id.hasher()
    # Of what is not compressed both digests are one; hashing is half of the work then.
    same = kind is Compression.NONE and layer.digest is not None and layer.digest.algorithm == layer.diff_id.algorithm
    packed = layer.digest.hasher() if layer.digest is not None and not same else None

    def chunks() -> Iterator[bytes]:
        for chunk in compression.unpacked(layer.blob, kind, packed.update if packed else _ignore):
            budget.take(len(chunk))
            diff.update(chunk)
            if out is not None:
                out.append(chunk)
            yield chunk

    stream = Chunks(chunks())
    found = []
    for member in members(stream):
        budget.take_entry(member.text_size)
        found.append(member)
    # What is behind the end is hashed with the rest, and must be padding: tar files cannot be joined by cat.
    if any(chunk.strip(b"\0") for chunk in stream.drain()):
        raise EnclaverError("there is more behind the tar file's end", cure="Make the layer anew.")
    if layer.digest is not None:
        digest.check(layer.digest, (packed or diff).hexdigest(), "its blob")
    digest.check(layer.diff_id, diff.hexdigest(), "what it unpacks to (its diff_id)")
    return found


def _ignore(_chunk: bytes) -> None:
    pass
