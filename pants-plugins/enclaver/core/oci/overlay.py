"""Layers laid one over the other: what an engine's file system shows of an image, as a tree.

Source: OCI image-spec, layer.md. A layer's members count in their order. A whiteout ``.wh.NAME`` hides NAME, and an
opaque one ``.wh..wh..opq`` all that is in its folder, of the layers below alone: what the same layer brings stays,
wherever it stands in it. So every name remembers the layer that brought it, and every folder the last one that brought
something below.

Names lead through links as they do for umoci and containerd, from the image's root on, but never where unpackers
differ: through an absolute link, above the root, or to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import limits
from enclaver.core.oci.layer import Unpacked
from enclaver.core.oci.tar_members import Member, MemberKind
from enclaver.core.rootfs.entry import FileContent, check_path, path_bytes, printable
from enclaver.core.rootfs.tree import Entry, Kind, Tree

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
# aufs kept its own bookkeeping in names like these; no engine of the last years writes any.
_AUFS: Final = ".wh..wh."
# Linux's own limit (MAXSYMLINKS).
_LINKS: Final = 40
_KINDS: Final = {
    MemberKind.FILE: Kind.FILE,
    MemberKind.DIRECTORY: Kind.DIRECTORY,
    MemberKind.SYMLINK: Kind.SYMLINK,
}


@dataclass(slots=True, eq=False)
class Inode:
    """What names stand for; hard links share one."""

    kind: Kind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    content: FileContent | None = None
    target: str | None = None
    xattrs: tuple[str, ...] = ()
    origin: str = ""


@dataclass(slots=True, eq=False)
class _Node:
    """A name: what it stands for, the layer that brought it, the last that brought something below it, and the last
    that left nothing there of those below it.
    """

    inode: Inode
    layer: int
    touched: int
    cleared: int = 0
    children: dict[str, _Node] = field(default_factory=dict)


class Overlay:
    """Layers, applied from the lowest on."""

    def __init__(self) -> None:
        self._root = _Node(Inode(Kind.DIRECTORY), 0, 0)
        self._layer = 0
        self._missing = 0  # Folders that no member brought: one name may have 2,000 of them.
        self._origin = ""

    def apply(self, unpacked: Unpacked) -> None:
        """Lay a layer over those that are there.

        Raises:
            EnclaverError: a name leaves the image or leads through a link where it must not, a whiteout is none, or a
                hard link leads nowhere. The error names the member and the layer.
        """
        self._layer += 1
        self._origin = unpacked.layer.origin
        for member in unpacked.members:
            try:
                self._apply(member, unpacked)
            except EnclaverError as error:
                error.place = f"{unpacked.layer.label}: {error.place or printable(member.name)}"
                raise

    @property
    def root(self) -> Inode:
        """The root folder itself: a tree has no entry for it."""
        return self._root.inode

    def entries(self) -> Iterator[tuple[str, Inode]]:
        """Yield each path and what it stands for; folders before what lies in them, the root not at all.

        Raises:
            EnclaverError: the paths are too long in all: a few deep folders could fill the memory.
        """
        waiting = [("", self._root)]
        length = 0
        while waiting:
            path, node = waiting.pop()
            length += len(path)
            if length > limits.NAMES:
                most = limits.NAMES >> 20
                raise EnclaverError(f"the image's paths are more than {most} MiB in all", cure="Nest them less deep.")
            if path:
                yield path, node.inode
            prefix = f"{path}/" if path else ""
            waiting += [(prefix + name, child) for name, child in node.children.items()]

    def _apply(self, member: Member, unpacked: Unpacked) -> None:
        *above, name = _parts(member.name) or [""]
        if any(part.startswith(_WHITEOUT) for part in above):
            raise EnclaverError("lies in a whiteout, which is no folder")
        if name.startswith(_WHITEOUT):
            self._whiteout(member, above, name)
        elif not name:
            if member.kind is not MemberKind.DIRECTORY:
                raise EnclaverError("stands for the image's root and is no folder", place="/")
            self._describe(self._root.inode, member)
        elif member.kind is MemberKind.HARD_LINK:
            self._link(member, above, name)
        else:
            self._put(member, self._folder(above), name, unpacked)

    def _put(self, member: Member, folder: _Node, name: str, unpacked: Unpacked) -> None:
        old = folder.children.get(name)
        kind = _KINDS[member.kind]
        if old is None or not (old.inode.kind is kind is Kind.DIRECTORY):
            old = _Node(Inode(kind), self._layer, self._layer)
            folder.children[name] = old
        old.layer = old.touched = self._layer
        self._describe(old.inode, member)
        if kind is Kind.FILE:
            old.inode.content = unpacked.part(member)
        elif kind is Kind.SYMLINK:
            old.inode.target = member.link

    def _describe(self, inode: Inode, member: Member) -> None:
        inode.mode, inode.uid, inode.gid = member.mode, member.uid, member.gid
        inode.xattrs, inode.origin = member.xattrs, self._origin

    def _link(self, member: Member, above: list[str], name: str) -> None:
        folder = self._folder(above)
        # What was at the name goes first, as where a real link is made: it is no target any more.
        folder.children.pop(name, None)
        target = _parts(member.link)
        holder = self._walk(target[:-1], make=False) if target else None
        found = holder.children.get(target[-1]) if holder is not None else None
        if found is None or found.inode.kind is Kind.DIRECTORY:
            what = "is not there" if found is None else "is a folder"
            raise EnclaverError(f"is a hard link to {printable(member.link)!r}, which {what}")
        folder.children[name] = _Node(found.inode, self._layer, self._layer)

    def _whiteout(self, member: Member, above: list[str], name: str) -> None:
        if member.kind is not MemberKind.FILE:
            raise EnclaverError(f"is a whiteout, which is an empty file, not a {member.kind.value}")
        hidden = name.removeprefix(_WHITEOUT)
        if name != _OPAQUE and (name.startswith(_AUFS) or hidden in ("", ".", "..")):
            raise EnclaverError("is no whiteout that could be obeyed", cure="Make the layer anew.")
        folder = self._walk(above, make=False)
        if folder is None:
            return
        if name == _OPAQUE:
            self._hide(folder, self._all(folder))
        else:
            self._hide(folder, [hidden])

    def _hide(self, folder: _Node, names: list[str]) -> None:
        """Take names of the layers below out of a folder, and what they have below."""
        waiting = [(folder, names)]
        while waiting:
            holder, hidden = waiting.pop()
            for name in hidden:
                node = holder.children.get(name)
                if node is None:
                    continue
                if node.touched < self._layer:
                    del holder.children[name]
                    continue
                if node.layer < self._layer:
                    # The folder itself is hidden, and there only for what this layer brought into it.
                    node.inode = Inode(Kind.DIRECTORY, origin=self._origin)
                    node.layer = self._layer
                waiting.append((node, self._all(node)))

    def _all(self, folder: _Node) -> list[str]:
        """Return the names in a folder, all of which are to be hidden: once, for what comes later is this layer's.

        Else many whiteouts of one full folder would take hours.
        """
        if folder.cleared == self._layer:
            return []
        folder.cleared = self._layer
        return list(folder.children)

    def _folder(self, parts: list[str]) -> _Node:
        """Return a folder; those that are missing are made as root's and with mode 0755, as unpackers do."""
        found = self._walk(parts, make=True)
        assert found is not None  # It was made.
        return found

    def _walk(self, parts: list[str], *, make: bool) -> _Node | None:
        """Return the folder that parts lead to; None when there is none and none is to be made."""
        trail = [self._root]
        waiting = parts[::-1]
        links = 0
        linked = len(parts) + 1  # As many as are waiting below this are the path's own; the others are a link's.
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if len(trail) == 1:
                    raise EnclaverError("leads through a symbolic link above the image's root")
                trail.pop()
                continue
            node = trail[-1].children.get(part)
            if node is not None and node.inode.kind is Kind.SYMLINK:
                links += 1
                linked = min(linked, len(waiting))
                waiting += _target(node.inode, links)
                continue
            if node is None:
                if len(waiting) >= linked:
                    raise EnclaverError("leads through a symbolic link to nothing")
                if not make:
                    return None
                self._missing += 1
                if self._missing > limits.ENTRIES:
                    raise EnclaverError(f"is one of those that lack more than {limits.ENTRIES} folders in all")
                node = _Node(Inode(Kind.DIRECTORY, origin=self._origin), self._layer, self._layer)
                trail[-1].children[part] = node
            if node.inode.kind is not Kind.DIRECTORY:
                raise EnclaverError(f"lies below {printable(part)!r}, which is a file")
            trail.append(node)
        if make:
            for node in trail:
                node.touched = self._layer
        return trail[-1]


