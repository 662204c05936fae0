from __future__ import annotations

from typing import Any

import pytest
from pants.engine.fs import FileContent
from pants.util.frozendict import FrozenDict

from enclaver.util_rules import tool

STAGE = tool.Stage(name="image", argv=(), inputs=(), description="Assemble x")
PEX: Any = None
ENV = FrozenDict({"DOCKER_HOST": "unix:///docker.sock"})


@pytest.mark.parametrize("name", ["core.lock", "runtime.lock"])
def test_shipped_locks_have_hashes_and_name_no_host(name: str) -> None:
    text = tool.locked(name).decode()
    assert "--hash=sha256:" in text
    assert "://" not in text


def test_files_lie_below_a_root() -> None:
    assert list(tool.file_contents({"a/b.py": b"x"}, "root")) == [FileContent("root/a/b.py", b"x")]


@pytest.mark.parametrize(
    ("network", "certificates", "given"),
    [(True, "/certs.pem", "/certs.pem"), (True, None, None), (False, "/certs.pem", None)],
)
def test_only_a_stage_that_fetches_gets_certificates(network: bool, certificates: str, given: str) -> None:
    stage = tool.Stage(name="x", argv=(), inputs=(), description="x", network=network)
    environment = tool._environment(tool.EnclaverTool(PEX, certificates, "/caches", ENV), stage)
    assert environment.get("SSL_CERT_FILE") == given


def test_a_stage_sees_nothing_of_the_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tool._environment(tool.EnclaverTool(PEX, None, "/caches", ENV), STAGE)
    for name in ("PATH", "LANG", "HOME", "PYTHONPATH"):
        monkeypatch.setenv(name, "other")
    assert tool._environment(tool.EnclaverTool(PEX, None, "/caches", ENV), STAGE) == before


def test_a_stage_gets_the_variables_that_it_asks_for() -> None:
    stage = tool.Stage(name="x", argv=(), inputs=(), description="x", env=ENV)
    environment = tool._environment(tool.EnclaverTool(PEX, None, "/caches", FrozenDict()), stage)
    assert environment["DOCKER_HOST"] == ENV["DOCKER_HOST"]
    assert "DOCKER_HOST" not in tool._environment(tool.EnclaverTool(PEX, None, "/caches", ENV), STAGE)


def test_a_description_is_no_part_of_what_a_stage_is() -> None:
    assert tool.Stage(name="image", argv=(), inputs=(), description="Assemble y") == STAGE
