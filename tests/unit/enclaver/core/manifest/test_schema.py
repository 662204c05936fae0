from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.manifest.schema import FORK_KEYS, LEVELS, UNUSED_SOURCES, unknown_key

REFERENCE = Path(__file__).parents[5] / "docs" / "manifest.md"


@pytest.mark.parametrize(
    ("level", "key", "cure"),
    [
        ("", "egres", "did you mean `egress`?"),
        ("", "Version", "did you mean `version`?"),
        ("", "kms-proxy", "did you mean `kms_proxy`?"),
        ("", "kmsProxy", "did you mean `kms_proxy`?"),
        ("", "allow", "`allow` belongs in `egress`"),
        ("", "memory-mb", "`memory_mb` belongs in `defaults`"),
        ("", "listen_port", "`listen_port` belongs in `ingress[]`, in `kms_proxy` or in `api`"),
        ("", "memory", "did you mean `memory_mb`? It belongs in `defaults`"),
        ("egress", "ingress", "`ingress` belongs at the top level"),
        ("egress", "allowed", "did you mean `allow`?"),
        ("ingress[]", "port", "did you mean `listen_port`?"),
        ("ingress[]", "cert_file", "`cert_file` belongs in `ingress[].tls`"),
        ("ingress[].tls", "key", "`key` belongs in `signature`"),
        ("defaults", "zzz", "known here: cpu_count, memory_mb"),
    ],
)
def test_the_nearest_valid_key_is_named(level: str, key: str, cure: str) -> None:
    message, found = unknown_key(level, key)
    assert found == cure
    assert f"`{key}`" in message


@pytest.mark.parametrize("key", ["env", "storage", "clock_sync", "healthcheck"])
def test_keys_of_forks_are_refused_by_name(key: str) -> None:
    message, cure = unknown_key("", key)
    assert key in message
    assert "fork" in message
    assert cure == FORK_KEYS[key]


@settings(deadline=None)
@given(st.sampled_from(sorted(LEVELS)), st.text(max_size=200))
def test_any_key_has_a_cure(level: str, key: str) -> None:
    message, cure = unknown_key(level, key)
    assert message.isprintable()
    assert cure


def test_the_tables_agree() -> None:
    assert set(UNUSED_SOURCES) < set(LEVELS["sources"])
    assert not set(FORK_KEYS) & {key for keys in LEVELS.values() for key in keys}


def test_the_reference_has_every_key_and_no_other() -> None:
    rows = [line.split("|")[1].strip() for line in REFERENCE.read_text().splitlines() if line.startswith("| `")]
    keys = {f"`{level}.{key}`" if level else f"`{key}`" for level, keys in LEVELS.items() for key in keys}
    assert keys <= set(rows)
    for key in FORK_KEYS:
        assert f"`{key}`" in REFERENCE.read_text()
