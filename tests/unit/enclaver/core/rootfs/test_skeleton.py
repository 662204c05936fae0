from __future__ import annotations

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import skeleton
from enclaver.core.rootfs.tree import Tree


def test_what_the_tree_brings_stays_and_the_rest_is_added() -> None:
    tree = Tree()
    tree.add_file("etc/passwd", b"mine", origin="deb:x")
    tree.add_directory("tmp", mode=0o700, origin="deb:x")
    skeleton.add(tree)
    tree.ensure_parents()
    origins = {entry.path: entry.origin for entry in tree}
    assert (origins["etc/passwd"], origins["tmp"], origins["etc/group"]) == ("deb:x", "deb:x", "enclaver")
    modes = {entry.path: (entry.mode, entry.uid) for entry in tree}
    assert modes["tmp"] == (0o700, 0)
    assert modes["var/tmp"] == (0o1777, 0)
    assert modes["home/app"] == (0o700, skeleton.APP_UID)


def test_the_app_is_a_user_and_hosts_are_known() -> None:
    tree = Tree()
    skeleton.add(tree)
    texts = {path: tree.get(path).content.head(4096).decode() for path in skeleton.FILES}  # type: ignore[union-attr]
    users = {line.split(":")[0]: line.split(":") for line in texts["etc/passwd"].splitlines()}
    groups = {line.split(":")[0]: line.split(":") for line in texts["etc/group"].splitlines()}
    assert {len(fields) for fields in users.values()} == {7}
    assert {len(fields) for fields in groups.values()} == {4}
    assert users["app"][2:6] == [str(skeleton.APP_UID), str(skeleton.APP_GID), "app", f"/{skeleton.HOME}"]
    assert groups["app"][2] == str(skeleton.APP_GID)
    assert "127.0.0.1 localhost\n" in texts["etc/hosts"]


def test_a_base_whose_app_is_no_folder_is_refused() -> None:
    tree = Tree()
    tree.add_symlink("app", "srv/app", origin="deb:x")
    with pytest.raises(EnclaverError, match="app: brought twice and not the same: by deb:x"):
        skeleton.add(tree)
