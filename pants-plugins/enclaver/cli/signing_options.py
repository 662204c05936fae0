"""The options of the stages that sign images."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from enclaver.core.eif.writer import Signs
from enclaver.core.manifest.model import Manifest
from enclaver.core.manifest.requirements import check_unsigned


def add(options: argparse.ArgumentParser) -> None:
    """Add --signing-certificate and --signing-key."""
    options.add_argument("--signing-certificate", type=Path, help="a PEM file; with --signing-key")
    # Rules give the absolute path of a file outside of the sandbox: what is copied into a sandbox is copied into Pants'
    # store and its remote cache too, and a private key must be in neither. What was made with it depends on the
    # certificate alone, which is an input like others, as a key that isn't the certificate's is refused.
    options.add_argument("--signing-key", help="the path of a PEM file, or the ARN of a KMS key")


def signer(options: argparse.ArgumentParser, args: argparse.Namespace, manifest: Manifest) -> Signs | None:
    """Return who signs, or None for an image that is not to be signed.

    Raises:
        ManifestError: the manifest asks for a signature and no key is given, or the other way round, or one is unfit.
    """
    if (args.signing_certificate is None) != (args.signing_key is None):
        options.error("--signing-certificate and --signing-key go together")
    if args.signing_key is None:
        check_unsigned(manifest)
        return None
    # Most images are unsigned, and loading the cryptography takes as long as assembling a small one.
    from enclaver.build import signing

    return signing.load(manifest, args.signing_certificate, args.signing_key, now=datetime.now(UTC))
