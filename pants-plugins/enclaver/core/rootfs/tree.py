"""A root file system as data: entries by path, with rules for what may meet at one path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace as changed

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import (
    CHUNK,
    Content,
    Entry,
    FileContent,
    InlineContent,
    Kind,
    check_path,
    content_sha256,
    path_bytes,
    path_text,
    printable,
)

__all__ = [
    "CHUNK",
    "Content",
    "Entry",
    "FileContent",
    "InlineContent",
    "Kind",
    "Tree",
    "check_path",
    "path_bytes",
    "path_text",
    "printable",
]


class Tree:
    """A mapping of path to Entry.

    Iteration is by the bytes of the path, so that neither the order of insertion nor a locale shows. A tree
    may lack parent folders and link targets while it is put together; ``check`` and every writer refuse it
    then.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[str, Entry] = {}
        self._links: dict[str, set[str]] = {}  # Path of a file to the paths of its hard links.
        for entry in entries:
            self.add(entry)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over the entries, sorted by the bytes of their paths."""
        return iter([self._entries[path] for path in sorted(self._entries, key=path_bytes)])

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: object) -> bool:
        return path in self._entries

    def __eq__(self, other: object) -> bool:
        return self._entries == other._entries if isinstance(other, Tree) else NotImplemented

    def get(self, path: str) -> Entry | None:
        """Return the entry at a path, or None."""
        return self._entries.get(path)

    def content(self, entry: Entry) -> Content:
        """Return a FILE's content, a hard link's being that of the file it shares.

        Raises:
            EnclaverError: the link's target is not in the tree, or is no file with content of its own.
        """
        return self.inode(entry).content or InlineContent(b"")

    def inode(self, entry: Entry) -> Entry:
        """Return the entry that holds the content, mode and owners: a hard link's target, else itself."""
        if entry.hardlink_to is None:
            return entry
        owner = self._entries.get(entry.hardlink_to)
        if owner is None or owner.kind is not Kind.FILE or owner.content is None:
            raise EnclaverError(
                f"the hard link's target {printable(entry.hardlink_to)} is not a file of the image",
                place=printable(entry.path),
            )
        return owner

    def names(self) -> dict[str, list[str]]:
        """Return all paths of each file, sorted, by the path of the entry that holds its content."""
        return {
            entry.path: sorted({entry.path, *self._links.get(entry.path, ())}, key=path_bytes)
            for entry in self._entries.values()
            if entry.kind is Kind.FILE and entry.hardlink_to is None
        }

    def add(self, entry: Entry, *, replace: bool = False) -> None:
        """Add an entry.

        A folder that is there already stays as it is, whatever the new one's mode. Anything else that
        differs from what is there (its origin aside) needs ``replace``.

        Raises:
            EnclaverError: something else is at the path; the message names both origins.
        """
        old = self._entries.get(entry.path)
        if old is not None:
            if old.kind is entry.kind is Kind.DIRECTORY and not replace:
                return
            if not replace:
                if _same(old, entry):
                    return
                raise EnclaverError(
                    f"brought twice and not the same: by {old.origin or 'unknown'} ({old.kind.value})"
                    f" and by {entry.origin or 'unknown'} ({entry.kind.value})",
                    place=printable(entry.path),
                    cure="Leave one of the two out.",
                )
            self._forget(old, heir=entry)
        self._entries[entry.path] = entry
        if entry.hardlink_to is not None:
            self._links.setdefault(entry.hardlink_to, set()).add(entry.path)

    def add_file(
        self, path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0, origin: str = ""
    ) -> None:
        """Add a small file whose bytes are in memory."""
        self.add(Entry(path, Kind.FILE, mode, uid, gid, content=InlineContent(data), origin=origin))

    def add_directory(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0, origin: str = "") -> None:
        """Add a folder; one that is there already stays."""
        self.add(Entry(path, Kind.DIRECTORY, mode, uid, gid, origin=origin))

    def add_symlink(self, path: str, target: str, *, uid: int = 0, gid: int = 0, origin: str = "") -> None:
        """Add a symbolic link; the target is text as given and is not looked up."""
        self.add(Entry(path, Kind.SYMLINK, 0o777, uid, gid, target=target, origin=origin))

    def remove(self, path: str) -> None:
        """Remove the entry at a path and all below it; hard links to removed files keep their content."""
        below = path + "/"
        for name in [name for name in self._entries if name == path or name.startswith(below)]:
            self._forget(self._entries[name])
            self._entries.pop(name)

    def ensure_parents(self, *, origin: str = "") -> None:
        """Add the folders that entries lie in and that are missing, as root's and with mode 0755.

        Raises:
            EnclaverError: a parent is there and is no folder.
        """
        for entry in list(self._entries.values()):
            parent = entry.parent
            while parent and parent not in self._entries:
                self.add_directory(parent, origin=origin)
                parent = parent.rpartition("/")[0]
        self.check()

    def graft(self, other: Tree, prefix: str = "", *, replace: bool = False) -> None:
        """Add all entries of another tree, below a prefix when one is given.

        The prefix's own folders are not made: ``ensure_parents`` does that. Symlinks keep their targets.

        Raises:
            EnclaverError: as ``add``.
        """
        if prefix:
            check_path(prefix)
        for entry in other:
            self.add(_below(entry, prefix) if prefix else entry, replace=replace)

    def check(self) -> None:
        """Refuse a tree with a parent that is missing or is no folder, or a hard link that leads nowhere."""
        for entry in self._entries.values():
            parent = entry.parent
            holder = self._entries.get(parent) if parent else None
            if parent and holder is None:
                raise EnclaverError(f"its folder {printable(parent)} is missing", place=printable(entry.path))
            if holder is not None and holder.kind is not Kind.DIRECTORY:
                raise EnclaverError(
                    f"lies below {printable(parent)}, which is a {holder.kind.value}"
                    f" (brought by {holder.origin or 'unknown'}; this one by {entry.origin or 'unknown'})",
                    place=printable(entry.path),
                    cure="Leave one of the two out, or move it to where the link leads.",
                )
            self.inode(entry)

    def _forget(self, old: Entry, heir: Entry | None = None) -> None:
        """Take an entry out of the links' index; its own links get a new holder of its content.

        A file that is replaced by one of its own links (``heir``) leaves that link without content: refused.
        """
        if old.hardlink_to is not None:
            self._links[old.hardlink_to].discard(old.path)
        links = sorted(self._links.pop(old.path, ()), key=path_bytes)
        if not links:
            return
        if heir is not None and heir.hardlink_to in links:
            raise EnclaverError("a file cannot become a link to its own link", place=printable(old.path))
        first, rest = links[0], links[1:]
        self._entries[first] = changed(old, path=first, origin=self._entries[first].origin)
        for name in rest:
            self._entries[name] = changed(self._entries[name], hardlink_to=first)
        if rest:
            self._links[first] = set(rest)


def _below(entry: Entry, prefix: str) -> Entry:
    """Return an entry moved below a prefix, with the file it links to when it is a hard link."""
    # Not by dataclasses.replace, which takes as long again; there may be a hundred thousand of them.
    return Entry(
        f"{prefix}/{entry.path}",
        entry.kind,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.content,
        entry.target,
        entry.device,
        None if entry.hardlink_to is None else f"{prefix}/{entry.hardlink_to}",
        entry.origin,
    )


def _same(one: Entry, other: Entry) -> bool:
    """Whether two entries of one path put the same thing there, whoever brought them."""
    if one.content is None or other.content is None:
        return changed(one, origin="") == changed(other, origin="")
    if changed(one, content=other.content, origin="") != changed(other, origin=""):
        return False
    if one.content == other.content:
        return True
    return one.content.size == other.content.size and content_sha256(one.content) == content_sha256(other.content)
