"""``publish``: push the target image of an ``enclave_image`` to its registry, by the ``enclaver push`` command."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Iterable, Tuple

from pants.backend.python.util_rules.pex_environment import PexEnvironment
from pants.core.goals.publish import (
    PublishFieldSet,
    PublishOutputData,
    PublishPackages,
    PublishProcesses,
    PublishRequest,
)
from pants.engine.fs import MergeDigests
from pants.engine.process import InteractiveProcess
from pants.engine.rules import collect_rules, rule
from pants.option.global_options import GlobalOptions

from enclaver.engine import all_targets, merge_digests
from enclaver.subsystem import EnclaverSubsystem
from enclaver.target_types import ImageTagsField, ManifestField, SkipPushField
from enclaver.util_rules import stages
from enclaver.util_rules.command import enclaver_command
from enclaver.util_rules.manifest import manifest_file, manifest_report
from enclaver.util_rules.tool import prepare_tool

logger = logging.getLogger(__name__)


class PublishEnclaveImageRequest(PublishRequest):
    pass


@dataclass(frozen=True)
class PublishEnclaveImageFieldSet(PublishFieldSet):
    """What `publish` needs of an ``enclave_image``."""

    publish_request_type = PublishEnclaveImageRequest
    required_fields = (ManifestField,)

    manifest: ManifestField
    image_tags: ImageTagsField
    skip_push: SkipPushField

    def get_output_data(self) -> PublishOutputData:
        return PublishOutputData({"publisher": "enclaver", **super().get_output_data()})


# Pants follows the calls of a rule when it comes to the rule, so what a rule calls stands before it.
async def _rivals(fields: PublishEnclaveImageFieldSet) -> Tuple[str, ...]:
    """Return the other images of the same manifest, whose target images `publish` pushes under the same name."""
    return tuple(
        sorted(
            str(target.address)
            for target in await all_targets()
            if target.has_field(ManifestField)
            and target.address != fields.address
            and target[ManifestField].file_path == fields.manifest.file_path
            and not target.get(SkipPushField).value
        )
    )


@rule(desc="Publish an enclave's target image")
async def publish_enclave_image(
    request: PublishEnclaveImageRequest,
    subsystem: EnclaverSubsystem,
    pex_environment: PexEnvironment,
    options: GlobalOptions,
) -> PublishProcesses:
    fields = request.field_set
    tool = await prepare_tool(subsystem, options)
    report = await manifest_report(tool, await manifest_file(fields.manifest))
    if report.target is None:
        description = "(its manifest names no `target`)"
        return PublishProcesses([PublishPackages(names=(str(fields.address),), description=description)])
    names = _names(report.target, fields.image_tags.value or ())
    if fields.skip_push.value:
        description = f"(by `{fields.skip_push.alias}` on {fields.address})"
        return PublishProcesses([PublishPackages(names=names, description=description)])
    if rivals := await _rivals(fields):
        logger.warning(
            f"{fields.address}: {', '.join(rivals)} would be published as {report.target} too, since the manifest is"
            " the same, and the last one stays\n"
            f"  Set `{fields.skip_push.alias}` on all but one, or give each a manifest of its own."
        )
    command = await enclaver_command(subsystem, pex_environment)
    artifacts = [(package.digest, one.relpath or "") for package in request.packages for one in package.artifacts]
    ((digest, archive),) = ((digest, path) for digest, path in artifacts if path.endswith(".image.tar"))
    process = InteractiveProcess(
        argv=(
            *(*command.argv, "push", "{chroot}/" + archive, *names),
            *stages.insecure_registries(tool.insecure_registries),
        ),
        env={**tool.env, **command.env, **_certificates(options)},
        input_digest=await merge_digests(MergeDigests([command.digest, digest])),
        append_only_caches=command.caches,
        run_in_workspace=True,
    )
    return PublishProcesses([PublishPackages(names=names, process=process)])


def _names(target: str, tags: Iterable[str]) -> Tuple[str, ...]:
    """Return the target image's references: the manifest's own, and the same repository with the other tags."""
    folder, slash, last = target.rpartition("/")
    repository = folder + slash + last.partition(":")[0]
    return tuple(dict.fromkeys((target, *(f"{repository}:{tag}" for tag in tags))))


def _certificates(options: GlobalOptions) -> dict:
    return {"SSL_CERT_FILE": options.ca_certs_path} if options.ca_certs_path else {}


def rules() -> Iterable[object]:
    """Return the rules of this module."""
    return (*collect_rules(), *PublishEnclaveImageFieldSet.rules())
