"""``enclaver describe``: what an image holds, and what its measurements are."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from enclaver.build.describe import describe

NAME = "describe"
HELP = "show an image's header, sections, measurements and metadata"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("eif", type=Path, metavar="X.eif", help="the image; it is read and checked whole")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument(
        "--extract",
        type=Path,
        metavar="DIR",
        help="write kernel, cmdline, ramdisk-0.cpio..., metadata.json to a new or empty folder",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when the image is sound and its signature, if it has one, is too; else 1.

    Raises:
        EnclaverError: the image isn't sound, or the folder can't be written.
    """
    document = describe(args.eif, extract=args.extract)
    if args.json:
        print(json.dumps(document, indent=2, sort_keys=True))
    else:
        print("\n".join(_lines(document)))
    signature = document["signature"]
    return 0 if signature is None or signature["verified"] else 1


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    memory = document["default_memory_bytes"]
    yield from _aligned(
        {
            "Format": f"EIF version {document['eif_version']}, {document['architecture']}",
            "Size": f"{document['size']} bytes",
            "Defaults": f"{_quantity(memory)} of memory, {document['default_cpus']} CPUs",
            "CRC": f"{document['crc32']}, correct",
            "Command line": _shown(document["cmdline"]),
        }
    )
    yield ""
    yield f"{'Section':<12}{'Offset':>14}{'Size':>14}"
    for section in document["sections"]:
        yield f"{section['type']:<12}{section['offset']:>14}{section['size']:>14}"
    yield ""
    yield from _aligned(document["measurements"])
    if document["signature"] is not None:
        yield ""
        yield from _aligned(_signature(document["signature"]))
    if document["metadata"] is not None:
        yield ""
        yield "Metadata"
        yield json.dumps(document["metadata"], indent=2, sort_keys=True)


def _signature(signature: Mapping[str, Any]) -> dict[str, str]:
    verdict = "verified" if signature["verified"] else f"NOT VALID: {signature['problem']}"
    return {
        "Signature": f"{signature['algorithm']}, {verdict}",
        "Signed by": _shown(signature["certificate_subject"]),
    }


def _aligned(rows: Mapping[str, str]) -> Iterator[str]:
    for name, value in rows.items():
        yield f"{name:<14}{value}"


def _quantity(size: int) -> str:
    return f"{size >> 20} MiB" if size and not size % (1 << 20) else f"{size} bytes"


def _shown(text: str) -> str:
    """Return text from the file so that it cannot steer a terminal."""
    return text if text.isprintable() else ascii(text)
