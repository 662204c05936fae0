from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol import cms
from enclaver_runtime.protocol.cms import CmsError, Enveloped
from tests.cms_messages import DATA, ENVELOPED_DATA, OAEP, Wrap, definite, indefinite, layout, oid

KEY, IV, TEXT = b"k" * 256, b"i" * 16, bytes(range(256)) * 8
ONE_TEXT = "it is not CMS EnvelopedData with RSAES-OAEP and AES-256-CBC"
forms = pytest.mark.parametrize("wrap", [definite, indefinite])


@forms
@pytest.mark.parametrize("piece", [None, 1, 16, 1000, 4096])
def test_every_form_of_a_message_is_read(wrap: Wrap, piece: int | None) -> None:
    assert cms.parse(layout(KEY, IV, TEXT, wrap=wrap, piece=piece)) == Enveloped(KEY, IV, TEXT)


@forms
def test_what_a_message_may_have_besides_is_passed_over(wrap: Wrap) -> None:
    plain = layout(KEY, IV, TEXT, wrap=definite, piece=None)
    version = definite(0x02, b"\x02")
    at = plain.index(version) + len(version)
    originator, attributes = wrap(0xA0, definite(0xA0, b"")), wrap(0xA1, definite(0x30, b""))
    enveloped = wrap(0x30, version + originator + plain[at:] + attributes)
    message = wrap(0x30, ENVELOPED_DATA + wrap(0xA0, enveloped))
    assert cms.parse(message) == Enveloped(KEY, IV, TEXT)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"secret",
        definite(0x30, b""),
        definite(0x30, ENVELOPED_DATA),
        definite(0x30, DATA + definite(0xA0, definite(0x04, b"x"))),
        definite(0x30, ENVELOPED_DATA + definite(0xA0, b"")),
        definite(0x30, ENVELOPED_DATA + definite(0xA0, definite(0x30, b""))),
        definite(0x30, ENVELOPED_DATA + definite(0xA0, definite(0x30, definite(0x02, b"\x02")))),
        layout(KEY, IV, TEXT)[:-1],
        layout(KEY, IV, TEXT) + b"x",
        layout(KEY, IV[:-1], TEXT),
        layout(KEY, IV, TEXT[:-1]),
        layout(KEY, IV, b""),
        layout(KEY, IV, b"", piece=None),
        layout(KEY, IV, TEXT, key_algorithm=oid("1.2.840.113549.1.1.1")),
        layout(KEY, IV, TEXT, content_algorithm=oid("2.16.840.1.101.3.4.1.2")),
        layout(KEY, IV, TEXT, content_algorithm=OAEP),
        layout(KEY, IV, TEXT * 40, piece=None),
    ],
)
def test_anything_else_is_refused_with_one_text(message: bytes) -> None:
    with pytest.raises(CmsError) as caught:
        cms.parse(message)
    assert str(caught.value) == ONE_TEXT


def test_one_recipient_is_all_that_kms_writes() -> None:
    message = layout(KEY, IV, TEXT, wrap=definite, piece=None)
    version = definite(0x02, b"\x02")
    body = message[message.index(version) + len(version) :]
    # The SET of recipients is the first of the two that follow the version.
    length = 4 + int.from_bytes(body[2:4], "big")
    recipients, content = body[4:length], body[length:]
    doubled = version + definite(0x31, recipients * 2) + content
    with pytest.raises(CmsError, match=ONE_TEXT):
        cms.parse(definite(0x30, ENVELOPED_DATA + definite(0xA0, definite(0x30, doubled))))


@given(at=st.integers(0, 700), value=st.integers(0, 255), wrap=st.sampled_from([definite, indefinite]))
def test_a_message_with_a_wrong_byte_is_read_or_refused(at: int, value: int, wrap: Wrap) -> None:
    message = bytearray(layout(KEY, IV, TEXT[:128], wrap=wrap, piece=48))
    message[at % len(message)] = value
    try:
        read = cms.parse(bytes(message))
    except CmsError:
        return
    assert len(read.iv) == 16
    assert len(read.ciphertext) % 16 == 0


@given(st.binary(max_size=200))
def test_whatever_comes_there_is_one_error(data: bytes) -> None:
    with pytest.raises(CmsError, match=ONE_TEXT):
        cms.parse(data)
