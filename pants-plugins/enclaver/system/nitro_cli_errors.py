"""What ``nitro-cli build-enclave`` says when it fails, in fewer words, and what mends it.

On standard error it writes ``[ E48 ]`` and a sentence that is the same for all failures of a kind; what has failed is
in a log of its own, in the folder of its logs, below ``Subactions:``. Source: AWS, "Nitro Enclaves CLI error codes"
(the user guide); aws-nitro-enclaves-cli 1.5.2 and its enclave_build 2.0.0.
"""

from __future__ import annotations

import re
from typing import Final

from enclaver.core.errors import EnclaverError

_CODE: Final = re.compile(r"\[ (E\d\d) \] (.*?)(?:\n\n|\Z)", re.DOTALL)
# What Rust writes of a program's own mistake: where, in a line, and then what.
_PANIC: Final = re.compile(r"panicked at [^\n]*:\n(.*?)(?:\nstack backtrace:|\nnote: |\Z)", re.DOTALL)
_SUBACTION: Final = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)
_LONGEST: Final = 600
_LINES: Final = 3

_BLOBS: Final = "install aws-nitro-enclaves-cli-devel, or name a folder that has what it brings"
_ROOM: Final = "make room where the output goes, three times the image, and where the daemon keeps its images"
# The first that a failure's words hold decides.
_CAUSES: Final = (
    ("no space left on device", "there is no space left on the device", _ROOM),
    ("StorageFull", "there is no space left on the device", _ROOM),
    (
        "DockerError",
        "it can't use the docker daemon",
        "start the daemon, or set DOCKER_HOST to one; nitro-cli takes unix, tcp and http addresses, and no contexts",
    ),
    ("InitPathError", "the blobs folder has no init", _BLOBS),
    ("NsmPathError", "the blobs folder has no nsm.ko", _BLOBS),
    ("KernelPathError", "the blobs folder has no kernel", _BLOBS),
    ("LinuxkitPathError", "the blobs folder has no linuxkit", _BLOBS),
    (
        "LinuxkitExecError",
        "linuxkit, from the blobs folder, has failed",
        "see what it says; it has to be an executable for this machine, and to reach the docker daemon",
    ),
    ("kernel image config file", "the blobs folder has no configuration of the kernel", _BLOBS),
    ("UnsupportedArchError", "the docker image is for a machine that Nitro does not have", "build it for this one"),
)
# By code, where the words say nothing that is known.
_CURES: Final = {
    "E19": f"check that the blobs folder and the output's can be read and written, or {_BLOBS}",
    "E50": "check that the docker daemon is the one that has the image: DOCKER_HOST",
    "E51": "set HOME or NITRO_CLI_ARTIFACTS",
    "E52": _BLOBS,
    "E56": "set NITRO_CLI_LOGS_PATH to a folder that you can write to",
}
_UNKNOWN: Final = "AWS explains the codes in the Nitro Enclaves user guide, and `nitro-cli explain --error-code` does"
_NO_CODE: Final = "look at the blobs folder and at the memory that is free; nothing else is known of it"


def explain(said: str, log: str, status: int) -> EnclaverError:
    """Return the error for a build that has failed.

    Args:
        said: what nitro-cli wrote on standard error.
        log: its log of the failure, if there is one.
        status: its exit code; negative for the signal that ended it.
    """
    found = _CODE.search(said)
    code = found[1] if found else ""
    detail = _detail(said, log)
    for words, what, cure in _CAUSES:
        if words in said or words in log:
            return _error(code, f"{what}: {detail}" if detail else what, cure)
    ended = f"it was ended by signal {-status}" if status < 0 else f"it ended with {status}"
    sentence = " ".join(found[2].split())[:_LONGEST] if found else ended
    return _error(code, detail or sentence, _CURES.get(code, _UNKNOWN if code else _NO_CODE))


def _error(code: str, what: str, cure: str) -> EnclaverError:
    where = f"nitro-cli build-enclave failed ({code})" if code else "nitro-cli build-enclave failed"
    return EnclaverError(f"{where}: {what}", cure=f"{cure[0].upper()}{cure[1:]}.")


def _detail(said: str, log: str) -> str:
    """Return what was written before the code, and the last of the log's steps, which is the one that failed."""
    if panic := _PANIC.search(said):
        return f"it panicked: {' '.join(panic[1].split())}"[:_LONGEST]
    steps = _SUBACTION.findall(log.partition("Subactions:")[2])
    before = said.partition("[ E")[0].splitlines()
    # Its own progress tells nothing.
    lines = [line.strip() for line in before if line.strip() and not line.startswith(("Start building", "Using the"))]
    return "; ".join([*lines[-_LINES:], *steps[-1:]])[:_LONGEST]
