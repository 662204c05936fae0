from __future__ import annotations

import json

import pytest

from enclaver.core.eif.metadata import metadata, render


def test_all_keys_that_nitro_cli_requires_are_there() -> None:
    document = metadata(name="n", version="1", tool_version="0.1", kernel_version="6.12.95", extras={"a": 1})
    assert set(document) == {"ImageName", "ImageVersion", "BuildMetadata", "DockerInfo", "CustomMetadata"}
    assert set(document["BuildMetadata"]) == {
        "BuildTime",
        "BuildTool",
        "BuildToolVersion",
        "OperatingSystem",
        "KernelVersion",
    }
    assert all(isinstance(value, str) for value in document["BuildMetadata"].values())
    assert document["CustomMetadata"] == {"a": 1}


def test_bytes_are_canonical() -> None:
    raw = render({"b": 1, "a": {"ü": "\n"}})
    assert raw == b'{"a":{"\\u00fc":"\\n"},"b":1}'
    assert json.loads(raw) == {"b": 1, "a": {"ü": "\n"}}
    with pytest.raises(ValueError, match="not JSON compliant"):
        render({"a": float("nan")})
