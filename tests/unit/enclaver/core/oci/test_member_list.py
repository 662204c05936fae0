from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.oci import member_list
from enclaver.core.oci.tar_members import Member, MemberKind
from enclaver.core.rootfs.entry import path_text

NUMBERS = st.integers(0, 1 << 63)
TEXTS = st.binary(max_size=9).map(path_text)
MEMBERS = st.builds(
    Member,
    name=TEXTS,
    kind=st.sampled_from(MemberKind),
    mode=NUMBERS,
    uid=NUMBERS,
    gid=NUMBERS,
    offset=NUMBERS,
    size=NUMBERS,
    link=TEXTS,
    xattrs=st.lists(TEXTS, max_size=2).map(tuple),
    sha256=st.none() | st.just("0" * 64),
)


def with_digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


@given(st.lists(MEMBERS, max_size=4))
def test_what_was_rendered_is_parsed(members: list[Member]) -> None:
    data = member_list.render(members)
    assert member_list.parse(data) == members
    assert data == member_list.render(members)


@given(st.lists(MEMBERS, min_size=1, max_size=2), st.data())
def test_damage_is_noticed(members: list[Member], data: st.DataObject) -> None:
    listing = bytearray(member_list.render(members))
    at = data.draw(st.integers(0, len(listing) - 1))
    listing[at] ^= data.draw(st.integers(1, 255))
    assert member_list.parse(bytes(listing)) is None
    assert member_list.parse(bytes(listing[:at])) is None


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{}",
            b"[]",
            b"[1]",
            b"[0,[]]",
            b"[1,[[]]]",
            b'[1,{"a":1}]',
            b"[1,3]",
            b"[1,null]",
            b"\xff",
            b"[" * 9999,
        ),
        b'[1,[["a","fifo",0,0,0,0,0,"",[],null]]]',
    ],
)
def test_whole_and_none_all_the_same(body: bytes) -> None:
    assert member_list.parse(with_digest(body)) is None
