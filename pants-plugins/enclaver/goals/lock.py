"""``enclave-lock``: pin the container images that manifests name, in ``enclave.images.lock`` beside the BUILD file."""

from __future__ import annotations

from collections import defaultdict
from typing import DefaultDict, Iterable, List, Tuple

from pants.backend.docker.subsystems.docker_options import DockerOptions
from pants.engine.addresses import Address
from pants.engine.console import Console
from pants.engine.fs import AddPrefix, MergeDigests, Workspace
from pants.engine.goal import Goal, GoalSubsystem
from pants.engine.rules import collect_rules, goal_rule
from pants.engine.target import Targets
from pants.option.global_options import GlobalOptions
from pants.option.option_types import BoolOption

from enclaver.engine import add_prefix, merge_digests
from enclaver.subsystem import EnclaverSubsystem
from enclaver.target_types import AppField, ArchitectureField, ManifestField
from enclaver.util_rules import references, stages
from enclaver.util_rules.image_lock import image_lock, lock_path
from enclaver.util_rules.manifest import ManifestFile, manifest_app, manifest_file, manifest_report
from enclaver.util_rules.tool import prepare_tool, run_stages


class EnclaveLockSubsystem(GoalSubsystem):
    name = "enclave-lock"
    help = "Pin the container images that enclaves are built from."

    upgrade = BoolOption(
        default=False,
        help="Look up again what is pinned already: a tag may mean another image by now.",
    )


class EnclaveLock(Goal):
    subsystem_cls = EnclaveLockSubsystem
    environment_behavior = Goal.EnvironmentBehavior.LOCAL_ONLY


@goal_rule
async def lock_enclave_images(
    targets: Targets,
    lock_options: EnclaveLockSubsystem,
    subsystem: EnclaverSubsystem,
    docker: DockerOptions,
    options: GlobalOptions,
    console: Console,
    workspace: Workspace,
) -> EnclaveLock:
    tool = await prepare_tool(subsystem, options)
    # One lock a folder, whatever targets are in it.
    wanted: DefaultDict[str, List[Tuple[Address, ManifestFile, str]]] = defaultdict(list)
    for target in targets:
        # An app that is a target needs no lock.
        if not target.has_field(ManifestField) or references.written(target[AppField]) is not None:
            continue
        manifest = await manifest_file(target[ManifestField])
        report = await manifest_report(tool, manifest)
        if await manifest_app(report, manifest, target.address, docker) is None:
            wanted[target.address.spec_path].append((target.address, manifest, target[ArchitectureField].value))
    for folder, images in sorted(wanted.items()):
        existing = await image_lock(images[0][0])
        digests = [manifest.digest for _, manifest, _ in images] + ([existing.digest] if existing else [])
        stage = stages.lock_images(
            await merge_digests(MergeDigests(digests)),
            tuple(sorted({manifest.path for _, manifest, _ in images})),
            existing is not None,
            tuple(sorted({architecture for _, _, architecture in images})),
            lock_options.upgrade,
            tool.env,
            tool.insecure_registries,
        )
        (lock,) = await run_stages(tool, (stage,))
        workspace.write_digest(await add_prefix(AddPrefix(lock, folder)))
        console.print_stdout(f"{lock_path(images[0][0])}: written")
    if not wanted:
        console.print_stderr("No target here is built from a container image that has to be pinned.")
    return EnclaveLock(exit_code=0)


def rules() -> Iterable[object]:
    """Return the rules of this module."""
    return collect_rules()
