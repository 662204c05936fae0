"""The real programs that integration tests run against, as build-support/ci-tools installs them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# Programs whose name on disk, or whose place, is not their name here.
_QEMU = "qemu-system-x86_64"
_CACHED = {
    "eif_build": "eif_build",
    "nitro-cli": "nitro-cli",
    "vhost-device-vsock": "vhost-device-vsock",
    "qemu-nitro": _QEMU,
}
_ON_PATH = {"qemu-microvm": _QEMU}


def tool_folder() -> Path:
    """Where build-support/ci-tools keeps what it builds."""
    if chosen := os.environ.get("ENCLAVER_TOOLS"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "enclaver-tools"


def require(name: str) -> Path:
    """The path of the tool ``name``; without it, the test is skipped, or fails with ENCLAVER_REQUIRE_TOOLS=1.

    Names: ``eif_build``, ``nitro-cli``, ``vhost-device-vsock``, ``qemu-nitro`` (the QEMU with the nitro-enclave
    machine), ``qemu-microvm`` (Debian's), ``kernel`` (a folder with bzImage and cmdline), ``enclaver.pex`` (our own
    command, packaged), and whatever program is to be on PATH.
    """
    if name == "kernel":
        path = _kernel()
    elif name == "enclaver.pex":
        path = _packaged(Path("pants-plugins.enclaver.cli") / name)
    elif name in _CACHED:
        path = _program(shutil.which(_CACHED[name], path=tool_folder() / "bin"))
    else:
        path = _program(shutil.which(_ON_PATH.get(name, name)))
    if path is not None:
        return path
    reason = f"{name} is missing: {_cure(name)}"
    if os.environ.get("ENCLAVER_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _program(found: str | None) -> Path | None:
    return Path(found) if found else None


def _kernel() -> Path | None:
    """A built kernel: ENCLAVER_KERNEL names its folder; else what was packaged in this checkout."""
    folders = [Path(chosen)] if (chosen := os.environ.get("ENCLAVER_KERNEL")) else []
    # Where Pants lays it for a test that depends on it; and where `package` leaves it.
    folders += [ROOT / "3rdparty.kernel" / "kernel", ROOT / "dist" / "3rdparty.kernel" / "kernel"]
    return next((folder for folder in folders if (folder / "bzImage").is_file()), None)


def _packaged(path: Path) -> Path | None:
    """What `package` has made: Pants lays it into a test's working folder, and leaves it in dist by hand."""
    return next((place for place in (ROOT / path, ROOT / "dist" / path) if place.is_file()), None)


def _cure(name: str) -> str:
    if name == "kernel":
        return "package 3rdparty/kernel, or set ENCLAVER_KERNEL to a folder with bzImage and cmdline"
    if name == "enclaver.pex":
        return "package pants-plugins/enclaver/cli:enclaver"
    tool = "qemu" if name == "qemu-nitro" else name if name in _CACHED else "apt"
    return f"run build-support/ci-tools {tool}"
