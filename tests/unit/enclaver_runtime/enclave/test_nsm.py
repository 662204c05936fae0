from __future__ import annotations

import cbor2
import pytest

from enclaver_runtime.enclave.nsm import Nsm, measurement_lines
from enclaver_runtime.protocol.nsm import NsmError, Pcr


def module(request: bytes) -> bytes:
    """A security module with 16 registers, whose value is their index."""
    match cbor2.loads(request):
        case "GetRandom":
            return cbor2.dumps({"GetRandom": {"random": b"r" * 256}})
        case {"DescribePCR": {"index": index}} if index < 16:
            return cbor2.dumps({"DescribePCR": {"lock": index < 3, "data": bytes([index]) * 48}})
    return cbor2.dumps({"Error": "InvalidIndex"})


def test_random_bytes_and_registers() -> None:
    nsm = Nsm(module)
    assert nsm.random() == b"r" * 256
    assert nsm.pcr(4) == Pcr(value=b"\x04" * 48, locked=False)
    with pytest.raises(NsmError, match="InvalidIndex"):
        nsm.pcr(16)


def test_the_images_measurement_is_told_in_hex() -> None:
    assert measurement_lines(Nsm(module)) == ["PCR0=" + "00" * 48, "PCR1=" + "01" * 48, "PCR2=" + "02" * 48]
