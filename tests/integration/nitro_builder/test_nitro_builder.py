"""Images by the real nitro-cli with a real docker daemon: what they measure, what they hold, and that they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec

from enclaver.build.image_config import obeyed_config
from enclaver.cli.stages import nitro_build
from enclaver.cli.stages import nitro_image as nitro_image_stage
from enclaver.core.eif import reader
from enclaver.core.pcr import report
from enclaver_runtime.parent import emulator
from enclaver_runtime.parent.machine import BootParts, EnclaveImage
from tests.certificates import ec_key, key_pem, self_signed
from tests.integration.nitro_builder import blobs, parts, worlds
from tests.integration.nitro_builder.worlds import World
from tests.integration.runtime import booted
from tests.integration.tools import require

# Busybox is all that the app's root has; an orphan is left behind, which must not keep the enclave.
_ENDS = "b=/bin/busybox; ($b sleep 1000 &); $b ls / /../..; $b cat /proc/self/oom_score_adj; echo last words; exit 7"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with worlds.made(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def hello(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.build(world, tmp_path_factory.mktemp("hello"))


def materials(eif: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(eif.with_suffix(".materials.json").read_bytes())
    return found


def test_the_registers_are_nitro_clis_and_the_files(hello: Path, tmp_path: Path) -> None:
    said = describe(hello, tmp_path)
    registers = report.load(hello.with_suffix(".pcrs.json")).registers()
    assert {name: said["Measurements"][name] for name in registers} == registers
    assert (said["CheckCRC"], said["ImageName"], said["ImageVersion"]) == (True, "tested", "1.0")
    assert reader.read(hello).measurements.registers() == registers == materials(hello)["measurements"]


def test_the_stages_sign_an_image_as_nitro_cli_wants_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = ec_key(ec.SECP384R1())
    Path("sign.pem").write_bytes(self_signed(key))
    Path("key.pem").write_bytes(key_pem(key))
    Path("enclaver.yaml").write_text(parts.MANIFEST + "signature:\n  certificate: sign.pem\n  key: key.pem\n")
    pairs = [*map(str, ("--boot", *world.boot, "--app", *world.app)), "--architecture", "x86_64"]
    execute(monkeypatch, nitro_image_stage, *pairs, "--output", "image.tar", "--entries", "image.json")
    tools = ["--nitro-cli", str(require("nitro-cli")), "--blobs", str(world.blobs), "--architecture", "x86_64"]
    signing = ["--signing-certificate", "sign.pem", "--signing-key", "key.pem", "--manifest", "enclaver.yaml"]
    execute(monkeypatch, nitro_build, "--image", "image.tar", "image.json", *tools, *signing, "--output", "dist/x")
    said = describe(Path("dist/x.eif"), tmp_path)
    assert (said["IsSigned"], said["SignatureCheck"], said["CheckCRC"]) == (True, True, True)
    assert said["Measurements"]["PCR8"] == report.load(Path("dist/x.pcrs.json")).registers()["PCR8"]
    assert reader.read(Path("dist/x.eif")).header.memory_bytes == 777 << 20


def execute(monkeypatch: pytest.MonkeyPatch, stage: ModuleType, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [stage.__name__, *arguments])
    stage.run()


def describe(eif: Path, logs: Path) -> dict[str, Any]:
    """Return what nitro-cli says of an image."""
    done = subprocess.run(
        [require("nitro-cli"), "describe-eif", "--eif-path", eif],
        env={**os.environ, "NITRO_CLI_LOGS_PATH": str(logs)},
        capture_output=True,
        check=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_nothing_is_left_in_the_daemon_or_beside_the_image(world: World, hello: Path) -> None:
    assert world.docker.docker("image", "ls", "--quiet", "--filter", "reference=enclaver-build*") == ""
    assert world.docker.docker("container", "ls", "--all", "--quiet") == ""
    left = {path.name for path in hello.parent.iterdir()} - {"image.tar", "image.json"}
    assert left == {"x.eif", "x.pcrs.json", "x.materials.json"}


def test_another_build_of_the_same_has_the_same_registers(world: World, hello: Path, tmp_path: Path) -> None:
    again = worlds.build(world, tmp_path / "again")
    assert again.with_suffix(".pcrs.json").read_bytes() == hello.with_suffix(".pcrs.json").read_bytes()
    assert materials(again)["ramdisks"] == materials(hello)["ramdisks"]
    # nitro-cli writes the time into the metadata, which is in no register.
    assert again.read_bytes() != hello.read_bytes()


def test_what_lies_in_the_image_is_told_with_its_origin(world: World, hello: Path) -> None:
    bootstrap, customer = materials(hello)["ramdisks"]
    assert {entry["path"]: entry["origin"] for entry in bootstrap["entries"]} == {
        name: "nitro-cli" for name in ("dev", "init", "nsm.ko")
    }
    entries = {entry["path"]: entry for entry in customer["entries"]}
    assert entries["rootfs/init"]["origin"] == "enclaver"
    assert entries["rootfs/usr/bin/python3.11"]["origin"].startswith("deb:python3.11-minimal=")
    assert entries["rootfs/rootfs/app/server.pex/__main__.py"]["origin"] == "target:examples/hello:server"
    assert entries["cmd"]["origin"] == entries["rootfs/etc/hosts"]["origin"] == "nitro-cli"
    inputs = {(one["kind"], one["name"]) for one in materials(hello)["inputs"]}
    assert {("nitro-cli", name) for name in ("nitro-cli", "init", "linuxkit", "nsm.ko")} < inputs
    assert {("kernel", "bzImage"), ("deb", "python3.11-minimal")} < inputs


def test_the_parent_finds_what_the_image_obeys(hello: Path) -> None:
    config = obeyed_config(reader.read(hello))
    assert config is not None
    assert json.loads(config)["ingress"][0]["listen_port"] == 8000


def test_a_python_app_serves(hello: Path) -> None:
    with booted.running(hello, "--memory-mb", "512", "-p", "127.0.0.1:0:8000") as runner:
        answer = booted.get(runner.url(8000))
        said = runner.said
    told = json.loads(answer.body)
    assert (told["message"], told["uid"]) == ("hello from the enclave", 1000)
    # AWS's init has sent the heartbeat, and mounted what the runtime would mount.
    assert "init: the heartbeat was answered" in said
    assert "started by another init, as process" in said
    assert "heartbeat answered by" not in said


def test_an_app_from_scratch_serves(world: World, tmp_path: Path) -> None:
    eif = worlds.of_scratch(world, tmp_path / "scratch", ["httpd", "-f", "-p", "8000", "-h", "/www"])
    with booted.running(eif, "--memory-mb", "512", "-p", "127.0.0.1:0:8000") as runner:
        assert booted.get(runner.url(8000)).body == "hello from scratch"


@pytest.mark.parametrize("define", ["MOVE", "CHROOT"])
def test_the_apps_end_is_told_and_ends_the_enclave(world: World, tmp_path: Path, define: str) -> None:
    """Under both ways in which AWS's inits change the root; the app leaves an orphan, and stays in its own root."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    app = parts.of_scratch(folder, world.docker, ["sh", "-c", _ENDS])
    eif = worlds.build(world, folder, app=app, blobs=blobs.make(tmp_path / "blobs", define))
    ended = booted.run(eif, "--memory-mb", "512")
    assert ended.code == 7, ended.said
    # The kernel may end the app when there is no memory left, other than the runtime that started it.
    assert ended.log.endswith("\n0\nlast words\n")
    assert "www" in ended.log.split()
    assert "rootfs" not in ended.log.split()


def test_the_enclave_ends_by_itself_when_nobody_reads_its_status(world: World, tmp_path: Path) -> None:
    eif = worlds.of_scratch(world, tmp_path / "scratch", ["true"])
    qemu, vsock = require("qemu-nitro"), require("vhost-device-vsock")

    async def main() -> str:
        start = emulator.boot(
            EnclaveImage(eif, no_parts), memory_mb=512, cpus=2, tell=lambda _: None, qemu=qemu, vhost_device_vsock=vsock
        )
        with trio.fail_after(booted.PATIENCE):
            async with start as enclave:
                return await enclave.wait_ended()

    # A kernel whose first process had ended would panic, and say so.
    assert trio.run(main) == "QEMU: exit code 0"


def no_parts(folder: Path) -> BootParts:
    raise AssertionError("the machine reads the image itself")
