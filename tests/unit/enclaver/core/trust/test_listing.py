from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from enclaver.core.rootfs import directory
from enclaver.core.rootfs.tree import Entry, Kind, Tree
from enclaver.core.trust.listing import folder_input
from enclaver.core.trust.materials import Input


def test_it_is_what_sha256sum_says(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name, text in {"b/x": "1", "a": "22", "b-c": "", "\u00e9": "4"}.items():
        (tmp_path / name).write_text(text)
    command = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum"
    shown = subprocess.run(command, shell=True, cwd=tmp_path, stdout=subprocess.PIPE, check=True).stdout
    found = folder_input("target", "//:x", directory.read(tmp_path, origin=""))
    assert found == Input("target", "//:x", hashlib.sha256(shown).hexdigest(), 4)


def test_hard_links_are_files_and_names_that_are_no_text_are_bytes() -> None:
    tree = Tree()
    tree.add_file("\udcff", b"x")
    tree.add(Entry("a", Kind.FILE, 0o644, hardlink_to="\udcff"))
    digest = hashlib.sha256(b"x").hexdigest().encode()
    expected = hashlib.sha256(digest + b"  a\n" + digest + b"  \xff\n").hexdigest()
    assert folder_input("k", "n", tree) == Input("k", "n", expected, 2)


def test_an_empty_folder_is_the_digest_of_nothing() -> None:
    assert folder_input("k", "n", Tree()).sha256 == hashlib.sha256().hexdigest()
