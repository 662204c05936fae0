from __future__ import annotations

import pytest

from enclaver.core.rootfs import lookup
from enclaver.core.rootfs.tree import Tree


@pytest.fixture
def tree() -> Tree:
    made = Tree()
    made.add_file("usr/bin/python3.11", b"")
    made.add_symlink("usr/bin/python3", "python3.11")
    made.add_symlink("bin", "usr/bin")
    made.add_symlink("usr/absolute", "/usr/bin/../bin/python3")
    made.add_symlink("out", "../../../../usr/bin/python3.11")
    made.add_symlink("out-of-bin", "bin/../../usr/bin/python3")  # .. is that of usr/bin, not of the link.
    made.add_symlink("loop", "/loop")
    made.add_symlink("dangling", "nowhere")
    made.ensure_parents()
    return made


@pytest.mark.parametrize(
    "path",
    [
        "/usr/bin/python3.11",
        "/usr/bin/python3",
        "/bin/python3",
        "/usr/absolute",
        "/out",
        "//usr/./bin/../bin/python3",
        "/../usr/bin/python3",
        "/out-of-bin",
    ],
)
def test_links_lead_to_the_file(tree: Tree, path: str) -> None:
    found = lookup.resolve(tree, path)
    assert found is not None
    assert found.path == "usr/bin/python3.11"


@pytest.mark.parametrize(
    "path",
    [
        "/loop",
        "/dangling",
        "/usr/bin/missing",
        "/",
        "",
        "/usr/bin/python3.11/x",
        # A file is no folder, whatever comes behind it; so says path_resolution(7).
        "/usr/bin/python3.11/",
        "/usr/bin/python3.11/.",
        "/usr/bin/python3.11/../python3.11",
        "/usr/bin/python3/",
    ],
)
def test_what_leads_nowhere_is_none(tree: Tree, path: str) -> None:
    assert lookup.resolve(tree, path) is None


@pytest.mark.parametrize("path", ["/usr/bin", "/bin", "/bin/", "/bin/."])
def test_a_folder_is_found_with_and_without_its_slash(tree: Tree, path: str) -> None:
    found = lookup.resolve(tree, path)
    assert found is not None
    assert found.path == "usr/bin"


@pytest.mark.parametrize(("links", "found"), [(40, True), (41, False)])
def test_as_many_links_are_followed_as_linux_follows(links: int, found: bool) -> None:
    tree = Tree()
    tree.add_file("link0", b"")
    for number in range(links):
        tree.add_symlink(f"link{number + 1}", f"link{number}")
    assert (lookup.resolve(tree, f"/link{links}") is not None) is found
