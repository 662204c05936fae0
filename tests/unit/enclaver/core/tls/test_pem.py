from __future__ import annotations

import base64
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.tls.pem import Block, blocks

LABELS = st.sampled_from(["CERTIFICATE", "PRIVATE KEY", "X509 CRL"])
BLOCKS = st.lists(st.tuples(LABELS, st.binary(min_size=1, max_size=200)), max_size=4)
# What stands between blocks: anything that begins none.
CHATTER = st.lists(st.text(alphabet="ab: -\u00e9\t", max_size=20).filter(lambda line: not line.startswith("-----")))


def pem(label: str, data: bytes, columns: int, end: str) -> str:
    text = base64.b64encode(data).decode()
    lines = [text[at : at + columns] for at in range(0, len(text), columns)]
    return end.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


@given(BLOCKS, CHATTER, st.integers(min_value=1, max_value=300), st.sampled_from(["\n", "\r\n", " \n", "\t\r\n"]))
def test_blocks_come_out_as_they_went_in(
    expected: list[tuple[str, bytes]], chatter: list[str], columns: int, end: str
) -> None:
    between = "".join(line + "\n" for line in chatter)
    text = between.join(["", *(pem(label, data, columns, end) for label, data in expected), ""]).encode()
    found = blocks(text)
    assert [(block.label, block.data, block.encrypted) for block in found] == [(*one, False) for one in expected]
    lines = text.splitlines()
    assert all(lines[block.line - 1].rstrip() == f"-----BEGIN {block.label}-----".encode() for block in found)


@given(st.binary(min_size=1, max_size=300))
def test_the_canonical_form_is_that_of_every_program(data: bytes) -> None:
    canonical = Block("CERTIFICATE", 1, encrypted=False, data=data).canonical
    assert canonical == ssl.DER_cert_to_PEM_cert(data).encode()
    assert blocks(canonical) == [Block("CERTIFICATE", 1, encrypted=False, data=data)]


@given(st.binary(max_size=300) | st.text(alphabet="-BEGIND AKL:=\n", max_size=200).map(str.encode))
def test_anything_at_all_is_blocks_or_refused_with_a_place(data: bytes) -> None:
    refusal = None
    try:
        blocks(data)
    except EnclaverError as error:
        refusal = error
    assert refusal is None or (refusal.place and refusal.cure)


def test_a_byte_order_mark_hides_no_block() -> None:
    found = blocks(b"\xef\xbb\xbf-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert found == [Block("CERTIFICATE", 1, encrypted=False, data=bytes(3))]


def test_an_older_keys_headers_say_that_it_is_encrypted() -> None:
    text = (
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n"
        "-----END RSA PRIVATE KEY-----\n"
    )
    assert blocks(text.encode()) == [Block("RSA PRIVATE KEY", 1, encrypted=True, data=b"")]


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("\n-----BEGIN PRIVATE KEY-----\nSEC+RET=\n", "line 2", "the PRIVATE KEY has no end"),
        ("-----BEGIN PRIVATE KEY-----\nSEC+\n-----END CERTIFICATE-----\n", "line 1", "has no end"),
        ("-----BEGIN PRIVATE KEY-----\nSEC+\n-----BEGIN PRIVATE KEY-----\nAAAA\n", "line 1", "has no end"),
        ("-----BEGIN PRIVATE KEY-----\nSEC+R\n-----END PRIVATE KEY-----\n", "line 1", "is damaged: no base64"),
        ("-----BEGIN PRIVATE KEY-----\nSEC+*RET\n-----END PRIVATE KEY-----\n", "line 1", "is damaged: no base64"),
    ],
)
def test_a_damaged_block_is_refused_at_its_line_and_not_shown(text: str, place: str, what: str) -> None:
    with pytest.raises(EnclaverError) as caught:
        blocks(text.encode())
    assert caught.value.place == place
    assert what in caught.value.what
    assert "SEC" not in str(caught.value)
    assert caught.value.__cause__ is None
