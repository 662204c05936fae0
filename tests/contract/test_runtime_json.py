"""The build's side of runtime.json: each manifest in this folder's ``runtime_json`` gives its golden bytes.

The run's side (enclaver_runtime's strict reader) has a test of its own on the same golden files. A golden file
changes only together with the schema's version, since its bytes are measured.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.runtime_config import AppSpec, render

GOLDEN = Path(__file__).parent / "runtime_json"
APPS = {
    "minimal": AppSpec(("/app/server",), {}, "/app", 1000, 1000),
    "web": AppSpec(
        ("/usr/bin/python3.11", "/app/server.pex", "--port", "8000"),
        {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/app"},
        "/app",
        1000,
        1000,
        3,
    ),
    "egress": AppSpec(
        ("/app/run", "", "a b", 'quote"d', "caf\u00e9 \U0001f511"),
        {"EMPTY": "", "_X1": "tab\there"},
        "/",
        0,
        4294967294,
        64,
    ),
    "denied": AppSpec(("/app/server",), {"A": "b"}, "/app", 1000, 1000),
    "tls": AppSpec(("/app/server",), {}, "/app", 1000, 1000),
    "services": AppSpec(("/app/server",), {"A": "b"}, "/srv/app", 1, 2),
}


@pytest.mark.parametrize("name", sorted(APPS))
def test_a_manifest_and_an_app_give_the_golden_bytes(name: str) -> None:
    manifest = parse((GOLDEN / f"{name}.yaml").read_bytes(), f"{name}.yaml")
    assert render(manifest, APPS[name]) == (GOLDEN / f"{name}.json").read_bytes()


def test_every_golden_file_is_used() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(APPS)
