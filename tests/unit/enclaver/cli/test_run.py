"""What `enclaver run` makes of its arguments; the boots are tests/integration/runtime's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from enclaver.cli import main as enclaver
from enclaver.cli import run as cli_run
from enclaver.cli import starts
from enclaver.core.eif.reader import Image
from enclaver_runtime.parent import emulator, nitro, runner
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.exit_codes import Outcome
from enclaver_runtime.parent.machine import Machine
from enclaver_runtime.parent.runner import Session
from enclaver_runtime.parent.services import Publication
from tests.unit.enclaver.build.test_image_config import image

CONFIG = {
    "version": 1,
    "app": {"argv": ["/x"], "env": {}, "cwd": "/", "uid": 1, "gid": 1},
    "egress": None,
    "ingress": [{"listen_port": 8000, "tls": None}, {"listen_port": 8001, "tls": None}],
    "kms_proxy": None,
    "api": None,
}
MANIFEST = (
    "version: v1\nname: x\ntarget: x:latest\nsources:\n  app: x\ningress:\n  - listen_port: 8000\n"
    "  - listen_port: 8001\ndefaults:\n  cpu_count: 3\n  memory_mb: 300\n"
)


@pytest.fixture
def ours(tmp_path: Path) -> Image:
    return image(tmp_path, {"etc/enclaver/runtime.json": json.dumps(CONFIG).encode()})


@pytest.fixture
def foreign(tmp_path: Path) -> Image:
    return image(tmp_path, {"init": b"x"})


class Started:
    """What the command started instead of an enclave; the app then ends with 7."""

    def __init__(self) -> None:
        self.enclaves: list[dict[str, Any]] = []
        self.sessions: list[Session] = []

    @asynccontextmanager
    async def emulated(self, image: object, **options: Any) -> AsyncIterator[None]:
        self.enclaves.append({"on": "qemu", **options})
        yield

    @asynccontextmanager
    async def launched(self, image: object, **options: Any) -> AsyncIterator[None]:
        self.enclaves.append({"on": "nitro", **options})
        yield

    async def run(self, start: Any, session: Session) -> Outcome:
        self.sessions.append(session)
        async with start():
            await trio.lowlevel.checkpoint()
        return Outcome(7, "the app exited with 7")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Started:
    fake = Started()
    monkeypatch.setattr(emulator, "boot", fake.emulated)
    monkeypatch.setattr(nitro, "launch", fake.launched)
    monkeypatch.setattr(nitro, "DEVICE", tmp_path / "nitro_enclaves")
    monkeypatch.setattr(runner, "run", fake.run)
    return fake


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert enclaver.main(["run", *map(str, arguments)]) == 1
    return capfd.readouterr().err


def run(*arguments: str | Path) -> None:
    assert enclaver.main(["run", *map(str, arguments)]) == 7


def test_hardware_is_used_where_it_is_and_the_emulator_elsewhere(
    foreign: Image, started: Started, capfd: pytest.CaptureFixture[str]
) -> None:
    run(foreign.path)
    nitro.DEVICE.touch()
    run(foreign.path)
    run(foreign.path, "--emulate")
    nitro.DEVICE.unlink()
    run(foreign.path, "--nitro")
    assert [one["on"] for one in started.enclaves] == ["qemu", "nitro", "qemu", "nitro"]
    assert "enclaver: the app exited with 7" in capfd.readouterr().err


def test_an_interruption_before_the_start_is_one_too(
    foreign: Image, started: Started, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def read(path: Path) -> Image:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_run, "read", read)
    assert enclaver.main(["run", str(foreign.path)]) == 109
    assert capfd.readouterr().err == "enclaver: interrupted by signal 2 (SIGINT)\n"
    assert started.enclaves == []


def test_the_two_at_once_are_wrong_arguments(foreign: Image, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        enclaver.main(["run", str(foreign.path), "--nitro", "--emulate"])
    assert caught.value.code == 2
    assert "not allowed with" in capfd.readouterr().err


def test_the_image_says_what_it_needs_unless_the_command_does(foreign: Image, started: Started) -> None:
    run(foreign.path)
    run(
        *(foreign.path, "--memory-mb", "99", "--cpu-count", "3", "--boot-timeout", "5", "--machine", "microvm"),
        *("--qemu", "/q", "--debug-mode"),
    )
    keys = ("memory_mb", "cpus", "machine_type", "qemu")
    assert [[one[key] for key in keys] for one in started.enclaves] == [
        [4096, 2, None, None],
        [99, 3, Machine.MICROVM, Path("/q")],
    ]
    assert [one["console"] is None for one in started.enclaves] == [True, False]
    assert [session.boot_timeout for session in started.sessions] == [120.0, 5.0]


def test_development_attestation_boots_another_image_and_leaves_the_root(
    foreign: Image, started: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attested: list[tuple[Path, Path | None]] = []

    @asynccontextmanager
    async def attest(image: Image, boot: Any, *, root: Path | None) -> AsyncIterator[None]:
        attested.append((image.path, root))
        async with boot(image):
            yield

    monkeypatch.setattr(starts, "attested", attest)
    run(foreign.path, "--development-attestation")
    run(foreign.path, "--emulate", "--development-attestation", "--development-root", "r.pem")
    run(foreign.path)
    assert attested == [(foreign.path, None), (foreign.path, Path("r.pem"))]
    assert len(started.enclaves) == 3


def test_a_debug_enclave_is_asked_for_only(foreign: Image, started: Started) -> None:
    run(foreign.path, "--nitro")
    run(foreign.path, "--nitro", "--debug-mode")
    assert [(one["debug"], one["console"] is None) for one in started.enclaves] == [(False, True), (True, False)]


def test_a_manifest_gives_size_and_ports_unless_the_command_does(ours: Image, started: Started, tmp_path: Path) -> None:
    manifest = tmp_path / "enclaver.yaml"
    manifest.write_text(MANIFEST)
    run(ours.path)
    run("-f", manifest, ours.path)
    run("-f", manifest, ours.path, "--memory-mb", "200", "--cpu-count", "1", "-p", "0:8001")
    assert [(one["memory_mb"], one["cpus"]) for one in started.enclaves] == [(4096, 2), (300, 3), (200, 1)]
    assert [len(session.services) for session in started.sessions] == [0, 2, 1]


@pytest.mark.parametrize(
    ("address", "published"),
    [
        ([], ["127.0.0.1"]),
        (["--address", "192.0.2.1"], ["192.0.2.1"]),
        (["--address", "any"], ["0.0.0.0", "::"]),
        (["--address", "any", "-p", "127.0.0.1:1:8000"], ["-p"]),
    ],
    ids=["own", "one", "any", "-p beats it"],
)
def test_a_manifests_ports_are_published_where_it_is_said(
    ours: Image,
    started: Started,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: list[str],
    published: list[str],
) -> None:
    manifest = tmp_path / "enclaver.yaml"
    manifest.write_text(MANIFEST)
    seen: list[Publication] = []

    def services(image: Image, config: object, publish: Sequence[Publication]) -> Sequence[object]:
        seen.extend(publish)
        return ()

    monkeypatch.setattr(cli_run, "parent_services", services)
    run("-f", manifest, ours.path, *address)
    own = [Publication(host, port, port) for port in (8000, 8001) for host in published]
    assert seen == ([Publication("127.0.0.1", 1, 8000)] if published == ["-p"] else own)


def test_an_address_is_for_a_manifests_ports(ours: Image, capfd: pytest.CaptureFixture[str]) -> None:
    assert "--address is for the ports of a manifest" in refused(capfd, ours.path, "--address", "any")


def test_a_manifest_of_another_image_is_noticed(
    ours: Image, started: Started, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "enclaver.yaml"
    manifest.write_text(MANIFEST.replace("8001", "9000"))
    assert f"{ours.path}: the enclave has no ingress port 9000" in refused(capfd, "-f", manifest, ours.path)
    assert started.enclaves == []


def test_a_manifest_is_no_image(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "enclaver.yaml"
    manifest.write_text(MANIFEST)
    said = refused(capfd, "-f", manifest)
    assert f"{manifest}: a manifest is no image yet\n  Build it (`enclaver build --eif-only IMAGE.eif`" in said
    assert "nothing to run\n  Give the path of an image" in refused(capfd)
    assert "the manifest cannot be read" in refused(capfd, "-f", tmp_path / "missing.yaml")


def test_only_a_runtime_of_ours_is_asked_to_end(ours: Image, started: Started, tmp_path: Path) -> None:
    run(ours.path)
    run(image(tmp_path, {"init": b"x"}).path)
    assert [session.asks for session in started.sessions] == [True, False]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ParentError("QEMU was not found", cure="install it"), "enclaver: QEMU was not found (install it)\n"),
        (OSError(28, "No space left on device"), "enclaver: No space left on device\n"),
    ],
)
def test_what_the_run_raises_is_one_message(
    foreign: Image, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    async def fail(*_: object, **__: object) -> Outcome:
        raise error

    monkeypatch.setattr(runner, "run", fail)
    assert refused(capfd, foreign.path, "--emulate").endswith(said)


def test_a_file_that_is_no_image(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert str(tmp_path) in refused(capfd, tmp_path / "missing.eif", "--emulate")


@pytest.mark.parametrize(
    "arguments",
    [
        *(["-p", "8000"], ["-p", "x:1"], ["--address", "localhost"], ["--memory-mb", "0"], ["--cpu-count", "two"]),
        ["--boot-timeout", "-1"],
    ],
)
def test_wrong_arguments(foreign: Image, capfd: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        enclaver.main(["run", str(foreign.path), *arguments])
    assert caught.value.code == 2
    assert arguments[1] in capfd.readouterr().err
