"""A PEX as the folder that Python runs as it runs the file.

Unpacked, every file of the app is an entry of the image with a digest of its own, and nothing is unpacked at every
start of the enclave. Of pex's layouts, ``zipapp`` is a zip of that folder, ``loose`` is that folder, and ``packed`` is
a folder of zips that pex itself unpacks into its cache when it starts.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import directory, zipped
from enclaver.core.rootfs.damage import DAMAGE
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree

_INFO: Final = "PEX-INFO"
_MAIN: Final = "__main__.py"
# pex's own code: a folder in the loose layout, a zip in the packed one.
_BOOTSTRAP: Final = ".bootstrap"


def is_pex(path: Path) -> bool:
    """Tell whether a file or a folder is a PEX: Python can run it, and it carries a PEX-INFO."""
    if path.is_dir():
        return (path / _INFO).is_file() and (path / _MAIN).is_file()
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (*DAMAGE, OSError):
        return False
    return _INFO in names and _MAIN in names


def read(path: Path, spool: Spool, *, origin: str) -> Tree:
    """Read a PEX, a file or a folder; contents of a file go to the spool.

    Raises:
        EnclaverError: its layout is ``packed``; else as zipped.read and directory.read.
    """
    if not path.is_dir():
        return zipped.read(path, spool, origin=origin)
    if (path / _BOOTSTRAP).is_file():
        raise EnclaverError(
            "a PEX of the packed layout unpacks itself at every start of the enclave",
            file=str(path),
            cure='Set layout="zipapp" or layout="loose" on its pex_binary.',
        )
    return directory.read(path, origin=origin)
