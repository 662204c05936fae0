from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import user
from enclaver.core.oci.user import User
from enclaver.core.rootfs.tree import Tree

PASSWD = """root:x:0:0:root:/root:/bin/sh
# a comment:x:7:7::/:
app:x:1000:1001:The app:/srv/app:/bin/false
1000:x:2000:2001:A name of digits:/digits:/bin/false
homeless:x:3000:3000::relative:/bin/false
broken:x:many:3000::/:/bin/false
nel:x:6000:6000:A\u2028name:/nel:/bin/false
short:x:4000
"""
GROUP = "root:x:0:\nweb:x:33:app\n44:x:55:\nbad:x:y:\n"


def image(passwd: str = PASSWD, group: str = GROUP) -> Tree:
    tree = Tree()
    tree.add_directory("etc")
    tree.add_file("etc/passwd", passwd.encode("utf-8", "surrogateescape"))
    tree.add_file("etc/group", group.encode())
    return tree


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", User(0, 0, "/root")),
        ("root", User(0, 0, "/root")),
        ("app", User(1000, 1001, "/srv/app")),
        ("app:web", User(1000, 33, "/srv/app")),
        ("app:7", User(1000, 7, "/srv/app")),
        ("1000", User(1000, 1001, "/srv/app")),
        ("1000:44", User(1000, 44, "/srv/app")),
        ("2000", User(2000, 2001, "/digits")),
        ("12345", User(12345, 0, "/")),
        ("12345:web", User(12345, 33, "/")),
        (":web", User(0, 33, "/root")),
        ("homeless", User(3000, 3000, "/")),
        ("4000", User(4000, 0, "/")),
        ("nel", User(6000, 6000, "/nel")),
    ],
)
def test_whom_a_text_means(text: str, expected: User) -> None:
    assert user.resolve(image(), text) == expected


@pytest.mark.parametrize("text", ["nobody", "broken", "-1", "4294967295", "99999999999", "+1", "short"])
def test_users_that_are_not_there(text: str) -> None:
    with pytest.raises(EnclaverError, match="whom its /etc/passwd does not have"):
        user.resolve(image(), text)


@pytest.mark.parametrize("text", ["app:nogroup", "app:bad", "app:-1"])
def test_groups_that_are_not_there(text: str) -> None:
    with pytest.raises(EnclaverError, match="which its /etc/group does not have"):
        user.resolve(image(), text)


def test_an_image_without_either_file_has_numbers_alone() -> None:
    assert user.resolve(Tree(), "") == User(0, 0, "/")
    assert user.resolve(Tree(), "5:6") == User(5, 6, "/")
    with pytest.raises(EnclaverError, match="'root'"):
        user.resolve(Tree(), "root")


def test_the_files_may_be_links_within_the_image() -> None:
    tree = Tree()
    tree.add_symlink("etc", "usr/etc")
    tree.add_directory("usr")
    tree.add_directory("usr/etc")
    tree.add_file("usr/etc/passwd", b"app:x:5:6::/home:")
    assert user.resolve(tree, "app") == User(5, 6, "/home")


@given(st.text(max_size=80), st.text(max_size=10))
def test_any_file_and_any_text_give_a_user_or_one_error(passwd: str, text: str) -> None:
    try:
        found = user.resolve(image(passwd.encode("utf-8", "replace").decode()), text)
    except EnclaverError:
        return
    assert 0 <= found.uid < 2**32 - 1
