from __future__ import annotations

import resource
from pathlib import Path

import pytest

from enclaver.build.boot_parts import boot_parts
from enclaver.build.image import assemble
from enclaver.core.eif.metadata import metadata
from enclaver.core.eif.reader import read
from tests.unit.enclaver.build.test_image import bz_image
from tests.unit.enclaver.core.eif.images import image_bytes, plan, saved


def test_the_parts_are_those_that_went_in_each_ramdisk_at_a_multiple_of_four(tmp_path: Path) -> None:
    (tmp_path / "bzImage").write_bytes(bz_image())
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode() * 99)
    assemble(
        kernel=tmp_path / "bzImage",
        cmdline="console=ttyS0",
        ramdisks=[tmp_path / "one", tmp_path / "two"],
        architecture="x86_64",
        metadata=metadata(name="n", version="1", tool_version="0", kernel_version="6", extras={}),
        output=tmp_path / "x.eif",
    )
    folder = tmp_path / "parts"
    folder.mkdir()
    parts = boot_parts(read(tmp_path / "x.eif"), folder)
    assert parts.kernel.read_bytes() == bz_image()
    assert parts.ramdisk.read_bytes() == b"one" * 99 + bytes(3) + b"two" * 99 + bytes(3)
    assert parts.cmdline == "console=ttyS0"


def test_a_folder_without_room_is_named(tmp_path: Path) -> None:
    made = read(saved(tmp_path, image_bytes(plan(bytes(100_000)))))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            boot_parts(made, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path)
