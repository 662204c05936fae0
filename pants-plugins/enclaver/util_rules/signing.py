"""Who signs an image: the certificate is an input like others, and the key stays where it is."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pants.base.build_environment import get_buildroot
from pants.engine.fs import Digest

from enclaver.util_rules import stages
from enclaver.util_rules.manifest import ManifestFile, files_at, folder_of
from enclaver.util_rules.report import ManifestReport
from enclaver.util_rules.tool import EnclaverTool, run_stages


@dataclass(frozen=True)
class Signing:
    """How an image is signed.

    Args:
        certificate: the certificate's file, in a digest.
        path: its path there.
        key: the absolute path of the private key, which is in no digest, so in no cache; or the ARN of a KMS key.
        in_kms: whether it is that, so that signing takes the network, and what leads to credentials.
    """

    certificate: Digest
    path: str
    key: str
    in_kms: bool


async def signing(tool: EnclaverTool, report: ManifestReport, manifest: ManifestFile) -> Signing | None:
    """Return who signs an image; None when nobody does. That it can be signed is checked before it is built.

    Raises:
        EnclaveBuildError: the certificate is not there, or can't be used; or the key is not the certificate's.
    """
    if report.signature is None:
        return None
    certificate = report.signature.certificate
    folder = folder_of(manifest)
    key = report.signature.key
    in_kms = key.kind == "kms"
    # A path that is absolute stays as it is.
    value = key.value if in_kms else os.path.join(get_buildroot(), folder, key.value)
    found = Signing(await files_at(manifest, (certificate,)), f"{folder}{certificate.path}", value, in_kms)
    await run_stages(
        tool, (stages.check_signing((manifest.digest, found.certificate), manifest.path, found, tool.env),)
    )
    return found
