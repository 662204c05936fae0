"""What `--development-attestation` boots and serves; the boots for real are tests/integration/runtime's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cbor2
import pytest
import trio
from trio.testing import trio_test

from enclaver.cli.development import attested
from enclaver.core.eif.reader import Image, read
from enclaver.core.errors import EnclaverError
from enclaver_runtime.parent.errors import plain_errors
from enclaver_runtime.transport import vsock
from tests.attestation import verify
from tests.unit.enclaver.core.eif.images import (
    image_bytes,
    key_and_certificate,
    plan,
    resigned,
    saved,
    signature_section,
)

PORT = 17003


class Enclave:
    """An enclave that never boots, whose vsock is unix sockets in a folder."""

    half_closes = False

    def __init__(self, image: Image, folder: Path) -> None:
        self.image = image
        self.path = f"{folder}/vm"

    def listen(self, port: int) -> trio.SocketListener:
        return vsock.listen_hybrid(self.path, port)

    async def connect(self, port: int, timeout: float) -> trio.SocketStream:
        raise AssertionError("nothing connects to the enclave")

    async def wait_booting(self) -> None:
        raise AssertionError("nothing waits for it")

    async def wait_ended(self) -> str:
        raise AssertionError("nothing waits for it")

    def console_tail(self) -> tuple[str, ...]:
        return ()

    async def ask(self, request: object) -> bytes:
        """Ask the parent's module, as the runtime does."""
        message = cbor2.dumps(request)
        async with await trio.open_unix_socket(f"{self.path}_{PORT}") as stream:
            await stream.send_all(len(message).to_bytes(4, "big") + message)
            response = b"".join([bytes(piece) async for piece in stream])
        assert len(response) - 4 == int.from_bytes(response[:4], "big")
        return response[4:]


class Booted:
    """What was booted, and where."""

    def __init__(self, folder: Path) -> None:
        self.enclaves: list[Enclave] = []
        self._folder = folder

    @asynccontextmanager
    async def __call__(self, image: Image) -> AsyncIterator[Enclave]:
        self.enclaves.append(Enclave(image, self._folder))
        yield self.enclaves[-1]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return read(saved(tmp_path, image_bytes(plan(b"boot", b"app"))))


@trio_test
async def test_documents_are_signed_with_the_registers_of_what_boots(
    image: Image, tmp_path: Path, temporary: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    boot, root = Booted(tmp_path), tmp_path / "root.pem"
    async with attested(image, boot, root=root):
        (enclave,) = boot.enclaves
        booted = enclave.image
        assert booted.cmdline == f"{image.cmdline} enclaver.development_nsm=vsock"
        # What QEMU loads is there as long as it runs, and only the user's.
        (folder,) = temporary.iterdir()
        assert booted.path == folder / "x.eif"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert read(booted.path).measurements == booted.measurements
        answer = cbor2.loads(await enclave.ask({"Attestation": {"nonce": b"n", "user_data": None, "public_key": None}}))
    fields = verify(answer["Attestation"]["document"], root.read_bytes())
    assert fields["nonce"] == b"n"
    expected = booted.measurements
    assert [fields["pcrs"][index] for index in (0, 1, 2)] == [expected.pcr0, expected.pcr1, expected.pcr2]
    assert {fields["pcrs"][index] for index in range(3, 16)} == {bytes(48)}
    assert fields["pcrs"][0] != image.measurements.pcr0
    assert list(temporary.iterdir()) == []
    said = capfd.readouterr().err
    assert "documents prove nothing" in said
    assert f"PCR0 {expected.pcr0.hex()}" in said
    assert "signature" not in said


@trio_test
async def test_a_signature_that_no_longer_fits_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = image_bytes(plan())
    pcr0 = read(saved(tmp_path, data)).measurements.pcr0
    signed = read(saved(tmp_path, resigned(data, signature_section(*key_and_certificate(), pcr0))))
    async with attested(signed, Booted(tmp_path), root=None):
        pass
    assert "the image's signature is over its own PCR0, so it is left out" in capfd.readouterr().err


@trio_test
async def test_a_root_that_cannot_be_written_ends_it_before_anything_boots(
    image: Image, tmp_path: Path, temporary: Path
) -> None:
    boot = Booted(tmp_path)
    with pytest.raises(EnclaverError, match=r"no/root\.pem: cannot write"):
        async with attested(image, boot, root=tmp_path / "no" / "root.pem"):
            raise AssertionError("it has booted")
    assert boot.enclaves == []
    assert list(temporary.iterdir()) == []


@trio_test
async def test_a_port_that_cannot_be_listened_on_is_an_error_and_leaves_nothing(
    image: Image, tmp_path: Path, temporary: Path
) -> None:
    (tmp_path / "vm_17003").mkdir()
    with pytest.raises(OSError, match="Is a directory"), plain_errors():
        async with attested(image, Booted(tmp_path), root=None):
            raise AssertionError("it has booted")
    assert list(temporary.iterdir()) == []


@trio_test
async def test_whatever_ends_the_run_nothing_stays(image: Image, tmp_path: Path, temporary: Path) -> None:
    with trio.CancelScope() as scope:
        async with attested(image, Booted(tmp_path), root=None):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert list(temporary.iterdir()) == []
