"""The report of measurements in nitro-cli's shape, so that whatever reads nitro-cli's output reads ours."""

from __future__ import annotations

import json
from pathlib import Path

from enclaver.core.errors import EnclaverError
from enclaver.core.pcr.measure import Measurements, from_registers

# nitro-cli prints its hasher's debug form, which is not the same in all its versions.
HASH_ALGORITHM = "Sha384 { ... }"
KNOWN_ALGORITHMS = (HASH_ALGORITHM, "Sha512_48 { .. }")
_SIZE_LIMIT = 1 << 16


def render(measurements: Measurements) -> bytes:
    """Return the report as JSON, indented by two, with a trailing newline."""
    body = {"HashAlgorithm": HASH_ALGORITHM, **measurements.registers()}
    return json.dumps({"Measurements": body}, indent=2).encode("ascii") + b"\n"


def load(path: Path) -> Measurements:
    """Read a report: ours, or what nitro-cli build-enclave or describe-eif printed.

    Raises:
        EnclaverError: it can't be read or is no such report.
    """
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_SIZE_LIMIT))
    except OSError as error:
        raise EnclaverError(f"cannot read: {error.strerror}", file=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise EnclaverError("is not a measurement report in JSON", file=str(path)) from error
    body = document.get("Measurements") if isinstance(document, dict) else None
    if not isinstance(body, dict) or body.get("HashAlgorithm") not in KNOWN_ALGORITHMS:
        raise EnclaverError("has no Measurements by SHA-384", file=str(path))
    registers = {name: value for name, value in body.items() if name != "HashAlgorithm"}
    return from_registers(registers, file=str(path))
