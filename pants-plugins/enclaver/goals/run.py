"""``run``: an ``enclave_image`` is packaged and run by the ``enclaver run`` command, in the user's terminal."""

from __future__ import annotations

from typing import Iterable

from pants.backend.python.util_rules.pex_environment import PexEnvironment
from pants.core.goals.run import RunRequest
from pants.engine.fs import MergeDigests
from pants.engine.rules import collect_rules, rule
from pants.util.logging import LogLevel

from enclaver.engine import built_package, merge_digests
from enclaver.goals.package import EnclaveImageFieldSet
from enclaver.subsystem import EnclaverSubsystem
from enclaver.util_rules.command import enclaver_command


@rule(desc="Run an enclave image", level=LogLevel.DEBUG)
async def run_enclave_image(
    field_set: EnclaveImageFieldSet, subsystem: EnclaverSubsystem, pex_environment: PexEnvironment
) -> RunRequest:
    package = await built_package(field_set)
    command = await enclaver_command(subsystem, pex_environment)
    paths = (artifact.relpath or "" for artifact in package.artifacts)
    (eif,) = (path for path in paths if path.endswith(".eif"))
    # What the user writes behind `--` follows.
    return RunRequest(
        digest=await merge_digests(MergeDigests([command.digest, package.digest])),
        args=(*command.argv, "run", "{chroot}/" + eif),
        extra_env=command.env,
        append_only_caches=command.caches,
    )


def rules() -> Iterable[object]:
    """Return the rules of this module."""
    return (*collect_rules(), *EnclaveImageFieldSet.rules())
