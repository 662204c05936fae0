"""What `enclaver run` refuses before it boots anything; the boots are tests/integration/spine's."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclaver.cli import main as enclaver
from enclaver.core.eif.reader import Image
from enclaver_runtime.parent import emulator
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.exit_codes import Outcome
from enclaver_runtime.parent.machine import EnclaveImage, Machine
from tests.unit.enclaver.build.test_image_config import image
from tests.unit.enclaver.core.eif.images import image_bytes, plan, saved


@pytest.fixture
def foreign(tmp_path: Path) -> Image:
    return image(tmp_path, {"init": b"x"})


@pytest.fixture
def boots(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the emulator was asked to boot; the app then ends with 7."""
    asked: list[dict[str, Any]] = []

    async def run(image: EnclaveImage, **options: Any) -> Outcome:
        asked.append(options)
        return Outcome(7, "the app exited with 7")

    monkeypatch.setattr(emulator, "run", run)
    return asked


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert enclaver.main(["run", *arguments]) == 1
    return capfd.readouterr().err


def test_hardware_is_not_there_yet(foreign: Image, capfd: pytest.CaptureFixture[str]) -> None:
    assert "Add --emulate" in refused(capfd, str(foreign.path))


def test_another_architecture_is_named_with_what_to_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, image_bytes(replace(plan(), architecture="aarch64")))
    said = refused(capfd, str(path), "--emulate")
    assert f"{path}: the emulator runs x86_64 images, this one is for aarch64\n  Build the image for x86_64" in said


def test_memory_that_the_image_does_not_fit_into_is_refused_before_it_boots(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], boots: list[dict[str, Any]]
) -> None:
    path = saved(tmp_path, image_bytes(replace(plan(bytes(10 << 20)), memory_bytes=61 << 20)))
    said = refused(capfd, str(path), "--emulate")
    assert f"{path}: the image cannot boot with 61 MiB of memory" in said
    assert "--memory-mb 62 or more" in said
    assert boots == []
    assert enclaver.main(["run", str(path), "--emulate", "--memory-mb", "62"]) == 7
    assert boots[0]["memory_mb"] == 62


def test_the_image_says_what_it_needs_unless_the_command_does(
    foreign: Image, capfd: pytest.CaptureFixture[str], boots: list[dict[str, Any]]
) -> None:
    assert enclaver.main(["run", str(foreign.path), "--emulate"]) == 7
    more = ["--memory-mb", "99", "--cpu-count", "3", "--boot-timeout", "5", "--machine", "microvm", "--console"]
    assert enclaver.main(["run", str(foreign.path), "--emulate", *more]) == 7
    keys = ("memory_mb", "cpus", "boot_timeout", "machine_type")
    assert [[one[key] for key in keys] for one in boots] == [
        [4096, 2, 120.0, None],
        [99, 3, 5.0, Machine.MICROVM],
    ]
    assert [one["console"] is None for one in boots] == [True, False]
    assert "enclaver: the app exited with 7" in capfd.readouterr().err


@pytest.mark.parametrize("ramdisk", [gzip.compress(b"070701"), b"boot"])
def test_another_tools_image_boots_with_no_services(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], boots: list[dict[str, Any]], ramdisk: bytes
) -> None:
    path = saved(tmp_path, image_bytes(plan(ramdisk)))
    assert enclaver.main(["run", str(path), "--emulate"]) == 7
    assert boots[0]["services"] == ()
    assert "no runtime.json: no egress, no ingress" in capfd.readouterr().err
    assert "no runtime.json, so it has no ingress ports" in refused(capfd, str(path), "--emulate", "-p", "0:8000")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ParentError("QEMU was not found", cure="install it"), "enclaver: QEMU was not found (install it)\n"),
        (OSError(28, "No space left on device"), "enclaver: No space left on device\n"),
    ],
)
def test_what_the_emulator_raises_is_one_message(
    foreign: Image, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    async def fail(*_: object, **__: object) -> Outcome:
        raise error

    monkeypatch.setattr(emulator, "run", fail)
    assert refused(capfd, str(foreign.path), "--emulate").endswith(said)


def test_a_file_that_is_no_image(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert str(tmp_path) in refused(capfd, str(tmp_path / "missing.eif"), "--emulate")


def test_an_image_without_configuration_publishes_nothing(foreign: Image, capfd: pytest.CaptureFixture[str]) -> None:
    assert "no runtime.json" in refused(capfd, str(foreign.path), "--emulate", "-p", "0:8000")


@pytest.mark.parametrize(
    ("config", "publish", "what"),
    [
        (b"{}", "0:8000", "not of this release"),
        (
            b'{"version":1,"app":{"argv":["/x"],"env":{},"cwd":"/","uid":1,"gid":1},"egress":null,'
            b'"ingress":[{"listen_port":8000}],"kms_proxy":null,"api":null}',
            "0:9000",
            "no ingress port 9000",
        ),
    ],
)
def test_a_port_that_the_image_does_not_have(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], config: bytes, publish: str, what: str
) -> None:
    made = image(tmp_path, {"etc/enclaver/runtime.json": config})
    assert what in refused(capfd, str(made.path), "--emulate", "-p", publish)


def test_an_egress_entry_of_another_release_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = (
        b'{"version":1,"app":{"argv":["/x"],"env":{},"cwd":"/","uid":1,"gid":1},"egress":{"proxy_port":10000,'
        b'"allow":["NOT:canonical"],"deny":[]},"ingress":[],"kms_proxy":null,"api":null}'
    )
    made = image(tmp_path, {"etc/enclaver/runtime.json": config})
    assert f"{made.path}: its runtime.json is not of this release" in refused(capfd, str(made.path), "--emulate")
