"""What `package` left for a test: Pants lays the packages a test depends on into its working folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HELLO = Path("examples.hello/enclave.eif")


def app(name: str) -> Path:
    """Return the image of one of the test apps."""
    return Path(f"tests.integration.spine.apps/{name}.eif")


def pcrs(eif: Path) -> dict[str, str]:
    """Return the PCRs that `package` recorded for an image."""
    report: dict[str, Any] = json.loads(eif.with_suffix(".pcrs.json").read_bytes())
    return {name: value for name, value in report["Measurements"].items() if name.startswith("PCR")}
