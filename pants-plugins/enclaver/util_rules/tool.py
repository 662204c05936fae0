"""The tool: core and its requirements in a sandbox. A stage is one process: argv and files in, files out.

These are plain helpers, not rules: every engine call inside them is one of ``enclaver.engine``'s, which the rule
parser follows, and the engine caches the processes themselves.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
from dataclasses import dataclass
from typing import Dict, Iterable, Mapping, Tuple

from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import PexRequest, VenvPex, VenvPexProcess
from pants.engine.env_vars import EnvironmentVarsRequest
from pants.engine.fs import CreateDigest, Digest, FileContent, MergeDigests
from pants.engine.process import ProcessCacheScope
from pants.option.global_options import GlobalOptions
from pants.util.frozendict import FrozenDict
from pants.util.logging import LogLevel

from enclaver.engine import create_digest, environment_variables, merge_digests, run_venv_pexes, venv_pex
from enclaver.subsystem import EnclaverSubsystem
from enclaver.util_rules import sources

_STAGES = "enclaver.cli.stages"
_SOURCE_ROOT = "__enclaver__"
_LOCKS = "enclaver.locks"


class EnclaveBuildError(Exception):
    """A stage refused its input; the text is the stage's own message."""


@dataclass(frozen=True)
class EnclaverTool:
    """The interpreter with core's third-party requirements, and what stages need to know of this Pants.

    Args:
        pex: the interpreter.
        ca_certs_path: certificates for stages that fetch.
        named_caches: the folder of Pants' append-only caches.
        env: what the user's environment says of daemons, registries and AWS.
        insecure_registries: those that may be spoken with by plain http.
    """

    pex: VenvPex
    ca_certs_path: str | None
    named_caches: str
    env: FrozenDict[str, str]
    insecure_registries: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One run of a stage.

    Args:
        name: the module below ``enclaver.cli.stages``.
        argv: its arguments; paths are relative to the sandbox.
        inputs: what lies in the sandbox.
        description: what the user reads while it runs.
        output_files, output_directories: what is captured.
        caches: append-only caches, name to path in the sandbox.
        network: whether it fetches; it then gets the certificates that Pants was told to use.
        env: further environment variables.
        cache_scope: how long its result holds: for ever, unless what it looks at is not among its inputs.
    """

    name: str
    argv: Tuple[str, ...]
    inputs: Tuple[Digest, ...]
    description: str = dataclasses.field(compare=False)
    output_files: Tuple[str, ...] = ()
    output_directories: Tuple[str, ...] = ()
    caches: FrozenDict[str, str] = dataclasses.field(default_factory=FrozenDict)
    network: bool = False
    env: FrozenDict[str, str] = dataclasses.field(default_factory=FrozenDict)
    cache_scope: ProcessCacheScope = ProcessCacheScope.SUCCESSFUL


def locked(name: str) -> bytes:
    """Return one of the locks that ship with the backend."""
    return importlib.resources.files(_LOCKS).joinpath(name).read_bytes()


def file_contents(files: Mapping[str, bytes], root: str) -> Iterable[FileContent]:
    """Yield files below a root, for a digest."""
    return (FileContent(f"{root}/{path}", content) for path, content in files.items())


async def tool_request(subsystem: EnclaverSubsystem) -> PexRequest:
    """Return what installs the tool's requirements, once per lock and interpreter."""
    lock = await create_digest(CreateDigest([FileContent("core.lock", locked("core.lock"))]))
    return PexRequest(
        output_filename="enclaver-tool.pex",
        internal_only=True,
        interpreter_constraints=InterpreterConstraints(subsystem.interpreter_constraints),
        additional_inputs=lock,
        # A requirements file with hashes: pip refuses whatever is not in it. It names no index.
        additional_args=("--requirement", "core.lock", "--no-transitive"),
        description="Install the enclave builder's requirements",
    )


async def prepare_tool(subsystem: EnclaverSubsystem, options: GlobalOptions) -> EnclaverTool:
    """Install the tool's requirements for stages."""
    pex = await venv_pex(await tool_request(subsystem))
    variables = await environment_variables(EnvironmentVarsRequest(sorted(subsystem.env_vars)))
    env = FrozenDict(sorted(variables.items()))
    return EnclaverTool(
        pex, options.ca_certs_path, str(options.named_caches_dir), env, tuple(subsystem.insecure_registries)
    )


async def run_stages(tool: EnclaverTool, stages: Tuple[Stage, ...]) -> Tuple[Digest, ...]:
    """Run stages that don't need each other, at once.

    Returns:
        Their outputs, in their order.

    Raises:
        EnclaveBuildError: a stage refused its input.
    """
    processes = []
    for stage in stages:
        module = f"{_STAGES}.{stage.name}"
        code = await create_digest(CreateDigest(file_contents(sources.closure(module, "enclaver"), _SOURCE_ROOT)))
        processes.append(
            VenvPexProcess(
                tool.pex,
                argv=("-m", module, *stage.argv),
                description=stage.description,
                input_digest=await merge_digests(MergeDigests([code, *stage.inputs])),
                output_files=stage.output_files,
                output_directories=stage.output_directories,
                append_only_caches=stage.caches,
                extra_env=_environment(tool, stage),
                cache_scope=stage.cache_scope,
                level=LogLevel.INFO,
            )
        )
    results = await run_venv_pexes(tuple(processes))
    for stage, result in zip(stages, results):
        if result.exit_code:
            told = result.stderr.decode(errors="replace").strip()
            raise EnclaveBuildError(told or f"{stage.description}: exit code {result.exit_code}")
    return tuple(result.output_digest for result in results)


def _environment(tool: EnclaverTool, stage: Stage) -> Dict[str, str]:
    env = {
        "PEX_INTERPRETER": "1",
        "PEX_EXTRA_SYS_PATH": _SOURCE_ROOT,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        **stage.env,
    }
    if stage.network and tool.ca_certs_path:
        env["SSL_CERT_FILE"] = tool.ca_certs_path
    return env
