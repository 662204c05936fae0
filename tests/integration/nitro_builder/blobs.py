"""A folder of blobs as nitro-cli takes it, made here: this project's kernel, and stand-ins for what AWS makes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.integration.nitro_builder import linuxkit
from tests.integration.tools import require

INIT = Path(__file__).with_name("init.c")
# Whatever the test is run by, the program has what this process has.
_LINUXKIT = """\
#!{python}
import runpy, sys
sys.path[:] = {path!r}
runpy.run_path({program!r}, run_name="__main__")
"""


def make(folder: Path, *defines: str) -> Path:
    """Fill a folder; ``defines`` are for the first process (see init.c)."""
    folder.mkdir()
    kernel = require("kernel")
    for name in ("bzImage", "bzImage.config", "cmdline"):
        shutil.copy(kernel / name, folder / name)
    compile_init(folder / "init", *defines)
    make_linuxkit(folder / "linuxkit")
    # A driver that no kernel would take: the one here has its own, and the stand-in for init loads none.
    compiler("-c", "-x", "c", "/dev/null", "-o", folder / "nsm.ko")
    return folder


def compile_init(path: Path, *defines: str) -> None:
    """Compile the first process. What is in it must not depend on where this checkout lies."""
    compiler("-static", "-O2", "-Wall", "-Wextra", "-Werror", *(f"-D{name}" for name in defines), INIT, "-o", path)


def make_linuxkit(path: Path) -> None:
    """Write linuxkit's stand-in as a program."""
    path.write_text(_LINUXKIT.format(python=sys.executable, path=sys.path, program=linuxkit.__file__))
    path.chmod(0o755)


def compiler(*argv: str | Path) -> None:
    """Run gcc."""
    subprocess.run([require("gcc"), *argv], check=True)
