"""The kernel of a release, for whoever names no other: built from source once, then kept."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from enclaver.build import debian, kernel, kernel_source, shipped
from enclaver.core.errors import EnclaverError
from enclaver.system.partial import locked
from enclaver.system.scratch import scratch_folder

ARCHITECTURE: Final = "x86_64"
_TOOLCHAIN: Final = "kernel-toolchain.amd64.lock.json"
_SOURCE: Final = "kernel.source-lock.json"
_CONFIG: Final = "kernel.x86_64.config"


def check(architecture: str) -> None:
    """Refuse an architecture that the release has no kernel for. Raises EnclaverError."""
    if architecture != ARCHITECTURE:
        raise EnclaverError(
            f"this release has no kernel for {architecture}",
            cure="Name one with --kernel: a folder with Image and cmdline, such as nitro-cli's blobs folder.",
        )


def default_kernel(*, architecture: str, cache: Path, mirrors: Sequence[str], progress: Callable[[str], None]) -> Path:
    """Return the folder of the release's kernel, which is built if it is not in the cache.

    Args:
        architecture: the enclave's.
        cache: a folder; the kernel is kept in ``kernels/KEY`` there, the key being of all that it is built from.
        mirrors: as for ``debian.fetch``.
        progress: called with lines.

    Raises:
        EnclaverError: there is none for the architecture, or it cannot be built here.
    """
    check(architecture)
    locks = [shipped.lock(name) for name in (_TOOLCHAIN, _SOURCE, _CONFIG)]
    key = hashlib.sha256("\0".join([shipped.fingerprint(), *map(_sha256, locks)]).encode()).hexdigest()
    output = cache / "kernels" / key
    if output.is_dir():
        return output
    output.parent.mkdir(parents=True, exist_ok=True)
    # Two builds at once would take twice as long, and make the same.
    with locked(
        output.with_name(f"{key}.lock"), waiting=lambda: progress("waiting for the kernel that another builds")
    ):
        if not output.is_dir():
            _build(locks, output, cache / "downloads", mirrors, progress)
    return output


def _build(
    locks: Sequence[Path], output: Path, downloads: Path, mirrors: Sequence[str], progress: Callable[[str], None]
) -> None:
    toolchain_lock, source_lock, config = locks
    with scratch_folder(output.parent, prefix=".fetched-") as work:
        debian.fetch(lock=toolchain_lock, output=work / "debs", cache=downloads, mirrors=mirrors, progress=progress)
        source = kernel_source.fetch(
            lock=source_lock, output=work / "source", cache=downloads, mirrors=mirrors, progress=progress
        )
        # The record of a kernel names its configuration, and it is to be called the same whoever builds it.
        fragment = Path(shutil.copyfile(config, work / "kernel.config"))
        kernel.build(
            toolchain_lock=toolchain_lock,
            debs=work / "debs",
            source=source,
            source_lock=source_lock,
            config=fragment,
            output=output,
            progress=progress,
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
