from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.rootfs import elf


def head(number: int, kind: int = 2) -> bytes:
    return b"\x7fELF\x02\x01" + bytes(10) + kind.to_bytes(2, "little") + number.to_bytes(2, "little")


@pytest.mark.parametrize(("number", "name"), [(62, "x86_64"), (183, "aarch64"), (3, "x86"), (999, "machine 999")])
@pytest.mark.parametrize("kind", [2, 3], ids=["program", "library"])
def test_the_machine_is_named(number: int, name: str, kind: int) -> None:
    assert elf.machine(head(number, kind)) == name


@pytest.mark.parametrize("kind", [0, 1, 4])
def test_what_is_never_loaded_is_data(kind: int) -> None:
    assert elf.machine(head(247, kind)) is None  # BPF, for one, is relocatable.


def test_a_32_bit_program_is_no_machine_of_ours() -> None:
    assert elf.machine(b"\x7fELF\x01" + head(62)[5:]) == "a 32-bit or big-endian machine"
    assert elf.machine(b"\x7fELF\x02\x02" + head(62)[6:]) == "a 32-bit or big-endian machine"


def test_this_interpreter_is_for_this_machine() -> None:
    data = Path(sys.executable).resolve().read_bytes()[: elf.HEADER_SIZE]
    assert elf.machine(data) in ("x86_64", "aarch64")


@given(st.binary(max_size=24))
def test_anything_else_is_none_or_a_name(data: bytes) -> None:
    assert elf.machine(data) is None
    assert elf.machine(b"\x7fELF" + data) is None or len(data) >= elf.HEADER_SIZE - 4
