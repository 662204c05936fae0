"""Wheels from the package index, by pip: pure Python ones, each of the hash its lock says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from enclaver.core.errors import EnclaverError

_TAIL = 20


def download(lock: Path, output: Path, *, indexes: Sequence[str] = (), find_links: Sequence[str] = ()) -> None:
    """Fetch every wheel of a requirements file with hashes into a folder.

    Args:
        lock: the requirements, each with its hashes; nothing that is not in it is fetched.
        output: the folder; pip makes it.
        indexes: package indexes, the first one the main one; pip's own default when empty.
        find_links: further places pip looks in.

    Raises:
        EnclaverError: pip could not; the message holds what it said last.
    """
    certificates = os.environ.get("SSL_CERT_FILE")
    command = [
        # Not from the working folder: it holds inputs, whatever their names are.
        *(sys.executable, "-P", "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input", "--quiet"),
        *("download", "--no-deps", "--require-hashes", "--requirement", str(lock), "--dest", str(output)),
        # One set of wheels for every machine and architecture: no platform, no ABI, nothing compiled.
        *("--only-binary", ":all:", "--platform", "any", "--implementation", "py", "--abi", "none"),
        *("--python-version", "3.11", "--progress-bar", "off"),
        # OpenSSL's own variable, which pip leaves unread when it brings its own certificates.
        *(("--cert", certificates) if certificates else ()),
        *(() if not indexes else ("--index-url", indexes[0])),
        *(word for index in indexes[1:] for word in ("--extra-index-url", index)),
        *(word for link in find_links for word in ("--find-links", link)),
    ]
    # sys.path carries the requirements of this process (a PEX, a virtual environment) to pip's.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run(command, capture_output=True, check=False, env=environment)
    if result.returncode:
        told = (result.stdout + result.stderr).decode("utf-8", "replace").strip()
        tail = "\n".join(told.splitlines()[-_TAIL:])
        raise EnclaverError(
            f"pip could not fetch the wheels:\n{tail}",
            file=lock.name,
            cure="Check that the package index can be reached, or name another one.",
        )
