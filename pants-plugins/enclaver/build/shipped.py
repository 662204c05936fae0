"""What ships with the tool: the locks of what every image of a release is made of, and the sources that go into it."""

from __future__ import annotations

import hashlib
import importlib.util
from importlib import resources
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError

_LOCKS: Final = "enclaver.locks"
RUNTIME: Final = "enclaver_runtime"
TOOL: Final = "enclaver"


def lock(name: str) -> Path:
    """Return the path of a lock, or of another file that lies beside them.

    Raises:
        EnclaverError: this installation lacks it.
    """
    path = resources.files(_LOCKS).joinpath(name)
    if not isinstance(path, Path) or not path.is_file():
        raise _incomplete(f"{_LOCKS}/{name}")
    return path


def sources(package: str, folder: Path) -> Path:
    """Copy the Python sources of an installed package into a folder and return it: ``FOLDER/PACKAGE/...py``.

    Whatever else lies beside the package where it is installed is not in there.

    Raises:
        EnclaverError: it is not installed.
    """
    for path, data in _modules(package).items():
        target = folder / package / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def fingerprint() -> str:
    """Return the SHA-256 of the tool's own sources: what it has made before is what it would make while this stays."""
    digest = hashlib.sha256()
    for path, data in _modules(TOOL).items():
        digest.update(f"{path}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _modules(package: str) -> dict[str, bytes]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _incomplete(package)
    root = Path(next(iter(spec.submodule_search_locations)))
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.py"))}


def _incomplete(what: str) -> EnclaverError:
    return EnclaverError(f"this installation of enclaver has no {what}", cure="Install it anew, whole.")
