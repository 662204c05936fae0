"""``nitro-cli``, AWS's program that makes enclaves, as far as a run needs it.

What it is asked for has a name, which nobody else's enclave has: so an enclave can be ended by whoever knows the name,
also before nitro-cli has told its id. Names are there since 1.2. Source: AWS, the command reference in the Nitro
Enclaves user guide; aws-nitro-enclaves-cli 1.5.2.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import trio

from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.nitro_errors import SCARCE, explain

_PROGRAM = "nitro-cli"
_LOGS = "NITRO_CLI_LOGS_PATH"
_DEFAULT_LOGS = Path("/var/log/nitro_enclaves")

# For the one who has to end an enclave after its runner was killed, perhaps while it was being made: until it has a
# name, it cannot be ended. The folder is for nitro-cli's log, without which it does not work; the runner's is gone.
_TERMINATE = """
logs=$(mktemp -d) || exit
for try in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29; do
  NITRO_CLI_LOGS_PATH=$logs "$1" terminate-enclave --enclave-name "$2" && break
  sleep 2
done
rm -rf "$logs"
"""


@dataclass(frozen=True, slots=True)
class Enclave:
    """An enclave as nitro-cli describes it; ``process`` is the one on this machine that holds its resources."""

    name: str
    id: str
    process: int
    cid: int
    cpus: int
    memory_mb: int

    def __str__(self) -> str:
        return f"{self.name} ({self.cpus} processors, {self.memory_mb} MiB)"


class NitroCli:
    """The program, and where it may write its log."""

    def __init__(self, program: Path, *, environment: Mapping[str, str]) -> None:
        self.program = program
        #: The environment that it needs.
        self.environment = environment

    async def run_enclave(self, eif: Path, *, name: str, memory_mb: int, cpus: int, debug: bool) -> Enclave:
        """Make an enclave of the image ``eif``; returns when it has booted.

        Not cancelled before it returns, since nobody could end an enclave that is half made.

        Raises:
            ParentError: nitro-cli could not; says why and what mends it.
        """
        arguments = ["--eif-path", str(eif.absolute()), "--enclave-name", name]
        arguments += ["--memory", str(memory_mb), "--cpu-count", str(cpus), *(["--debug-mode"] if debug else [])]
        with trio.CancelScope(shield=True):
            # Where nitro-cli is not set up, a failed launch leaves a process that waits for ever; this does not.
            done = await self._run("describe-enclaves")
            if done.returncode:
                _, sentence, cure = explain(_text(done.stderr))
                raise ParentError(f"nitro-cli is not ready: {sentence}", cure=cure)
            done = await self._run("run-enclave", *arguments)
            if done.returncode:
                code, sentence, cure = explain(_text(done.stderr))
                held = await self.enclaves() if code in SCARCE else []
                others = f"; enclaves that run now: {', '.join(map(str, held))}" if held else ""
                raise ParentError(f"nitro-cli run-enclave failed: {sentence}{others}", cure=cure)
        return _enclave(_json(done, "{"))

    async def enclaves(self) -> list[Enclave]:
        """The enclaves that run on this machine, as far as nitro-cli tells; none when it cannot tell."""
        done = await self._run("describe-enclaves")
        return [_enclave(one) for one in _json(done, "[")] if done.returncode == 0 else []

    async def terminate(self, name: str) -> None:
        """End the enclave of that name; one that is not there any more is as good.

        Raises:
            ParentError: it still runs.
        """
        done = await self._run("terminate-enclave", "--enclave-name", name)
        if done.returncode and name in [one.name for one in await self.enclaves()]:
            _, sentence, _ = explain(_text(done.stderr))
            cure = f"{self.program} terminate-enclave --enclave-name {name}"
            raise ParentError(f"the enclave could not be ended: {sentence}", cure=cure)

    def console_command(self, enclave_id: str) -> list[str | Path]:
        """The command that writes an enclave's console, if it is in debug mode, until it ends."""
        return [self.program, "console", "--enclave-id", enclave_id]

    def termination(self, name: str) -> tuple[str | Path, ...]:
        """The command that ends the enclave of that name with nobody left to ask, as soon as it can be ended."""
        return "/bin/sh", "-c", _TERMINATE, "terminate", self.program, name

    async def _run(self, *arguments: str) -> CompletedProcess[bytes]:
        # A session of its own, so that a terminal's Ctrl-C reaches only the runner.
        return await trio.run_process(
            [self.program, *arguments],
            check=False,
            capture_stdout=True,
            capture_stderr=True,
            env=dict(self.environment),
            cwd="/",
            start_new_session=True,
        )


def find(chosen: Path | None = None) -> Path:
    """The nitro-cli to use: ``chosen``, else the one on PATH.

    Raises:
        ParentError: there is none.
    """
    found = shutil.which(chosen.absolute() if chosen else _PROGRAM)
    if found is None:
        raise ParentError(
            f"{chosen or _PROGRAM} was not found", cure="install your distribution's aws-nitro-enclaves-cli"
        )
    return Path(found).absolute()


def logging_environment(folder: Path, environment: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """The environment for nitro-cli, which does not work where it cannot write its log: then that is in ``folder``."""
    if chosen := environment.get(_LOGS):
        return {**environment, _LOGS: os.path.abspath(chosen)}
    if os.access(_DEFAULT_LOGS, os.W_OK):
        return environment
    return {**environment, _LOGS: str(folder)}


def _json(done: CompletedProcess[bytes], start: str) -> Any:
    # Lines that come before are for people, whatever they begin with.
    text = _text(done.stdout)
    for begin in re.finditer(rf"^{re.escape(start)}", text, re.MULTILINE):
        with suppress(ValueError):
            return json.loads(text[begin.start() :])
    raise ParentError(f"nitro-cli wrote what is no JSON: {text[:200]!r}")


def _enclave(fields: Any) -> Enclave:
    try:
        return Enclave(
            name=str(fields.get("EnclaveName", "")),
            id=str(fields["EnclaveID"]),
            process=int(fields["ProcessID"]),
            cid=int(fields["EnclaveCID"]),
            cpus=int(fields["NumberOfCPUs"]),
            memory_mb=int(fields["MemoryMiB"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ParentError(f"nitro-cli describes an enclave in an unknown way: {fields!r}") from error


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").strip()
