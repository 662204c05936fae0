from __future__ import annotations

import io
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from enclaver.build import nitro_report
from enclaver.build.image_plan import plan_of
from enclaver.core.eif.reader import read
from enclaver.core.eif.writer import write
from enclaver.core.errors import EnclaverError
from enclaver.core.kernel import files as kernel_files
from tests.unit.enclaver.build import nitro_parts
from tests.unit.enclaver.build.nitro_parts import Parts


def materials(parts: Parts) -> tuple[dict[str, Any], bytes]:
    image, file = read(parts.eif), io.BytesIO()
    written = write(plan_of(image), file, digests=True)
    tools = nitro_report.tool_inputs(parts.program, "Nitro CLI 1.5.2", parts.blobs, ["init", "linuxkit"])
    found = nitro_report.materials(
        image,
        written,
        kernel=kernel_files.read(parts.blobs, "x86_64"),
        tools=tools,
        signer=None,
        description=parts.image[1],
        file=file,
    )
    return json.loads(found), file.getvalue()


def test_all_that_was_given_and_all_that_is_there(tmp_path: Path) -> None:
    parts = nitro_parts.make(tmp_path)
    found, data = materials(parts)
    assert found["eif"] == {"sha256": sha256(data).hexdigest(), "size": len(data)}
    assert found["measurements"] == parts.measurements.registers()
    assert [(one["kind"], one["name"]) for one in found["inputs"]] == [
        *(("deb", "app"), ("deb", "boot"), ("kernel", "bzImage")),
        *(("nitro-cli", "init"), ("nitro-cli", "linuxkit"), ("nitro-cli", "nitro-cli")),
    ]
    tool = found["inputs"][-1]
    assert (tool["version"], tool["sha256"]) == ("Nitro CLI 1.5.2", sha256(parts.program.read_bytes()).hexdigest())
    bootstrap, customer = found["ramdisks"]
    assert [one["path"] for one in bootstrap["entries"]] == ["dev", "init"]
    assert (bootstrap["name"], customer["name"]) == ("bootstrap", "customer")
    assert customer["sha256"] == sha256((tmp_path / "1").read_bytes()).hexdigest()
    origins = {one["path"]: one["origin"] for one in customer["entries"]}
    assert origins["rootfs/rootfs/bin/app"] == "target://:app"
    assert origins["rootfs/usr/bin/python3.11"] == "deb:python3.11-minimal=1"
    assert origins["cmd"] == origins["rootfs"] == origins["rootfs/etc/hosts"] == "nitro-cli"


def test_an_image_that_has_lost_something_is_refused(tmp_path: Path) -> None:
    parts = nitro_parts.make(tmp_path, ramdisk=nitro_parts.customer(app=b"other"))
    with pytest.raises(EnclaverError, match="1 entries are missing or others: rootfs/bin/app"):
        materials(parts)


def test_an_image_of_other_parts_is_refused(tmp_path: Path) -> None:
    for folder, number in (("one", 1), ("three", 3)):
        (tmp_path / folder).mkdir()
        with pytest.raises(EnclaverError, match=f"another image than was asked for: it has {number} ramdisks, not 2"):
            materials(nitro_parts.make(tmp_path / folder, ramdisks=number))


def test_an_image_of_other_blobs_is_refused(tmp_path: Path) -> None:
    parts = nitro_parts.make(tmp_path, cmdline="console=ttyS1")
    with pytest.raises(EnclaverError, match="kernel or command line is not the blobs folder's"):
        materials(parts)
