"""The machine's apt sources: both forms, and only Debian's own archives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.system import apt
from enclaver.system.apt import Source

DEB822 = """\
Types: deb
# a comment inside of a stanza
URIs: http://one.example.com/debian/ https://two.example.com/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://one.example.com/debian-security
Suites: bookworm-security
Components: main contrib

Enabled: no
Types: deb
URIs: http://off.example.com/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://vendor.example.com/apt
Suites: bookworm
Components: stable
"""

ONE_LINE = """\
# deb http://commented.example.com/debian bookworm main
deb http://one.example.com/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] https://three.example.com/debian bookworm main contrib # why not
deb http://security.example.com/debian-security bullseye/updates main
deb cdrom:[Debian]/ bookworm main
deb file:///srv/mirror/debian bookworm main
deb http://flat.example.com ./
nonsense
"""


def test_both_forms_in_apts_order(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(DEB822)
    (parts / "off.list.disabled").write_text("deb http://disabled.example.com/debian bookworm main\n")
    assert apt.sources(tmp_path) == [
        Source("debian", "http://one.example.com/debian"),
        Source("debian", "https://three.example.com/debian"),
        Source("debian-security", "http://security.example.com/debian-security"),
        Source("debian", "file:///srv/mirror/debian"),
        Source("debian", "https://two.example.com/debian"),
        Source("debian-security", "http://one.example.com/debian-security"),
    ]


def test_a_machine_without_apt_has_none(tmp_path: Path) -> None:
    assert apt.sources(tmp_path / "gone") == []
    assert apt.sources(tmp_path) == []


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d" / "x.list").mkdir(parents=True)
    with pytest.raises(EnclaverError, match=r"x\.list: the apt source cannot be read"):
        apt.sources(tmp_path)


@given(text=st.text(max_size=120), name=st.sampled_from(["x.list", "x.sources"]))
def test_any_text_is_taken_or_left(tmp_path_factory: pytest.TempPathFactory, text: str, name: str) -> None:
    parts = tmp_path_factory.mktemp("apt") / "sources.list.d"
    parts.mkdir()
    (parts / name).write_text(text)
    for source in apt.sources(parts.parent):
        assert source.archive in ("debian", "debian-security")
