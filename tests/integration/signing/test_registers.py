"""What a security module measures of a signed image: QEMU's nitro-enclave machine, asked from inside."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec

from enclaver_runtime.parent import emulator, runner
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.machine import BootParts, EnclaveImage, Machine
from enclaver_runtime.parent.runner import Session
from tests.certificates import ec_key, key_pem, self_signed
from tests.integration.signing.signed import make_parts, recorded
from tests.integration.tools import require

pytestmark = pytest.mark.slow


def in_parts(_: Path) -> BootParts:
    raise AssertionError("the nitro-enclave machine takes the image as it is")


def booted(eif: Path) -> bytes:
    """Boot an image until its kernel panics; its console."""
    console = bytearray()

    async def keep(data: bytes) -> None:
        console.extend(data)

    async def ignore(_: bytes) -> None:
        pass

    async def main() -> None:
        with trio.fail_after(120):
            start = functools.partial(
                emulator.boot,
                EnclaveImage(eif, in_parts),
                console=keep,
                memory_mb=256,
                cpus=1,
                tell=lambda _: None,
                qemu=require("qemu-nitro"),
                vhost_device_vsock=require("vhost-device-vsock"),
                machine_type=Machine.NITRO_ENCLAVE,
            )
            await runner.run(start, Session(log=ignore, boot_timeout=60, tell=lambda _: None))

    with pytest.raises(ParentError, match="the kernel panicked"):
        trio.run(main)
    return bytes(console)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_pcr8_in_the_enclave_is_the_certificates(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    source = Path(__file__).with_name("guest.c")
    subprocess.run([require("gcc"), "-O2", "-static", "-o", tmp_path / "init", source], check=True)
    key = ec_key(curve)
    (tmp_path / "key.pem").write_bytes(key_pem(key))
    init = (tmp_path / "init").read_bytes()
    parts = make_parts(tmp_path / "parts", tmp_path / "key.pem", kernel=require("kernel"), init=init)
    (parts.folder / "certificate.pem").write_bytes(self_signed(key))
    eif = parts.image()
    told = re.search(rb"guest: ([0-9a-f]+)", booted(eif))
    assert told is not None
    # The answer is {"DescribePCR": {"lock": ..., "data": PCR8}} in CBOR.
    assert b"DescribePCR".hex() in told[1].decode()
    assert recorded(eif)["PCR8"] in told[1].decode()
