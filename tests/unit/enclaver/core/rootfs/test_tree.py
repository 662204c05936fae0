from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tree import Entry, FileContent, InlineContent, Kind, Tree, path_bytes
from tests.unit.enclaver.core.rootfs.trees import flat, trees


def test_iteration_is_by_path_bytes_not_by_text() -> None:
    tree = Tree()
    for path in ["b", "a/b", "a", "a-b", "\U0001f600", "\uffff", "Z"]:
        tree.add_directory(path)
    paths = [entry.path for entry in tree]
    assert paths == sorted(paths, key=path_bytes)
    assert paths == ["Z", "a", "a-b", "a/b", "b", "\uffff", "\U0001f600"]


def test_the_same_folder_twice_keeps_the_first() -> None:
    tree = Tree()
    tree.add_directory("d", mode=0o700, origin="one")
    tree.add_directory("d", mode=0o755, origin="two")
    entry = tree.get("d")
    assert entry is not None
    assert (entry.mode, entry.origin) == (0o700, "one")


def test_a_conflict_names_both_origins() -> None:
    tree = Tree()
    tree.add_file("f", b"one", origin="deb:a=1")
    with pytest.raises(EnclaverError, match=r"f: brought twice.*deb:a=1 \(file\).*deb:b=2 \(symlink\)"):
        tree.add_symlink("f", "x", origin="deb:b=2")
    with pytest.raises(EnclaverError, match="not the same"):
        tree.add_file("f", b"two")
    with pytest.raises(EnclaverError, match="not the same"):
        tree.add_file("f", b"one", mode=0o600)


def test_the_same_file_from_two_origins_is_no_conflict(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"one")
    tree = Tree()
    tree.add_file("f", b"one", origin="a")
    tree.add(Entry("f", Kind.FILE, 0o644, content=FileContent(tmp_path / "x", 0, 3), origin="b"))
    assert len(tree) == 1


def test_replace_takes_the_new_one() -> None:
    tree = Tree()
    tree.add_file("f", b"one")
    tree.add(Entry("f", Kind.SYMLINK, 0o777, target="x"), replace=True)
    entry = tree.get("f")
    assert entry is not None
    assert entry.kind is Kind.SYMLINK


def linked() -> Tree:
    tree = Tree()
    tree.add_file("a", b"body", mode=0o4755, origin="o")
    for name in ("b", "c", "d"):
        tree.add(Entry(name, Kind.FILE, 0, hardlink_to="a"))
    return tree


def test_links_survive_the_removal_of_the_file_that_held_the_content() -> None:
    tree = linked()
    tree.remove("a")
    assert tree.names() == {"b": ["b", "c", "d"]}
    tree.add(Entry("b", Kind.DIRECTORY, 0o755), replace=True)
    assert tree.names() == {"c": ["c", "d"]}
    tree.remove("c")
    last = tree.get("d")
    assert last is not None
    assert (last.mode, last.content) == (0o4755, InlineContent(b"body"))
    tree.check()


def test_a_link_that_is_replaced_leaves_the_others_alone() -> None:
    tree = linked()
    tree.add(Entry("b", Kind.DIRECTORY, 0o755), replace=True)
    assert tree.names() == {"a": ["a", "c", "d"]}


def test_a_file_cannot_become_a_link_to_its_own_link() -> None:
    tree = linked()
    with pytest.raises(EnclaverError, match="its own link"):
        tree.add(Entry("a", Kind.FILE, 0, hardlink_to="b"), replace=True)


def test_remove_takes_what_lies_below() -> None:
    tree = Tree()
    for path in ("a", "a/b", "a/b/c", "ab"):
        tree.add_directory(path)
    tree.remove("a")
    assert [entry.path for entry in tree] == ["ab"]


def test_parents_are_made_once_and_only_where_missing() -> None:
    tree = Tree()
    tree.add_directory("a", mode=0o700, origin="first")
    tree.add_file("a/b/c/f", b"")
    tree.ensure_parents(origin="enclaver")
    assert [(entry.path, entry.mode, entry.origin) for entry in tree] == [
        ("a", 0o700, "first"),
        ("a/b", 0o755, "enclaver"),
        ("a/b/c", 0o755, "enclaver"),
        ("a/b/c/f", 0o644, ""),
    ]


def test_a_parent_that_is_no_folder() -> None:
    tree = Tree()
    tree.add_symlink("bin", "usr/bin", origin="deb:base")
    tree.add_file("bin/sh", b"", origin="deb:dash")
    with pytest.raises(EnclaverError, match=r"bin/sh: lies below bin, which is a symlink.*base.*dash"):
        tree.ensure_parents()


def test_a_link_that_leads_nowhere_or_to_no_file() -> None:
    tree = Tree([Entry("l", Kind.FILE, 0, hardlink_to="gone")])
    with pytest.raises(EnclaverError, match="target gone is not a file"):
        tree.check()
    tree.add_directory("gone")
    with pytest.raises(EnclaverError, match="target gone is not a file"):
        tree.check()


def test_a_missing_parent_is_found() -> None:
    with pytest.raises(EnclaverError, match="its folder a is missing"):
        Tree([Entry("a/b", Kind.DIRECTORY, 0o755)]).check()


def test_graft_moves_paths_and_links_but_not_targets() -> None:
    tree = Tree()
    tree.add_directory("rootfs")
    other = linked()
    other.add_symlink("s", "/a")
    tree.graft(other, "rootfs")
    assert tree.names() == {"rootfs/a": ["rootfs/a", "rootfs/b", "rootfs/c", "rootfs/d"]}
    symlink = tree.get("rootfs/s")
    assert symlink is not None
    assert symlink.target == "/a"
    tree.check()


def test_graft_obeys_the_rules_of_add() -> None:
    one, other = Tree(), Tree()
    one.add_file("f", b"one")
    other.add_file("f", b"two")
    with pytest.raises(EnclaverError, match="brought twice"):
        one.graft(other)
    one.graft(other, replace=True)
    assert one == other
    with pytest.raises(EnclaverError, match="relative"):
        one.graft(other, "../x")


@pytest.mark.slow
@given(trees())
def test_order_of_insertion_does_not_show(tree: Tree) -> None:
    again = Tree(reversed(list(tree)))
    assert again == tree
    assert flat(again) == flat(tree)
    assert again != "something else"
