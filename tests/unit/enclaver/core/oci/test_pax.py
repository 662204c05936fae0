from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import pax
from tests.unit.enclaver.core.oci.archives import record, refusal, short


def test_records() -> None:
    data = record("path", "a\nb=c") + record("size", "12") + record("size", "13") + record("comment", "")
    assert pax.records(data) == {"path": b"a\nb=c", "size": b"13", "comment": b""}
    assert pax.records(b"") == {}


@pytest.mark.parametrize(
    "data",
    [
        b"path=a\n",
        b"6 a=b",
        b"6 a=b\n\0",
        b"7 a=b\n",
        b"5 a=b\n",
        b"3 =\n",
        b"5 ab\n",
        b"2 \n",
        b"0 a=b\n",
        b"-6 a=b\n",
        b"+6 a=b\n",
        b" 6 a=b\n",
        b"99999999999 a=b\n",
        b"13 path=a\0bc\n",
        b"10 a\0b=cd\n",
    ],
    ids=short,
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(EnclaverError, match="a pax record"):
        pax.records(data)


KEYWORDS = st.text(st.characters(codec="utf-8", exclude_characters="=\0"), min_size=1, max_size=20)


@given(st.dictionaries(KEYWORDS.filter(lambda name: name not in ("path", "linkpath")), st.binary(max_size=120)))
def test_any_record_is_read(values: dict[str, bytes]) -> None:
    assert pax.records(b"".join(record(*item) for item in values.items())) == values


@given(st.binary(max_size=60))
def test_noise_gives_records_or_one_error(noise: bytes) -> None:
    error = refusal(lambda: pax.records(noise))
    assert error is None or "pax record" in str(error)


def test_numbers_and_texts() -> None:
    found = {"uid": b"70000", "gid": b"", "size": b"1.5", "path": b"", "linkpath": b"x"}
    assert pax.number(found, "uid", 1) == 70000
    assert pax.number(found, "gid", 1) == 1
    assert pax.number(found, "mode", 3) == 3
    assert pax.text(found, "path", b"old") == b"old"
    assert pax.text(found, "linkpath", b"old") == b"x"
    with pytest.raises(EnclaverError, match="size is no number"):
        pax.number(found, "size", 1)


def test_what_the_records_make_of_a_member() -> None:
    assert pax.is_sparse({"GNU.sparse.major": b"1"})
    assert not pax.is_sparse({"path": b"GNU.sparse"})
    assert pax.xattrs({"SCHILY.xattr.user.b": b"", "LIBARCHIVE.xattr.user.a": b"", "path": b"x"}) == (
        "LIBARCHIVE.xattr.user.a",
        "SCHILY.xattr.user.b",
    )
    assert pax.xattrs({"SCHILY.xattr.security.selinux": b"", "mtime": b"1"}) == ()


def test_a_global_header_may_only_comment() -> None:
    pax.check_global(record("comment", "0123abcd"))
    with pytest.raises(EnclaverError, match="global pax header sets path"):
        pax.check_global(record("comment", "x") + record("path", "y"))
