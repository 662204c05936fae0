"""The argument that names a manifest, and the manifest that it names."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from enclaver.build import manifest as manifests
from enclaver.core.manifest.document import MAX_BYTES
from enclaver.core.manifest.model import Manifest
from enclaver.core.manifest.parse import parse

#: The manifest of a command that is given none.
DEFAULT_FILE: Final = "enclaver.yaml"
#: What stands for standard input.
STDIN: Final = "-"
_STDIN_NAME: Final = "<stdin>"


def add(parser: argparse.ArgumentParser) -> None:
    """Add -f."""
    parser.add_argument(
        "-f",
        "--file",
        default=DEFAULT_FILE,
        metavar="FILE",
        help="the manifest; `-` reads it from standard input (default: %(default)s)",
    )


def read(file: str) -> tuple[Manifest, bytes]:
    """Return a manifest, and its bytes: those of a pipe can't be read again, and a file may become another one.

    Raises:
        EnclaverError: it is invalid or cannot be read.
    """
    if file == STDIN:
        data, name = sys.stdin.buffer.read(MAX_BYTES + 1), _STDIN_NAME
    else:
        data, name = manifests.data(Path(file)), file
    return parse(data, name), data


def folder_of(file: str) -> Path:
    """Return the folder that a manifest's paths are relative to: of a pipe, the current one."""
    return Path() if _is_pipe(file) else Path(file).parent


def _is_pipe(file: str) -> bool:
    """Whether a manifest comes by standard input, or by a pipe with a name, as a shell's `<(...)` gives one."""
    return file == STDIN or Path(file).is_fifo()
