from __future__ import annotations

from pathlib import Path

import pytest

from enclaver.build.registries import Registries
from enclaver.core.oci.reference import parse
from tests import fake_registry
from tests.fake_registry import MANIFEST, PASSWORD, USER


def test_a_registry_is_that_of_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with fake_registry.serving() as one, fake_registry.serving() as two, Registries() as registries:
        digest = one.add("app:1", b"{}")
        found = registries.of(parse(f"{one.host}/app:1"))
        assert found.host == one.host
        assert found.resolve("app", "1", accept=[MANIFEST]) == digest
        assert registries.of(parse(f"{two.host}/app:1")).host == two.host
        assert two.requests == []


def test_who_asks_is_remembered_for_a_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    asked: list[str] = []

    def login(host: str) -> object:
        from enclaver.system.docker_config import Credentials

        asked.append(host)
        return Credentials(USER, PASSWORD)

    monkeypatch.setattr("enclaver.build.registries.login", login)
    with fake_registry.serving() as server, Registries() as registries:
        server.auth = "basic"
        server.add("app:1", b"{}")
        for _ in range(2):
            registries.of(parse(f"{server.host}/app:1")).manifest("app", "1", accept=[MANIFEST])
        assert asked == [server.host]


def test_plain_http_is_for_those_that_were_named() -> None:
    with Registries(insecure=["r.example:5000"]) as registries:
        for host, root in (("r.example:5000", "http://"), ("r.example", "https://")):
            session = registries.of(parse(f"{host}/app"))._session
            assert session._root.startswith(f"{root}{host}/")
