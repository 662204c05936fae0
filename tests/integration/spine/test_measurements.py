"""The packaged image as AWS's own tools see it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from enclaver.cli import main as enclaver
from tests.integration.spine import packaged
from tests.integration.tools import require


def test_eif_build_measures_the_same_parts_alike(tmp_path: Path) -> None:
    eif_build = require("eif_build")
    parts = tmp_path / "parts"
    assert enclaver.main(["describe", str(packaged.HELLO), "--extract", str(parts)]) == 0
    said = subprocess.run(
        [
            eif_build,
            *("--arch", "x86_64", "--kernel", parts / "kernel"),
            *("--cmdline", (parts / "cmdline").read_text()),
            *("--ramdisk", parts / "ramdisk-0.cpio"),
            *("--ramdisk", parts / "ramdisk-1.cpio"),
            *("--output", tmp_path / "theirs.eif"),
            *("--name", "hello", "--img-os", "Linux", "--img-kernel", "6.12"),
            *("--build-time", "1970-01-01T00:00:00+00:00"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    measured = json.loads(said[said.index("{") :])
    assert {name: measured[name] for name in ("PCR0", "PCR1", "PCR2")} == packaged.pcrs(packaged.HELLO)


def test_nitro_cli_finds_the_image_sound(tmp_path: Path) -> None:
    nitro_cli = require("nitro-cli")
    said = subprocess.run(
        [nitro_cli, "describe-eif", "--eif-path", packaged.HELLO],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NITRO_CLI_LOGS_PATH": str(tmp_path)},
    ).stdout
    described = json.loads(said)
    assert described["CheckCRC"] is True
    ours = packaged.pcrs(packaged.HELLO)
    assert {name: described["Measurements"][name] for name in ours} == ours


def test_describe_recomputes_what_was_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    assert enclaver.main(["describe", str(packaged.HELLO), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["measurements"] == packaged.pcrs(packaged.HELLO)


def test_every_entry_of_the_materials_has_an_origin_and_every_file_a_digest() -> None:
    materials = json.loads(packaged.HELLO.with_suffix(".materials.json").read_bytes())
    kinds = {item["kind"] for item in materials["inputs"]}
    assert {"deb", "kernel", "runtime", "target", "wheel"} <= kinds
    assert [ramdisk["name"] for ramdisk in materials["ramdisks"]] == ["boot", "app"]
    for ramdisk in materials["ramdisks"]:
        for entry in ramdisk["entries"]:
            assert entry["origin"], entry
            assert entry["type"] != "file" or len(entry["sha256"]) == 64, entry
    origins = {entry["origin"] for ramdisk in materials["ramdisks"] for entry in ramdisk["entries"]}
    assert "target:examples/hello:server" in origins
