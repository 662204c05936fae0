"""Trees put together: documentation gone, licences kept, /usr merged, conflicts named."""

from __future__ import annotations

import pytest

from enclaver.core.debian import tree as debian_tree
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tree import Entry, InlineContent, Kind, Tree


def part(*entries: Entry) -> Tree:
    return Tree(entries)


def file(path: str, data: bytes = b"", origin: str = "deb:x=1") -> Entry:
    return Entry(path, Kind.FILE, 0o644, content=InlineContent(data), origin=origin)


def directory(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, Kind.DIRECTORY, mode)


def link(path: str, target: str) -> Entry:
    return Entry(path, Kind.SYMLINK, 0o777, target=target)


def paths(tree: Tree) -> list[str]:
    return [entry.path for entry in tree]


def test_documentation_is_dropped_and_copyright_kept() -> None:
    tree = debian_tree.assemble(
        [
            part(
                directory("usr/share/doc"),
                directory("usr/share/doc/x"),
                file("usr/share/doc/x/copyright"),
                file("usr/share/doc/x/changelog.gz"),
                link("usr/share/doc/x-dev", "x"),
                link("usr/share/doc/x/NEWS", "changelog.gz"),
                directory("usr/share/man/man1"),
                file("usr/share/man/man1/x.1.gz"),
                file("usr/share/locale/de/LC_MESSAGES/x.mo"),
                file("usr/share/manual"),
                file("usr/share/x/doc"),
            )
        ]
    )
    assert paths(tree) == [
        "usr",
        "usr/share",
        "usr/share/doc",
        "usr/share/doc/x",
        "usr/share/doc/x-dev",
        "usr/share/doc/x/copyright",
        "usr/share/manual",
        "usr/share/x",
        "usr/share/x/doc",
    ]


def test_a_link_to_dropped_documentation_keeps_the_content() -> None:
    tree = debian_tree.assemble(
        [
            part(
                file("usr/share/doc/x/table", b"data"),
                Entry("usr/share/x/table", Kind.FILE, 0o644, hardlink_to="usr/share/doc/x/table"),
            )
        ]
    )
    entry = tree.get("usr/share/x/table")
    assert entry is not None
    assert entry.content == InlineContent(b"data")
    assert "usr/share/doc" not in tree


def test_the_folders_that_usr_has_are_merged_into_it() -> None:
    tree = debian_tree.assemble(
        [
            part(
                directory("bin"),
                file("bin/tool", b"1"),
                Entry("bin/twin", Kind.FILE, 0o644, hardlink_to="bin/tool"),
                link("usr/bin/tool", "/bin/tool"),
                link("usr/bin/again", "../../bin/again"),
                link("lib64/ld.so", "/lib/x86_64-linux-gnu/ld.so"),
                file("lib/x86_64-linux-gnu/ld.so"),
                file("sbin/init"),
                link("bin/sh", "dash"),
            ),
            part(directory("usr/bin", 0o700), link("lib", "usr/lib"), file("libexec/x"), file("etc/bin/x")),
        ]
    )
    assert paths(tree) == [
        *("bin", "etc", "etc/bin", "etc/bin/x", "lib", "lib64", "libexec", "libexec/x", "sbin", "usr"),
        *("usr/bin", "usr/bin/sh", "usr/bin/tool", "usr/bin/twin", "usr/lib", "usr/lib/x86_64-linux-gnu"),
        *("usr/lib/x86_64-linux-gnu/ld.so", "usr/lib64", "usr/lib64/ld.so", "usr/sbin", "usr/sbin/init"),
    ]
    twin, folder, merged = tree.get("usr/bin/twin"), tree.get("usr/bin"), tree.get("bin")
    assert twin is not None
    assert folder is not None
    assert merged is not None
    assert twin.hardlink_to == "usr/bin/tool"
    assert folder.mode == 0o755
    assert merged.target == "usr/bin"


def test_a_file_in_two_packages_is_an_error_that_names_both() -> None:
    with pytest.raises(EnclaverError, match=r"usr/bin/x: brought twice.*by deb:a=1 \(file\) and by deb:b=2"):
        debian_tree.assemble([part(file("usr/bin/x", b"1", "deb:a=1")), part(file("bin/x", b"2", "deb:b=2"))])


def test_something_below_a_link_is_an_error() -> None:
    with pytest.raises(EnclaverError, match="lies below opt, which is a symlink"):
        debian_tree.assemble([part(link("opt", "/etc")), part(file("opt/passwd"))])


def test_no_packages_no_tree() -> None:
    assert paths(debian_tree.assemble([])) == []
