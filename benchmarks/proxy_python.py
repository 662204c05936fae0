"""Which Python runs both sides of benchmarks/proxy.py, and where that finds their modules.

In an image it is Debian's, in the enclave's boot ramdisk and in the target image alike, so it is Debian's that is
measured, where this machine has it: how CPython was built makes more of a difference than most changes do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

#: Debian's.
DEFAULT = Path("/usr/bin/python3.11")

_WANTED = ("cpython", 3, 11)
_ASK = "import json, sys; print(json.dumps([sys.implementation.name, *sys.version_info[:3]]))"
_PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class Python:
    """An interpreter: its path and version, and why it is this one."""

    path: str
    version: str
    why: str


def choose(asked: Path | None) -> Python:
    """The one asked for, else Debian's where there is one, else the one that runs this.

    Raises:
        ValueError: the one asked for is no CPython 3.11.
    """
    path = asked or DEFAULT
    version = _version(path)
    if version:
        return Python(str(path), version, "asked for" if asked else "Debian's, which runs both sides in an image")
    if asked:
        raise ValueError(f"{asked} is no CPython 3.11 that runs here")
    current = ".".join(map(str, sys.version_info[:3]))
    return Python(sys.executable, current, f"the benchmark's own, as {path} is no CPython 3.11")


def _version(path: Path) -> str:
    """The version of a CPython 3.11; empty if it is anything else."""
    try:
        ran = subprocess.run(
            [str(path), "-I", "-c", _ASK], capture_output=True, timeout=_PATIENCE_SECONDS, check=True, text=True
        )
        name, *numbers = json.loads(ran.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""
    return ".".join(map(str, numbers)) if (name, *numbers[:2]) == _WANTED else ""


def search_path() -> list[str]:
    """Where this process finds modules, but for its standard library: another interpreter has its own."""
    own = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sysconfig.get_config_var("DESTSHARED")}
    zipped = "python{}{}.zip".format(*sys.version_info)
    return [path for path in sys.path if path not in own and Path(path).name != zipped]
