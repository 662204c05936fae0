"""A kernel's folder: what is taken, and what is refused with which words."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.kernel.files import CMDLINE_LIMIT, read, record_json
from enclaver.core.trust.materials import Input


def bzimage(release: str = "6.12.117 (enclaver@enclaver) #1") -> bytes:
    """The parts of a bzImage that tell what it is: "HdrS" and where the version's text lies."""
    data = bytearray(0x1000)
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x20E, 0x600)
    text = release.encode() + b"\0"
    data[0x800 : 0x800 + len(text)] = text
    return bytes(data)


def image() -> bytes:
    """An aarch64 Image's first bytes."""
    return bytes(56) + b"ARM\x64" + bytes(64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bzImage").write_bytes(bzimage())
    (tmp_path / "cmdline").write_text("reboot=k console=ttyS0\n")
    return tmp_path


def test_the_smallest_folder_is_a_kernel_and_a_command_line(folder: Path) -> None:
    found = read(folder)
    assert (found.architecture, found.release, found.cmdline) == ("x86_64", "6.12.117", "reboot=k console=ttyS0")
    assert (found.module, found.config) == (None, None)
    assert found.image == folder / "bzImage"
    digest = hashlib.sha256(bzimage()).hexdigest()
    assert found.inputs == (Input("kernel", "bzImage", digest, len(bzimage()), "6.12.117"),)


def test_module_and_configuration_are_found(folder: Path) -> None:
    (folder / "nsm.ko").write_bytes(b"\x7fELF...")
    (folder / "bzImage.config").write_text("CONFIG_A=y\n")
    found = read(folder, "x86_64")
    assert found.module == folder / "nsm.ko"
    assert found.config == folder / "bzImage.config"


def test_an_aarch64_kernel_is_recognised(folder: Path) -> None:
    (folder / "bzImage").unlink()
    (folder / "Image").write_bytes(image())
    found = read(folder)
    assert (found.architecture, found.release) == ("aarch64", "unknown")
    assert found.inputs[0].version is None


def test_of_two_kernels_the_architecture_chooses(folder: Path) -> None:
    (folder / "Image").write_bytes(image())
    assert read(folder, "aarch64").image.name == "Image"
    with pytest.raises(EnclaverError, match="has both bzImage and Image"):
        read(folder)


def test_a_built_kernel_says_what_it_was_built_from(folder: Path) -> None:
    source = Input("source", "linux-source-6.12", "0" * 64, 5, "6.12.117-1")
    record = record_json(bzimage(), architecture="x86_64", release="6.12.117", inputs=[source])
    (folder / "kernel.json").write_bytes(record)
    assert read(folder).inputs[1:] == (source,)
    assert json.loads(record)["sha256"] == hashlib.sha256(bzimage()).hexdigest()
    assert json.loads(record)["version"] == 1


def test_the_record_tells_the_release_where_the_image_does_not(folder: Path) -> None:
    (folder / "bzImage").unlink()
    (folder / "Image").write_bytes(image())
    (folder / "kernel.json").write_bytes(record_json(image(), architecture="aarch64", release="6.1.9", inputs=[]))
    assert read(folder).release == "6.1.9"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("bzImage", None, "there is no kernel: no bzImage and no Image"),
        ("bzImage", b"", "neither an x86_64 bzImage"),
        ("bzImage", b"\x7fELF" * 300, "neither an x86_64 bzImage"),
        ("bzImage", image(), "is a kernel for aarch64, not for x86_64"),
        ("cmdline", None, "cmdline: cannot read: No such file"),
        ("cmdline", b"\n", "command line is empty"),
        ("cmdline", b"a\nb", "not one line"),
        ("cmdline", b"a\0b", "not one line"),
        ("cmdline", b"\xc3\xa4", "not ASCII"),
        ("cmdline", b"a" * (CMDLINE_LIMIT + 1), "Linux takes 2047"),
        ("nsm.ko", b"\xfd7zXZ", "nsm.ko: is not a kernel module"),
        ("kernel.json", b"{", "not readable JSON"),
        ("kernel.json", b"[" * 100_000, "not readable JSON"),
        ("kernel.json", b"[]", "no record of a kernel"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(folder: Path, name: str, data: bytes | None, message: str) -> None:
    (folder / name).unlink(missing_ok=True)
    if data is not None:
        (folder / name).write_bytes(data)
    with pytest.raises(EnclaverError, match=message):
        read(folder)


def test_a_fifo_is_refused_and_not_waited_for(folder: Path) -> None:
    (folder / "cmdline").unlink()
    os.mkfifo(folder / "cmdline")
    with pytest.raises(EnclaverError, match="cmdline: is not a regular file"):
        read(folder)


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match=r"(?s)no such folder of kernel files.*build the kernel from source"):
        read(tmp_path / "none")


def test_a_folder_without_the_wanted_architecture_is_refused(folder: Path) -> None:
    with pytest.raises(EnclaverError, match="there is no kernel: no Image"):
        read(folder, "aarch64")


@pytest.mark.parametrize(
    "changes",
    [{"version": 2}, {"kernel_version": 6}, {"inputs": {}}, {"more": 1}, {"sha256": "0"}, {"architecture": "aarch64"}],
)
def test_a_record_of_another_kernel_or_version_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    record = json.loads(record_json(bzimage(), architecture="x86_64", release="6.12.117", inputs=[]))
    (folder / "kernel.json").write_text(json.dumps({**record, **changes}))
    with pytest.raises(EnclaverError, match=r"no record of a kernel|describes another kernel"):
        read(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=0x300), st.binary(max_size=64))
def test_any_bytes_are_a_kernel_or_refused(folder: Path, data: bytes, cmdline: bytes) -> None:
    (folder / "bzImage").write_bytes(data)
    (folder / "cmdline").write_bytes(cmdline)
    with pytest.raises(EnclaverError):
        read(folder)
