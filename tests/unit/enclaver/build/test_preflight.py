from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclaver.build import manifest as manifests
from enclaver.build import preflight
from enclaver.build.runner_tools import Tools
from enclaver.build.standalone import NITRO_CLI, Request
from enclaver.core.errors import EnclaverError
from tests import fake_docker
from tests.unit.enclaver.build.test_image import bz_image
from tests.unit.enclaver.system import nitro_stand_in


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    file = tmp_path / "enclaver.yaml"
    file.write_text("version: v1\nname: x\ntarget: x:1\nsources:\n  app: app:1\n")
    return Request(manifests.load(file), file, None)


@pytest.fixture
def _daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fake_docker.serving() as found:
        monkeypatch.setenv("DOCKER_HOST", found.host)
        yield


def check(request: Request, tmp_path: Path, **changes: Any) -> None:
    given = {"output": tmp_path / "x.eif", "loads": False, "cache": tmp_path / "cache"}
    preflight.check(request, **{**given, **changes})


@pytest.mark.usefixtures("_no_daemon")
def test_a_build_that_can_be_done_leaves_nothing_but_its_cache(request_: Request, tmp_path: Path) -> None:
    check(request_, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "enclaver.yaml"]
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_there_already_stays_until_there_is_another(request_: Request, tmp_path: Path) -> None:
    (tmp_path / "x.eif").write_bytes(b"before")
    check(request_, tmp_path)
    assert (tmp_path / "x.eif").read_bytes() == b"before"


def test_places_that_cannot_be_written(request_: Request, tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match=r"none/x\.eif: cannot write: No such file"):
        check(request_, tmp_path, output=tmp_path / "none" / "x.eif")
    with pytest.raises(EnclaverError, match="is no regular file"):
        check(request_, tmp_path, output=tmp_path)
    with pytest.raises(EnclaverError, match=r"enclaver\.yaml/cache: nothing can be kept there(.|\n)*--cache"):
        check(request_, tmp_path, cache=tmp_path / "enclaver.yaml" / "cache")


@pytest.mark.usefixtures("_no_daemon")
def test_a_daemon_that_will_be_wanted_in_the_end(request_: Request, tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="there is no docker daemon(.|\n)*Or do without: --archive or --eif-only"):
        check(request_, tmp_path, output=None, loads=True)


@pytest.mark.usefixtures("_daemon")
def test_a_daemon_that_is_there(request_: Request, tmp_path: Path) -> None:
    check(request_, tmp_path, output=None, loads=True)


@pytest.mark.parametrize(
    ("tools", "what"),
    [
        (Tools(emulator=True), "the emulator needs vhost-device-vsock"),
        (Tools(vhost_device_vsock=Path("v")), "vhost-device-vsock is the emulator's"),
        (Tools(nitro_cli=Path("none/n")), "none/n: cannot read: No such file"),
        (Tools(vhost_device_vsock=Path("none/v"), emulator=True), "none/v: cannot read: No such file"),
    ],
)
def test_programs_that_are_missing(request_: Request, tmp_path: Path, tools: Tools, what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        check(replace(request_, tools=tools), tmp_path)


def test_the_kernel_has_to_be_there_and_of_the_enclaves_architecture(request_: Request, tmp_path: Path) -> None:
    arm = replace(request_, architecture="aarch64")
    with pytest.raises(EnclaverError, match="this release has no kernel for aarch64"):
        check(arm, tmp_path)
    folder = tmp_path / "kernel"
    with pytest.raises(EnclaverError, match="kernel"):
        check(replace(request_, kernel=folder), tmp_path)
    folder.mkdir()
    (folder / "bzImage").write_bytes(bz_image())
    (folder / "cmdline").write_text("console=ttyS0")
    check(replace(request_, kernel=folder), tmp_path)
    with pytest.raises(EnclaverError, match="Image"):
        check(replace(arm, kernel=folder), tmp_path)


@pytest.mark.usefixtures("_no_daemon")
def test_nitro_cli_its_blobs_and_its_daemon(request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    wanted = replace(request_, builder=NITRO_CLI, nitro_cli_program=tmp_path / "nitro-cli", kernel=tmp_path / "blobs")
    with pytest.raises(EnclaverError, match="nitro-cli was not found"):
        check(wanted, tmp_path)
    (tmp_path / "nitro-cli").write_text("#!/bin/sh\n")
    (tmp_path / "nitro-cli").chmod(0o755)
    with pytest.raises(EnclaverError, match="nitro-cli's blobs are not there"):
        check(wanted, tmp_path)
    nitro_stand_in.make_blobs(tmp_path / "blobs", b"kernel")
    with pytest.raises(EnclaverError, match="and none for aarch64"):
        check(replace(wanted, architecture="aarch64"), tmp_path)
    with pytest.raises(EnclaverError, match="there is no docker daemon") as caught:
        check(wanted, tmp_path)
    assert "do without" not in str(caught.value)
