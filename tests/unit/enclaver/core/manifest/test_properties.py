"""Properties of parser and writer together, over generated valid manifests."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.runtime_config import AppSpec, render

ENTRIES = st.sampled_from(
    [
        *("*", "**", "**.example", "*.a.*.example", "a.example:443", "A.example", "b\u00fccher.example", "host"),
        *("10.0.0.1:80", "10.0.0.0/8", "0.0.0.0/0", "::/0", "[2001:db8::1]:443", "2001:db8::/32"),
    ]
)
APP = AppSpec(("/app/run",), {"A": "b"}, "/app", 1000, 1000)
ENTRY_LISTS = st.none() | st.lists(ENTRIES, max_size=5)
# Below the runtime's own vsock ports and the egress proxy's default; distinct where a manifest needs several.
PORTS = st.lists(st.integers(1, 9_999), min_size=8, max_size=8, unique=True)


@st.composite
def manifests(draw: st.DrawFn, *, tls: bool = True) -> dict[str, Any]:
    """The data of a valid manifest; without ``tls``, one that runtime.json can say."""
    ports = draw(PORTS)
    data: dict[str, Any] = {
        "version": "v1",
        "name": draw(st.sampled_from(["hello", "a b", "caf\u00e9"])),
        "sources": {"app": draw(st.sampled_from([":server", "//app:server", "app:latest", "localhost:5000/a/b"]))},
    }
    sections: dict[str, Any] = {
        "target": "app:enclave",
        "defaults": draw(st.sampled_from([None, {"cpu_count": 4}, {"memory_mb": 64, "cpu_count": None}])),
        "egress": {
            "allow": draw(ENTRY_LISTS),
            "deny": draw(ENTRY_LISTS),
            "proxy_port": draw(st.sampled_from([None, ports.pop()])),
        },
        "ingress": [{"listen_port": ports.pop()} for _ in range(draw(st.integers(0, 3)))],
        "kms_proxy": {
            "listen_port": ports.pop(),
            "endpoints": draw(st.sampled_from([None, {"us-east-1": "kms.example"}])),
        },
        "api": {"listen_port": ports.pop()},
    }
    if tls:
        sections["signature"] = {"certificate": "cert.pem", "key": "key.pem"}
        sections["ingress"] += [{"listen_port": ports.pop(), "tls": {"key_file": "k", "cert_file": "c"}}]
    for key in draw(st.lists(st.sampled_from(sorted(sections)), unique=True)):
        data[key] = sections[key]
    return data


def to_yaml(data: dict[str, Any], seed: int | None = None) -> bytes:
    """YAML of a manifest; a seed shuffles the keys at every level, and adds comments and empty lines."""
    if seed is None:
        return yaml.safe_dump(data, sort_keys=False).encode()
    chance = random.Random(seed)  # A seed that hypothesis draws, so that failures replay.
    lines = yaml.safe_dump(_shuffled(data, chance), sort_keys=False, allow_unicode=True).splitlines()
    noisy = [part for line in lines for part in ([line] if chance.random() < 0.5 else ["# note", line, ""])]
    return "\n".join(noisy).encode()


def _shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: _shuffled(value[key], chance) for key in keys}
    return [_shuffled(item, chance) for item in value] if isinstance(value, list) else value


@given(manifests(), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
@pytest.mark.slow
def test_valid_manifests_parse_and_order_and_comments_mean_nothing(data: dict[str, Any], seed: int) -> None:
    manifest = parse(to_yaml(data), "f")
    other = parse(to_yaml(data, seed), "f")
    assert manifest == other
    assert manifest.name == data["name"]
    assert manifest.sources.app.value == data["sources"]["app"]
    assert [item.listen_port for item in manifest.ingress] == [item["listen_port"] for item in data.get("ingress", ())]


@settings(max_examples=60, deadline=None)
@given(manifests(tls=False), st.integers(0, 2**32))
@pytest.mark.slow
def test_what_the_enclave_does_not_obey_changes_no_byte(data: dict[str, Any], seed: int) -> None:
    other = {
        **data,
        "name": "another",
        "target": "other:tag",
        "defaults": {"cpu_count": 7, "memory_mb": 999},
        "sources": {"app": "//elsewhere:app", "odyn": "image:1"},
    }
    first = render(parse(to_yaml(data), "f"), APP)
    assert render(parse(to_yaml(other, seed), "g"), APP) == first
