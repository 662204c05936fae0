"""What Pants knows of the targets without building them: dependencies, listings, help."""

from __future__ import annotations

import pytest

from tests.rules.repository import Repository

pytestmark = pytest.mark.slow


def dependencies(repository: Repository, address: str) -> list[str]:
    return sorted(repository.succeeds("dependencies", address).stdout.split())


def test_dependencies_are_inferred(repository: Repository) -> None:
    repository.image(
        "inferred",
        'enclave_image(name="enclave")\n'
        'enclave_image(name="override", app="//files:script", base=":other", kernel=":built")\n'
        'enclave_base(name="other", lock="lock.json")\n'
        'enclave_kernel(name="built", source_lock="lock.json", config="lock.json", toolchain=":other")\n',
        app="//server:server",
    )
    repository.write("inferred/lock.json", "{}")
    assert dependencies(repository, "inferred:enclave") == ["//:base", "//:kernel", "server:server"]
    assert dependencies(repository, "inferred:override") == ["files:script", "inferred:built", "inferred:other"]
    assert dependencies(repository, "inferred:built") == ["inferred:other"]


def test_a_broken_manifest_is_packages_alone_to_report(repository: Repository) -> None:
    repository.image(
        "broken",
        'enclave_image(name="enclave")\nenclave_image(name="missing", manifest="missing.yaml")\n',
        manifest="nmae: x\ningress:\n  - listen_port: 0\n",
    )
    listed = repository.succeeds("list", "lint", "::").stdout
    assert {"broken:enclave", "broken:missing"} <= set(listed.split())
    assert dependencies(repository, "broken:enclave") == ["//:base", "//:kernel"]
    assert dependencies(repository, "broken:missing") == ["//:base", "//:kernel"]
    said = repository.refused("broken:enclave")
    assert "broken/enclaver.yaml:6:1: " in said
    assert "broken/enclaver.yaml:8:18: " in said
    assert "broken/missing.yaml: there is no such file" in repository.refused("broken:missing")


@pytest.mark.parametrize(
    ("alias", "fields"),
    [
        ("enclave_image", ["manifest", "app", "base", "kernel", "entrypoint", "args", "env", "architecture"]),
        ("enclave_kernel", ["sources", "source_lock", "config", "toolchain", "architecture"]),
        ("enclave_base", ["lock"]),
    ],
)
def test_every_field_has_its_help(repository: Repository, alias: str, fields: list[str]) -> None:
    said = repository.succeeds("help", alias).stdout
    for field in (*fields, "dependencies", "description", "tags"):
        assert f"\n{field}\n" in said, said
