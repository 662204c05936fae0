"""The ``enclaver`` command as a program that Pants starts in the user's terminal: `run` needs it, stages don't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from pants.backend.python.util_rules.pex import VenvPexRequest
from pants.backend.python.util_rules.pex_environment import PexEnvironment
from pants.engine.fs import CreateDigest, Digest, MergeDigests

from enclaver.engine import create_digest, merge_digests, workspace_venv_pex
from enclaver.subsystem import EnclaverSubsystem
from enclaver.util_rules import sources
from enclaver.util_rules.tool import file_contents, tool_request

_ROOT = "__enclaver__"
_MAIN = "enclaver.cli.main"
_PACKAGES = ("enclaver", "enclaver_runtime")


@dataclass(frozen=True)
class Command:
    """The command, ready to be started in a folder of Pants' that it calls ``{chroot}``.

    Args:
        digest: its files.
        argv: how it starts, without arguments of its own.
        env: what it needs of its environment.
        caches: append-only caches, name to path in the sandbox.
    """

    digest: Digest
    argv: Tuple[str, ...]
    env: Dict[str, str]
    caches: Dict[str, str]


async def enclaver_command(subsystem: EnclaverSubsystem, pex_environment: PexEnvironment) -> Command:
    """Install the command: all of its sources, on the requirements that the stages have."""
    workspace = pex_environment.in_workspace()
    pex = await workspace_venv_pex(VenvPexRequest(await tool_request(subsystem), workspace))
    files = {path: data for package in _PACKAGES for path, data in sources.folder(package).items()}
    code = await create_digest(CreateDigest(file_contents(files, _ROOT)))
    return Command(
        digest=await merge_digests(MergeDigests([pex.digest, code])),
        argv=("{chroot}/" + pex.pex.argv0,),
        env={
            **workspace.environment_dict(python=None),
            # Not as an interpreter, as for stages: that looks for whatever is imported in the current folder first,
            # which is the user's repository.
            "PEX_MODULE": _MAIN,
            "PEX_EXTRA_SYS_PATH": "{chroot}/" + _ROOT,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
        },
        caches={**workspace.append_only_caches, **(pex.append_only_caches or {})},
    )
