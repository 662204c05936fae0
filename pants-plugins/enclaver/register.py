"""What Pants loads: the rules and the target types."""

from __future__ import annotations

from collections.abc import Iterable

from pants.backend.docker.subsystems.docker_options import DockerOptions
from pants.backend.python import target_types_rules as python_target_types_rules
from pants.backend.python.util_rules import pex
from pants.engine.target import Target

from enclaver.goals import lock, package, publish, run
from enclaver.target_types import EnclaveBaseTarget, EnclaveImageTarget, EnclaveKernelTarget
from enclaver.util_rules import dependencies


def rules() -> Iterable[object]:
    """Return the backend's rules."""
    return (
        *dependencies.rules(),
        *lock.rules(),
        *package.rules(),
        *pex.rules(),
        *publish.rules(),
        *python_target_types_rules.rules(),
        *run.rules(),
        # How a repository names the images that it builds; the docker backend itself need not be there.
        *DockerOptions.rules(),
    )


def target_types() -> Iterable[type[Target]]:
    """Return the backend's target types."""
    return (EnclaveBaseTarget, EnclaveImageTarget, EnclaveKernelTarget)