def _target(link: Inode, links: int) -> list[str]:
    """Return the parts of a link's target, the last one first."""
    target = link.target or ""
    if target.startswith("/"):
        raise EnclaverError(
            f"leads through a symbolic link to the absolute path {printable(target[:100])!r}",
            cure="Let the layer name the place itself: unpackers differ in where this leads.",
        )
    if links > _LINKS:
        raise EnclaverError("leads through too many symbolic links")
    return target.split("/")[::-1]


def _parts(name: str) -> list[str]:
    """Return a name's parts from the image's root on. Raises EnclaverError for one that Linux could not hold."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise EnclaverError("has a '..', by which it could leave the image")
    if parts:
        check_path("/".join(parts))
    return parts


def tree(overlay: Overlay) -> Tree:
    """Return what the layers come to. Of a file's names the first, by its bytes, holds the content."""
    names: dict[int, list[str]] = {}
    found = list(overlay.entries())
    for path, inode in found:
        if inode.kind is Kind.FILE:
            names.setdefault(id(inode), []).append(path)
    first = {key: min(paths, key=path_bytes) for key, paths in names.items()}
    return Tree(_entry(path, inode, first.get(id(inode), path)) for path, inode in found)


def _entry(path: str, inode: Inode, first: str) -> Entry:
    return Entry(
        path,
        inode.kind,
        inode.mode,
        inode.uid,
        inode.gid,
        content=inode.content if path == first else None,
        target=inode.target,
        hardlink_to=None if path == first else first,
        origin=inode.origin,
    )
