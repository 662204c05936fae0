from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.manifest.file_path import parse_file_path
from enclaver.core.manifest.problems import TextError


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("key.pem", "key.pem"),
        ("./key.pem", "key.pem"),
        ("tls//server/./key.pem", "tls/server/key.pem"),
        ("..key", "..key"),
        ("a b/\u00fc.pem", "a b/\u00fc.pem"),
    ],
)
def test_a_path_below_the_folder_has_one_spelling(text: str, path: str) -> None:
    assert parse_file_path(text) == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/etc/key.pem", "absolute"),
        ("../key.pem", "leads out"),
        ("tls/../key.pem", "leads out"),
        ("..", "leads out"),
        ("tls/", "names a folder"),
        (".", "names a folder"),
        ("", "names a folder"),
        ("*.pem", "has a `[*]`"),
        ("key[1].pem", r"has a `\["),
        ("!key.pem", "has a `!`"),
        ("tls\\key.pem", "no pattern"),
    ],
)
def test_what_is_no_file_of_the_folder_is_refused(text: str, message: str) -> None:
    with pytest.raises(TextError, match=message) as caught:
        parse_file_path(text)
    assert caught.value.cure


@given(st.text(alphabet="a./*!", max_size=12))
def test_what_is_accepted_stays_below_the_folder(text: str) -> None:
    try:
        path = parse_file_path(text)
    except TextError:
        return
    assert path == str(PurePosixPath(path))
    assert not PurePosixPath(path).is_absolute()
    assert ".." not in PurePosixPath(path).parts
    assert PurePosixPath("/folder", text) == PurePosixPath("/folder", path)
