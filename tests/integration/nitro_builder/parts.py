"""What the tests have nitro-cli build: the runtime of a packaged image, with that image's app or a static one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from enclaver.build import app as app_stage
from enclaver.build.describe import describe
from enclaver.core.trust.materials import input_from_json, render_entries
from tests.integration.container_tools import DockerDaemon
from tests.integration.runtime import booted
from tests.integration.tools import require

#: The packaged image: Debian's Python and an app of files.
HELLO = booted.app("enclave", "examples/hello")

Pair = tuple[Path, Path]

#: Of the app from scratch.
MANIFEST = """\
version: v1
name: scratch
target: scratch:latest
sources:
  app: app:latest
ingress:
  - listen_port: 8000
defaults:
  memory_mb: 777
"""
_INDEX = "hello from scratch"


def of_hello(folder: Path) -> tuple[Pair, Pair]:
    """Return the two ramdisks of the packaged image, as the stages before had them: archive and entries."""
    sections = folder / "sections"
    describe(HELLO, extract=sections)
    materials: dict[str, Any] = json.loads(HELLO.with_suffix(".materials.json").read_bytes())
    # An image tells what all of it is made of, no longer what each ramdisk is.
    inputs = [input_from_json(one, "materials") for one in materials["inputs"] if one["kind"] != "kernel"]
    pairs = []
    for number, ramdisk in enumerate(materials["ramdisks"]):
        entries = folder / f"ramdisk-{number}.json"
        entries.write_bytes(render_entries(inputs, ramdisk["entries"]))
        pairs.append((sections / f"ramdisk-{number}.cpio", entries))
    boot, app = pairs
    return boot, app


def of_scratch(folder: Path, docker: DockerDaemon, command: Sequence[str]) -> Pair:
    """Return the app's ramdisk of an image from scratch, which holds a static busybox and a page."""
    context = folder / "context"
    context.mkdir()
    shutil.copy(require("busybox"), context / "busybox")
    (context / "index.html").write_text(_INDEX)
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/busybox\nCOPY index.html /www/index.html\n"
        f"CMD {json.dumps(['/bin/busybox', *command])}\n"
    )
    docker.build("scratch:latest", context)
    items = folder / "items"
    items.mkdir()
    docker.docker("save", "--output", items / "image.tar", "scratch:latest")
    (folder / "app.json").write_text(
        json.dumps(
            {
                "version": 1,
                "architecture": "x86_64",
                "items": [{"path": "image.tar", "as": "image.tar", "kind": "package", "target": "//:scratch"}],
                "entrypoint": [],
                "args": [],
                "env": {},
                "drop_xattrs": False,
            }
        )
    )
    (folder / "enclaver.yaml").write_text(MANIFEST)
    output = folder / "app.cpio", folder / "app.entries.json"
    app_stage.app(
        tree=None,
        folder=items,
        spec=folder / "app.json",
        manifest=folder / "enclaver.yaml",
        output=output,
    )
    return output
