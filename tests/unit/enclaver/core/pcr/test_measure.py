from __future__ import annotations

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.pcr.measure import Measurements, extend_zero, from_registers, register_of

# PCR2 of an image with one ramdisk, as nitro-cli prints it: the register of no content at all.
EMPTY = "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a"


def test_the_register_of_nothing_is_nitro_clis() -> None:
    assert register_of(b"").hex() == EMPTY


def test_an_extension_is_not_the_digest() -> None:
    assert extend_zero(bytes(48)) != bytes(48)
    assert len(extend_zero(bytes(48))) == 48


def test_registers_and_back() -> None:
    one = Measurements(b"\x01" * 48, b"\x02" * 48, b"\x03" * 48)
    signed = Measurements(b"\x01" * 48, b"\x02" * 48, b"\x03" * 48, b"\x08" * 48)
    assert list(one.registers()) == ["PCR0", "PCR1", "PCR2"]
    assert list(signed.registers()) == ["PCR0", "PCR1", "PCR2", "PCR8"]
    assert from_registers(one.registers(), file="f") == one
    assert from_registers(signed.registers(), file="f") == signed


GOOD = {"PCR0": EMPTY, "PCR1": EMPTY, "PCR2": EMPTY}


@pytest.mark.parametrize(
    ("registers", "message"),
    [
        ([], "f: has no PCR0"),
        ({"PCR0": EMPTY}, "has no PCR0, PCR1 and PCR2"),
        (GOOD | {"PCR3": EMPTY}, "PCR3: is no register"),
        (GOOD | {"PCR1": EMPTY[1:]}, "PCR1: is not 96"),
        (GOOD | {"PCR1": EMPTY.upper()}, "PCR1: is not 96"),
        (GOOD | {"PCR1": EMPTY + "\n"}, "PCR1: is not 96"),
        (GOOD | {"PCR8": None}, "PCR8: is not 96"),
    ],
)
def test_what_are_no_registers(registers: object, message: str) -> None:
    with pytest.raises(EnclaverError, match=message):
        from_registers(registers, file="f")
