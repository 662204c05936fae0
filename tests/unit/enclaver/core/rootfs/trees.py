"""Hypothesis strategies for trees: any names Linux takes, all kinds, hard links, in any order."""

from __future__ import annotations

from hypothesis import strategies as st

from enclaver.core.rootfs.tree import Entry, InlineContent, Kind, Tree, path_text

# Bytes, not text: a file system's names need not be UTF-8. Short ones meet each other more often.
NAMES = st.binary(min_size=1, max_size=4).filter(lambda raw: b"/" not in raw and b"\0" not in raw)
PARTS = NAMES.map(path_text).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
MODES = st.integers(0, 0o7777)
OWNERS = st.integers(0, 0xFFFFFFFE)
NUMBERS = st.integers(0, (1 << 20) - 1)
TARGETS = st.binary(min_size=1, max_size=20).filter(lambda raw: b"\0" not in raw).map(path_text)
ORIGINS = st.sampled_from(["deb:python3.11-minimal=3.11.2-6", "wheel:trio-0.35.0", "enclaver", ""])


@st.composite
def entries(draw: st.DrawFn, path: str) -> Entry:
    """Draw an entry for a path; no hard link."""
    kind = draw(st.sampled_from(Kind))
    return Entry(
        path,
        kind,
        draw(MODES),
        draw(OWNERS),
        draw(OWNERS),
        content=InlineContent(draw(st.binary(max_size=40))) if kind is Kind.FILE else None,
        target=draw(TARGETS) if kind is Kind.SYMLINK else None,
        device=(draw(NUMBERS), draw(NUMBERS)) if kind is Kind.CHARACTER_DEVICE else None,
        origin=draw(ORIGINS),
    )


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Draw a whole tree: each path's parents are folders, each hard link leads to a file."""
    tree = Tree()
    for path in draw(st.lists(PATHS, max_size=12, unique=True)):
        parents = path.split("/")[:-1]
        above = ["/".join(parents[: count + 1]) for count in range(len(parents))]
        if any((found := tree.get(name)) and found.kind is not Kind.DIRECTORY for name in above):
            continue
        for name in above:
            tree.add_directory(name, mode=draw(MODES), origin=draw(ORIGINS))
        if path not in tree:
            tree.add(draw(entries(path)))
    files = [entry for entry in tree if entry.kind is Kind.FILE]
    for number in range(draw(st.integers(0, 3)) if files else 0):
        owner = draw(st.sampled_from(files))
        name = f"link{number}" if draw(st.booleans()) else f"\x01{number}"
        if name not in tree:
            tree.add(Entry(name, Kind.FILE, 0, hardlink_to=owner.path, origin=draw(ORIGINS)))
    return tree


def flat(tree: Tree) -> list[tuple[object, ...]]:
    """A tree as plain values: what an unpacked one would show, whichever name holds a file's content."""
    first = {path: names[0] for names in tree.names().values() for path in names}
    values: list[tuple[object, ...]] = []
    for entry in tree:
        holder = tree.inode(entry)
        body = None
        if entry.kind is Kind.FILE:
            body = b"".join(bytes(chunk) for chunk in tree.content(entry).chunks())
        plain = (entry.path, entry.kind, holder.mode, holder.uid, holder.gid)
        values.append((*plain, body, entry.target, entry.device, first.get(entry.path)))
    return values
