"""Images in the fakes of a registry and of a daemon."""

from __future__ import annotations

import json
from typing import Any

from enclaver.core.oci.reference import Reference, parse
from tests.fake_docker import FakeDaemon
from tests.fake_registry import FakeRegistry
from tests.unit.enclaver.core.oci.archives import (
    AMD64,
    ARM64,
    INDEX,
    MANIFEST,
    Parts,
    archived,
    descriptor,
    member,
    parts,
    sha256,
    tar,
    to_json,
)

ONE = parts(tar(member("one", b"1")), tar(member("two", b"2")), how="+gzip", Cmd=["/one"])
TWO = parts(tar(member("other", b"x")), how="+gzip", Cmd=["/one"])
ARM = parts(tar(member("one", b"arm")), how="+gzip", platform=ARM64)


def image_id(one: Parts) -> str:
    """An image's id."""
    return sha256(to_json(one.config))


def digest(one: Parts) -> str:
    """The digest of an image's manifest."""
    return sha256(to_json(one.manifest()))


def published(server: FakeRegistry, one: Parts, tag: str = "1") -> Reference:
    """Put an image into a registry; returns its reference."""
    for blob in (to_json(one.config), *(blob for blob, _ in one.blobs)):
        server.add_blob(blob)
    server.add(f"app:{tag}", to_json(one.manifest()))
    return parse(f"{server.host}/app:{tag}")


def published_index(server: FakeRegistry, tag: str = "both", *, told: bool = True) -> tuple[Reference, str]:
    """Put an index of ONE and ARM into a registry; returns its reference and digest."""
    manifests: list[dict[str, Any]] = []
    for one, platform in ((ONE, AMD64), (ARM, ARM64)):
        published(server, one)
        manifests.append(descriptor(to_json(one.manifest()), MANIFEST, **({"platform": platform} if told else {})))
    found = server.add(f"app:{tag}", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode(), INDEX)
    return parse(f"{server.host}/app:{tag}"), found


def loaded(daemon: FakeDaemon, one: Parts, *names: str, **more: Any) -> str:
    """Put an image into a daemon; returns its id."""
    return daemon.add(archived(one.docker_save(names)), to_json(one.config), *names, **more)
