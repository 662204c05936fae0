"""The public snapshot archive, which keeps every package that Debian ever published: the last resort of a fetch.

Its machine-readable interface tells, for a binary package's name and version, the SHA-1 under which it keeps each
architecture's file: ``/mr/binary/NAME/VERSION/binfiles?fileinfo=1``; the bytes are at ``/file/SHA1``. The SHA-1
is an address here and proves nothing: what comes is checked by the lock's SHA-256 like anything else. The archive
itself could not be reached from where this was written, so this is tested against a local copy of its interface.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import Any, Final

from enclaver.system import download

ROOT: Final = "https://snapshot.debian.org"
_ANSWER_LIMIT: Final = 1 << 20
_SHA1: Final = re.compile(r"[0-9a-f]{40}")


def locate(name: str, version: str, *, file_name: str, size: int, timeout: float, root: str) -> str:
    """The URL of a package's file in the snapshot archive.

    ``file_name`` is the last part of the pool path and ``size`` the length in bytes: together they single out the
    architecture. ``root`` is ROOT but for tests. Raises download.TransferError.
    """
    quoted = "/".join(urllib.parse.quote(part, safe="") for part in (name, version))
    url = f"{root}/mr/binary/{quoted}/binfiles?fileinfo=1"
    answer = download.read(url, limit=_ANSWER_LIMIT, timeout=timeout)
    try:
        files: dict[str, list[dict[str, Any]]] = json.loads(answer)["fileinfo"]
        for digest, places in files.items():
            if _SHA1.fullmatch(digest) and any(p["name"] == file_name and p["size"] == size for p in places):
                return f"{root}/file/{digest}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise download.TransferError("its answer cannot be read") from error
    raise download.TransferError(f"it does not know {file_name}")
