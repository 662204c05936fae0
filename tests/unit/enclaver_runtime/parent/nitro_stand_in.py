"""A stand-in for nitro-cli: enclaves are processes that sleep, and a folder holds a file for each.

What it takes and writes is what AWS publishes: the command reference and "Nitro Enclaves CLI error codes" of the Nitro
Enclaves user guide, and the output of aws-nitro-enclaves-cli 1.5.2 (json_output.rs, document_errors.rs): progress on
standard error, JSON on standard output, after a failure ``[ E26 ] ...`` and a line of help, and the code as exit code.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

_PROGRAM = """\
#!{python}
import argparse, json, os, select, signal, subprocess, sys
from pathlib import Path

ENCLAVES, FAIL = Path({enclaves!r}), {fail!r}
parser = argparse.ArgumentParser(allow_abbrev=False)
commands = parser.add_subparsers(dest="command", required=True)
run = commands.add_parser("run-enclave", allow_abbrev=False)
for option in ("--cpu-count", "--memory"):
    run.add_argument(option, type=int)
for option in ("--eif-path", "--enclave-name", "--enclave-cid"):
    run.add_argument(option)
for option in ("--debug-mode", "--attach-console"):
    run.add_argument(option, action="store_true")
commands.add_parser("describe-enclaves", allow_abbrev=False)
for name in ("terminate-enclave", "console"):
    command = commands.add_parser(name, allow_abbrev=False)
    command.add_argument("--enclave-id")
    command.add_argument("--enclave-name")
args = parser.parse_args()
if not Path(os.environ.get("NITRO_CLI_LOGS_PATH", "/var/log/nitro_enclaves")).is_dir():
    sys.exit("no folder for the log")
with (ENCLAVES / "calls").open("a") as calls:
    print(*sys.argv[1:], file=calls)

def fail(code, text):
    link = "For more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#" + code
    print(f"[ {{code}} ] {{text}}\\n\\n{{link}}\\n\\nIf you open a support ticket, please provide the error log"
          ' found at "/x/err.log"', file=sys.stderr)
    sys.exit(int(code[1:]))

def enclaves():
    return [json.loads(path.read_bytes()) for path in sorted(ENCLAVES.glob("*.json"))]

if args.command in FAIL:
    for line in FAIL[args.command][:-1]:
        print(line, file=sys.stderr)
    fail(*FAIL[args.command][-1])
if args.command == "run-enclave":
    print("Start allocating memory...", file=sys.stderr)
    holder = subprocess.Popen(["sleep", "1000"], start_new_session=True, stdin=-3, stdout=-3, stderr=-3)
    info = {{"EnclaveName": args.enclave_name, "EnclaveID": "i-abc12345def67890a-enc9876abcd543210ef12",
             "ProcessID": holder.pid, "EnclaveCID": 10, "NumberOfCPUs": args.cpu_count,
             "CPUIDs": [1, 3], "MemoryMiB": args.memory}}
    more = {{"State": "RUNNING", "Flags": "DEBUG_MODE" if args.debug_mode else "NONE"}}
    (ENCLAVES / (args.enclave_name + ".json")).write_text(json.dumps({{**info, **more}}))
    print("Started enclave with enclave-cid: 10, memory: 512 MiB, cpu-ids: [1, 3]", file=sys.stderr)
    print(json.dumps(info, indent=2))
elif args.command == "describe-enclaves":
    print(json.dumps(enclaves(), indent=2))
elif args.command == "console":
    print("Connecting to the console for enclave 10...\\nSuccessfully connected to the console.")
    print("[    0.000000] Linux version 6.12", flush=True)
    pid = next(one["ProcessID"] for one in enclaves() if one["EnclaveID"] == args.enclave_id)
    select.select([os.pidfd_open(pid)], [], [])
else:
    found = [one for one in enclaves() if one["EnclaveName"] == args.enclave_name]
    if not found:
        fail("E58", "Naming error. Such error appears when trying to perform an enclave operation using the enclave "
             "name and the name is invalid.")
    os.kill(found[0]["ProcessID"], signal.SIGKILL)
    (ENCLAVES / (args.enclave_name + ".json")).unlink()
    print("Successfully terminated enclave " + found[0]["EnclaveID"] + ".", file=sys.stderr)
    print(json.dumps({{"EnclaveName": args.enclave_name, "EnclaveID": found[0]["EnclaveID"], "Terminated": True}}))
"""


class StandIn:
    """The program, and what was done with it.

    Args:
        folder: where it and its enclaves are.
        fail: what a command says before it fails: lines, then a code and its text.
    """

    def __init__(self, folder: Path, **fail: list[Any]) -> None:
        self.program = folder / "nitro-cli"
        self._enclaves = folder / "enclaves"
        self._enclaves.mkdir()
        failures = {name.replace("_", "-"): said for name, said in fail.items()}
        self.program.write_text(
            _PROGRAM.format(python=sys.executable, enclaves=str(self._enclaves), fail=failures), encoding="utf-8"
        )
        self.program.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """The command lines so far."""
        path = self._enclaves / "calls"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def enclaves(self) -> list[dict[str, Any]]:
        """The enclaves that run."""
        return [json.loads(path.read_bytes()) for path in self._enclaves.glob("*.json")]

    def add(self, name: str, cpus: int, memory_mb: int) -> None:
        """Let an enclave of somebody else's run."""
        enclave = {"EnclaveName": name, "EnclaveID": f"i-{name}-enc1", "ProcessID": os.getpid(), "EnclaveCID": 11}
        more = {"NumberOfCPUs": cpus, "CPUIDs": [5], "MemoryMiB": memory_mb, "State": "RUNNING", "Flags": "NONE"}
        (self._enclaves / f"{name}.json").write_text(json.dumps({**enclave, **more}))

    def crash(self) -> None:
        """Let the one enclave that runs end by itself."""
        (enclave,) = self.enclaves
        (self._enclaves / f"{enclave['EnclaveName']}.json").unlink()
        os.kill(enclave["ProcessID"], 9)
