"""The build's side of egress policies: what a manifest says becomes the canonical entries of the golden files.

Each file in ``policy`` holds ``manifest`` (allow and deny as somebody writes them), ``canonical`` (the same in
runtime.json) and ``requests`` (a host as a client asks for it, a port, and whether the canonical entries allow
it before any name is resolved). The runtime's matcher has a test of its own on the same files; the small one here only
keeps the files true to docs/manifest.md.
"""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from enclaver.core.manifest.egress import AddressRange, EgressEntry
from enclaver.core.manifest.model import Egress
from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.runtime_config import AppSpec, render

GOLDEN = sorted((Path(__file__).parent / "policy").glob("*.json"))


def load(path: Path) -> tuple[dict[str, Any], Egress, Any]:
    golden: dict[str, Any] = json.loads(path.read_bytes())
    text = yaml.safe_dump(
        {"version": "v1", "name": "n", "sources": {"app": ":a"}, "egress": golden["manifest"]}, allow_unicode=True
    )
    manifest = parse(text.encode(), path.name)
    assert manifest.egress is not None
    runtime = json.loads(render(manifest, AppSpec(("/app/run",), {}, "/", 1, 1)))
    return golden, manifest.egress, runtime["egress"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_entries_become_canonical(path: Path) -> None:
    golden, _, egress = load(path)
    assert {"allow": egress["allow"], "deny": egress["deny"]} == golden["canonical"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_requests_are_decided_as_the_reference_says(path: Path) -> None:
    golden, egress, _ = load(path)
    for request in golden["requests"]:
        assert set(request) == {"host", "port", "allowed"}
        assert allowed(egress, request["host"], request["port"]) is request["allowed"], request


def allowed(egress: Egress, host: str, port: int) -> bool:
    bare = host[1:-1] if re.fullmatch(r"\[[^\]]*:[^\]]*\]", host) else host
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        if re.fullmatch(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?", bare.lower()) or "%" in bare:
            return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        address = address.ipv4_mapped or address
    labels = tuple(bare.lower().removesuffix(".").split("."))
    if address is None and not all(re.fullmatch(r"[a-z0-9_-]+", label) for label in labels):
        return False

    def covers(entry: EgressEntry, *, by_name: bool) -> bool:
        if entry.port not in (None, port):
            return False
        if isinstance(entry.host, AddressRange):
            return address is not None and address in entry.host.network
        if address is not None or (by_name and labels == ("host",) and entry.host.labels != labels):
            return False
        pattern = entry.host.labels
        if pattern[0] == "**":
            pattern = ("*",) * (len(labels) - len(pattern) + 1) + pattern[1:]
            if len(pattern) < len(entry.host.labels):
                return False
        return len(pattern) == len(labels) and all(
            part in ("*", label) for part, label in zip(pattern, labels, strict=True)
        )

    return not any(covers(entry, by_name=False) for entry in egress.deny) and any(
        covers(entry, by_name=True) for entry in egress.allow
    )
