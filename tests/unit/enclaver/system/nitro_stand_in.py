"""A stand-in for nitro-cli build-enclave, for tests without a daemon: it copies an image and says what it was told."""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """\
#!{python}
import json, os, shutil, sys, time
if sys.argv[1:] == ["--version"]:
    print("Nitro CLI 1.5.2")
    sys.exit()
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
names = ["DOCKER_HOST", "HOME", "NITRO_CLI_ARTIFACTS", "NITRO_CLI_BLOBS", "NITRO_CLI_LOGS_PATH", "TMPDIR"]
call = {{"command": sys.argv[1], **arguments, **{{name: os.environ.get(name) for name in names}}}}
open({calls!r}, "w").write(json.dumps(call))
{then}
shutil.copy({eif!r}, arguments["--output-file"])
sys.stdout.write(open({says!r}).read())
"""


def make(folder: Path, *, eif: Path, says: Path, then: str = "") -> Path:
    """Write the program: it leaves what it was asked for in ``folder/call``, does ``then``, and succeeds."""
    program = folder / "nitro-cli"
    program.write_text(
        _PROGRAM.format(python=sys.executable, calls=str(folder / "call"), eif=str(eif), says=str(says), then=then)
    )
    program.chmod(0o755)
    return program


def make_blobs(folder: Path, kernel: bytes, *, module: bytes = b"\x7fELF") -> Path:
    """Fill a folder of blobs for an x86_64."""
    folder.mkdir()
    contents = {
        "bzImage": kernel,
        "bzImage.config": b"#\n#\n# Linux/x86 6.12 Kernel Configuration\n",
        "cmdline": b"console=ttyS0\n",
        "init": b"init",
        "nsm.ko": module,
        "linuxkit": b"linuxkit",
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / "linuxkit").chmod(0o755)
    return folder
