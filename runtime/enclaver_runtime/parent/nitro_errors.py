"""What nitro-cli says when it fails, in fewer words, and what mends it.

Its messages begin with ``[ E26 ]`` and a sentence; a failed launch has several, of which the first is the cause.
Source: AWS, "Nitro Enclaves CLI error codes" (the user guide), and the messages of nitro-cli 1.5.2.
"""

from __future__ import annotations

import re

_MESSAGE = re.compile(r"\[ (E\d\d) \] (.*?)(?=\n\n|\n?\[ E\d\d \]|\Z)", re.DOTALL)
_LONGEST = 400

_ALLOCATOR = "/etc/nitro_enclaves/allocator.yaml, then `systemctl restart nitro-enclaves-allocator.service`"
_PROCESSORS = f"give it less with --cpu-count, or raise cpu_count in {_ALLOCATOR}"
_MEMORY = f"give it less with --memory-mb, or raise memory_mib in {_ALLOCATOR}"
_DEVICE = "the instance needs enclaves enabled and the nitro_enclaves driver; the user has to be in the group ne"
_LOGS = "set NITRO_CLI_LOGS_PATH to a folder that you can write to"
_BOOT = "with --debug-mode its console tells more; a signature must be by a certificate that has not expired"

#: What the failures that a user can mend need.
_CURES = {
    "E07": "`systemctl start nitro-enclaves-allocator.service` makes /run/nitro_enclaves",
    "E18": _LOGS,
    "E19": _DEVICE,
    "E20": _PROCESSORS,
    "E21": _PROCESSORS,
    "E22": _PROCESSORS,
    "E26": "give it more with --memory-mb: four times the image at least",
    "E27": _MEMORY,
    "E28": _DEVICE,
    "E31": _MEMORY,
    "E32": "processors are given by whole cores: --cpu-count has to be a multiple of the threads of one, often 2",
    "E33": _BOOT,
    "E35": _MEMORY,
    "E36": _BOOT,
    "E42": _MEMORY,
    "E56": _LOGS,
    "E59": "sign the image again: its certificate is not valid today, or the signature is not the certificate's",
}

#: Failures for want of what other enclaves may hold.
SCARCE = frozenset({"E21", "E22", "E27", "E31", "E32", "E35", "E42"})


def explain(said: str) -> tuple[str, str, str]:
    """The code, the sentence and the cure of what nitro-cli wrote; code and cure are empty where there is none."""
    if found := _MESSAGE.search(said):
        code, sentence = found[1], " ".join(found[2].split())
        return code, f"{code}: {sentence[:_LONGEST]}", _CURES.get(code, "")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "", " ".join(lines[-3:])[:_LONGEST], ""
