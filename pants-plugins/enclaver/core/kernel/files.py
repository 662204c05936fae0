"""A kernel as files: nitro-cli's blobs folder, whether AWS made it or this project built it.

``bzImage`` (x86_64) or ``Image`` (aarch64), ``cmdline``, and, where there are any, ``nsm.ko`` (a kernel
without the NSM driver built in), ``bzImage.config`` or ``Image.config``, and ``kernel.json``, which says what
a kernel was built from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from enclaver.core.eif.format import Architecture
from enclaver.core.eif.kernel_image import FILE_NAMES, UNKNOWN_RELEASE, inspect
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.regular import open_regular
from enclaver.core.trust.materials import Input, canonical_json, input_from_json, inputs_json

CMDLINE: Final = "cmdline"
MODULE: Final = "nsm.ko"
RECORD: Final = "kernel.json"
RECORD_VERSION: Final = 1
# Both architectures take 2048 bytes with the final NUL (COMMAND_LINE_SIZE in arch/*/include/*/asm/setup.h).
CMDLINE_LIMIT: Final = 2047

_ELF: Final = b"\x7fELF"
_RECORD_KEYS: Final = {"version", "architecture", "kernel_version", "inputs", "sha256"}
_CURE: Final = (
    "A kernel's folder holds bzImage (x86_64) or Image (aarch64) and cmdline, as nitro-cli's blobs folder does. "
    "Name such a folder, or build the kernel from source."
)


@dataclass(frozen=True, slots=True)
class KernelFiles:
    """A kernel's folder, read and found sound.

    Args:
        architecture: the image's, by its magic.
        release: what the image says (``6.12.117``), else what kernel.json says, else ``unknown``.
        image: path of bzImage or Image.
        cmdline: the command line's text, without a line break.
        module: path of nsm.ko, if the kernel needs it.
        config: path of the kernel's configuration, if it is known.
        inputs: the image itself first, then what it was built from, if it was built here.
    """

    architecture: Architecture
    release: str
    image: Path
    cmdline: str
    module: Path | None
    config: Path | None
    inputs: tuple[Input, ...]


def read(folder: Path, architecture: Architecture | None = None) -> KernelFiles:
    """Read a kernel's folder.

    Args:
        folder: the folder.
        architecture: of the image it is for; needed only where the folder has kernels for both.

    Raises:
        EnclaverError: there is no kernel or no command line, a file is not what its name says, the kernel is
            for another architecture, or kernel.json describes another one.
    """
    image = _image(folder, architecture)
    found = inspect(image)
    wanted = architecture or next(arch for arch, name in FILE_NAMES.items() if name == image.name)
    if found.architecture != wanted:
        raise EnclaverError(
            f"the file is a kernel for {found.architecture}, not for {wanted}", file=str(image), cure=_CURE
        )
    data = _bytes(image)
    digest = hashlib.sha256(data).hexdigest()
    record = _record(folder / RECORD, digest, found.architecture)
    release = record[0] if record and found.release == UNKNOWN_RELEASE else found.release
    version = None if release == UNKNOWN_RELEASE else release
    config = folder / f"{image.name}.config"
    return KernelFiles(
        architecture=found.architecture,
        release=release,
        image=image,
        cmdline=_cmdline(folder / CMDLINE),
        module=_module(folder / MODULE),
        config=config if config.is_file() else None,
        inputs=(Input("kernel", image.name, digest, len(data), version), *(record[1] if record else ())),
    )


def record_json(image: bytes, *, architecture: Architecture, release: str, inputs: Iterable[Input]) -> bytes:
    """Render kernel.json: which image it is about, by hash, and what that was built from; canonical."""
    return canonical_json(
        {
            "version": RECORD_VERSION,
            "architecture": architecture,
            "kernel_version": release,
            "sha256": hashlib.sha256(image).hexdigest(),
            "inputs": inputs_json(inputs),
        }
    )


def _image(folder: Path, architecture: Architecture | None) -> Path:
    if not folder.is_dir():
        raise EnclaverError("there is no such folder of kernel files", file=str(folder), cure=_CURE)
    names = [FILE_NAMES[architecture]] if architecture else list(FILE_NAMES.values())
    images = [folder / name for name in names if (folder / name).is_file()]
    if not images:
        raise EnclaverError(f"there is no kernel: no {' and no '.join(names)}", file=str(folder), cure=_CURE)
    if len(images) > 1:
        raise EnclaverError(
            f"the folder has both {' and '.join(names)}",
            file=str(folder),
            cure="Say which architecture the image is for.",
        )
    return images[0]


def _bytes(path: Path) -> bytes:
    try:
        with open_regular(path) as (file, _):
            return file.read()
    except EnclaverError as error:
        raise EnclaverError(error.what, file=error.file, cure=_CURE) from error


def _cmdline(path: Path) -> str:
    try:
        text = _bytes(path).decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise EnclaverError(
            "the kernel's command line is not ASCII text", file=str(path), place=f"offset {error.start:#x}"
        ) from error
    if not text:
        raise EnclaverError("the kernel's command line is empty", file=str(path), cure=_CURE)
    if not text.isprintable():
        raise EnclaverError("the kernel's command line is not one line of plain text", file=str(path))
    if len(text) > CMDLINE_LIMIT:
        raise EnclaverError(
            f"the kernel's command line has {len(text)} bytes; Linux takes {CMDLINE_LIMIT}", file=str(path)
        )
    return text


def _module(path: Path) -> Path | None:
    if not path.is_file():
        return None
    if not _bytes(path).startswith(_ELF):
        raise EnclaverError(
            "is not a kernel module",
            file=str(path),
            cure="Give it uncompressed, or remove it if the kernel has the driver built in.",
        )
    return path


def _record(path: Path, digest: str, architecture: Architecture) -> tuple[str, list[Input]] | None:
    if not path.exists():
        return None
    try:
        document: Any = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise EnclaverError("is not readable JSON", file=str(path), cure="Build the kernel again.") from error
    if not (
        isinstance(document, dict)
        and set(document) == _RECORD_KEYS
        and document["version"] == RECORD_VERSION
        and isinstance(document["kernel_version"], str)
        and isinstance(document["inputs"], list)
    ):
        raise EnclaverError("is no record of a kernel of this version", file=str(path), cure="Build it again.")
    if document["sha256"] != digest or document["architecture"] != architecture:
        raise EnclaverError(
            "describes another kernel than the one beside it",
            file=str(path),
            cure="Build the kernel again, or remove the description.",
        )
    return document["kernel_version"], [input_from_json(item, str(path)) for item in document["inputs"]]
