"""What stands in for maintainer scripts: made when its cause is there, and never over what a package ships."""

from __future__ import annotations

import pytest

from enclaver.core.debian import rules
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import ORIGIN
from enclaver.core.rootfs.tree import Kind, Tree

PEM = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----"


def applied(*paths: str) -> Tree:
    tree = Tree()
    for path in paths:
        tree.add_file(path, b"")
    tree.ensure_parents()
    rules.apply(tree)
    return tree


def target(tree: Tree, path: str) -> str | None:
    entry = tree.get(path)
    return entry.target if entry is not None and entry.kind is Kind.SYMLINK else None


def content(tree: Tree, path: str) -> bytes:
    entry = tree.get(path)
    assert entry is not None
    return rules.content_bytes(tree.content(entry))


def test_alternatives_take_the_first_choice_there_is() -> None:
    assert target(applied("usr/bin/mawk", "usr/bin/gawk"), "usr/bin/awk") == "gawk"
    assert target(applied("usr/bin/mawk"), "usr/bin/awk") == "mawk"
    assert "usr/bin/awk" not in applied("usr/bin/gcc")
    assert target(applied("usr/bin/gcc"), "usr/bin/cc") == "gcc"


def test_what_a_package_ships_is_left_alone() -> None:
    tree = applied("usr/bin/gawk", "usr/bin/awk", "etc/nsswitch.conf", "usr/lib/x86_64-linux-gnu/libc.so.6")
    assert target(tree, "usr/bin/awk") is None
    assert content(tree, "etc/nsswitch.conf") == b""


def test_the_folders_of_a_merged_usr() -> None:
    tree = applied("usr/bin/x", "usr/lib64/ld.so")
    assert target(tree, "bin") == "usr/bin"
    assert target(tree, "lib64") == "usr/lib64"
    assert "sbin" not in tree


def test_the_certificates_bundle_is_sorted_and_separated() -> None:
    tree = Tree()
    for name in ("b", "a", "c"):
        tree.add_file(f"usr/share/ca-certificates/mozilla/{name}.crt", PEM % name.encode())
    tree.add_file("usr/share/ca-certificates/mozilla/README", b"no certificate")
    rules.apply(tree)
    expected = b"".join(PEM % name + b"\n" for name in (b"a", b"b", b"c"))
    assert content(tree, "etc/ssl/certs/ca-certificates.crt") == expected
    assert target(tree, "usr/lib/ssl/cert.pem") == "/etc/ssl/certs/ca-certificates.crt"


def test_no_certificates_no_bundle() -> None:
    assert "etc/ssl/certs/ca-certificates.crt" not in applied("usr/bin/x")


def test_a_certificate_that_is_none_is_refused() -> None:
    tree = Tree()
    tree.add_file("usr/share/ca-certificates/mozilla/x.crt", b"DER")
    with pytest.raises(EnclaverError, match=r"mozilla/x\.crt: this is not a PEM certificate"):
        rules.apply(tree)


def test_names_are_looked_up_in_files_first() -> None:
    tree = applied("usr/lib/aarch64-linux-gnu/libc.so.6")
    assert b"\nhosts: files dns\n" in content(tree, "etc/nsswitch.conf")
    assert "etc/nsswitch.conf" not in applied("usr/bin/static")


def test_all_that_is_made_says_who_made_it() -> None:
    tree = applied("usr/bin/gawk", "usr/lib/x86_64-linux-gnu/libc.so.6")
    assert {entry.path for entry in tree if entry.origin == ORIGIN} == {
        "bin",
        "lib",
        "usr/bin/awk",
        "etc/nsswitch.conf",
    }


def test_dependencies_of_scripts() -> None:
    assert rules.script_only("anything", ["debconf", "debconf-2.0"])
    assert rules.script_only("ca-certificates", ["openssl"])
    assert not rules.script_only("nginx", ["openssl"])
    assert not rules.script_only("anything", ["libc6"])
    assert not rules.script_only("anything", [])
