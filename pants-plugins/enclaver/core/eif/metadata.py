"""The metadata section: JSON about an image that no register measures.

Keys and their kinds are those of aws-nitro-enclaves-image-format, src/defs/mod.rs (EifIdentityInfo,
EifBuildInfo), which nitro-cli describe-eif parses strictly: all of them are required.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

BUILD_TOOL = "enclaver"
# A fixed instant: when an image was built is no property of it, and would make equal images differ.
BUILD_TIME = "1970-01-01T00:00:00+00:00"
OPERATING_SYSTEM = "Linux"


def metadata(
    *, name: str, version: str, tool_version: str, kernel_version: str, extras: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an image's metadata.

    Args:
        name, version: the image's.
        tool_version: this project's.
        kernel_version: the kernel's release, or "unknown".
        extras: free JSON values, shown as CustomMetadata.
    """
    return {
        "ImageName": name,
        "ImageVersion": version,
        "BuildMetadata": {
            "BuildTime": BUILD_TIME,
            "BuildTool": BUILD_TOOL,
            "BuildToolVersion": tool_version,
            "OperatingSystem": OPERATING_SYSTEM,
            "KernelVersion": kernel_version,
        },
        "DockerInfo": {},
        "CustomMetadata": dict(extras),
    }


def render(document: Mapping[str, Any]) -> bytes:
    """Return the section's bytes: canonical JSON, without a line break."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
