"""An image with another runtime.json: what the build would refuse, the runtime must withstand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from enclaver.build.image import assemble
from enclaver.cli import main as enclaver
from enclaver.core.eif.metadata import metadata
from enclaver.core.manifest import runtime_config
from enclaver.core.rootfs import cpio, cpio_writer

_MEMORY_MB = 512


def rewritten(eif: Path, folder: Path, **app: Any) -> Path:
    """Write an image like ``eif`` into a folder, whose app is another: ``argv``, ``cwd``, ``stop_signal``."""
    parts = folder / "parts"
    assert enclaver.main(["describe", str(eif), "--extract", str(parts)]) == 0
    tree = cpio.read(parts / "ramdisk-1.cpio")
    entry = tree.get(runtime_config.PATH)
    assert entry is not None
    config = json.loads(b"".join(map(bytes, tree.content(entry).chunks())))
    config["app"].update(app)
    tree.remove(runtime_config.PATH)
    tree.add_file(runtime_config.PATH, json.dumps(config).encode(), mode=0o400)
    with (folder / "app.cpio").open("wb") as out:
        cpio_writer.write(tree, out)
    assemble(
        kernel=parts / "kernel",
        cmdline=(parts / "cmdline").read_text(),
        ramdisks=[parts / "ramdisk-0.cpio", folder / "app.cpio"],
        architecture="x86_64",
        metadata=metadata(name="rewritten", version="1", tool_version="0", kernel_version="6", extras={}),
        memory_mb=_MEMORY_MB,
        cpus=1,
        output=folder / "rewritten.eif",
    )
    return folder / "rewritten.eif"
