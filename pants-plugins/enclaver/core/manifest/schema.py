"""Which keys a manifest has at which level, and what to say about a key that it has not."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from enclaver.core.manifest.problems import listing, quote

# Level (as docs and messages write it) to its keys. `kms_proxy.endpoints` is no level: its keys are free.
LEVELS: Mapping[str, tuple[str, ...]] = {
    "": (
        "version",
        "name",
        "target",
        "sources",
        "defaults",
        "egress",
        "ingress",
        "kms_proxy",
        "api",
        "signature",
    ),
    "sources": ("app", "odyn", "sleeve", "supervisor", "wrapper"),
    "defaults": ("cpu_count", "memory_mb"),
    "egress": ("allow", "deny", "proxy_port"),
    "ingress[]": ("listen_port", "tls"),
    "ingress[].tls": ("key_file", "cert_file"),
    "kms_proxy": ("listen_port", "endpoints"),
    "api": ("listen_port",),
    "signature": ("certificate", "key"),
}

# Images that Enclaver builds an enclave from, by version; this project brings its own runtime instead.
UNUSED_SOURCES = ("odyn", "sleeve", "supervisor", "wrapper")

# Keys that forks of Enclaver have added, with what to do here instead. They are refused by name because
# ignoring one would build an enclave that does less than its manifest says.
FORK_KEYS: Mapping[str, str] = {
    "aux_api": "remove it",
    "clock_sync": "remove it",
    "env": "under Pants, set `env=` on the enclave_image target; without Pants, set it in the app's image",
    "healthcheck": "remove it and check the app through one of its ingress ports",
    "ratls": "remove it",
    "storage": "remove it; an enclave keeps nothing once it stops",
    "vsock_ports": "remove it; the runtime's own ports are fixed (17000 to 17002)",
}

_LONGEST_COMPARED = 64


def unknown_key(level: str, key: str) -> tuple[str, str]:
    """The message and the cure for a key that ``level`` has not."""
    where = f" in `{level}`" if level else ""
    if key in FORK_KEYS:
        return f"{quote(key)}{where} is a key of a fork of Enclaver, not of manifest v1", FORK_KEYS[key]
    return f"unknown key {quote(key)}{where}", _nearest(level, key[:_LONGEST_COMPARED])


def _nearest(level: str, key: str) -> str:
    here = LEVELS[level]
    spelled = key.strip().lower().replace("-", "_")
    if spelled in here:
        return f"did you mean `{spelled}`?"
    homes = [name for name, keys in LEVELS.items() if spelled in keys]
    if homes:
        return f"`{spelled}` belongs {listing([_inside(home) for home in homes])}"
    if match := _closest(spelled, here):
        return f"did you mean `{match}`?"
    elsewhere = {name: home for home, keys in LEVELS.items() for name in keys}
    if match := _closest(spelled, list(elsewhere)):
        return f"did you mean `{match}`? It belongs {_inside(elsewhere[match])}"
    return f"known here: {', '.join(here)}"


def _closest(key: str, candidates: Sequence[str]) -> str | None:
    for candidate in candidates:
        if key in candidate.split("_"):
            return candidate
    matches = difflib.get_close_matches(key, candidates, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _inside(level: str) -> str:
    return f"in `{level}`" if level else "at the top level"
