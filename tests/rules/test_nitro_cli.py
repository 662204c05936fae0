"""`builder="nitro-cli"`: the real nitro-cli, started by Pants with a real daemon; its blobs are a kernel's files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.container_tools import DockerDaemon, docker_daemon
from tests.integration.nitro_builder import blobs
from tests.integration.tools import require
from tests.rules.repository import Repository

pytestmark = pytest.mark.slow
BUILD = """
enclave_kernel(name="blobs", sources=["blobs/*"])
enclave_image(name="enclave", app="//files:binary", kernel=":blobs", builder="nitro-cli")
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[DockerDaemon]:
    with docker_daemon() as started:
        yield started


def test_nitro_cli_builds_what_package_reports(repository: Repository, daemon: DockerDaemon, tmp_path: Path) -> None:
    program = require("nitro-cli")
    repository.image("aws", BUILD)
    blobs.make(repository.root / "aws" / "blobs")
    shutil.copy(program, repository.root / "aws" / "nitro-cli")
    with (repository.root / "aws" / "BUILD").open("a") as build:
        build.write('file(name="nitro-cli", source="nitro-cli")\n')
    environment = {name: daemon.environment[name] for name in ("DOCKER_CONFIG", "DOCKER_HOST")}
    option = '--enclaver-nitro-cli={"x86_64": "//aws:nitro-cli"}'
    repository.succeeds(option, "package", "aws:enclave", environment=environment)
    eif = repository.root / "dist" / "aws" / "enclave.eif"
    done = subprocess.run(
        [program, "describe-eif", "--eif-path", eif],
        env={**os.environ, "NITRO_CLI_LOGS_PATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    said = json.loads(done.stdout)
    registers = repository.pcrs("aws")
    assert {name: said["Measurements"][name] for name in registers} == registers
    assert said["CheckCRC"] is True
    kinds = {one["kind"] for one in repository.materials("aws")["inputs"]}
    assert {"nitro-cli", "target", "runtime"} <= kinds
    assert (eif.with_name("enclave.image.tar")).is_file()
    assert daemon.docker("image", "ls", "--quiet") == ""

    (repository.root / "aws" / "blobs" / "linuxkit").unlink()
    refused = repository.pants(option, "package", "aws:enclave", environment=environment)
    assert refused.returncode == 1
    assert "linuxkit" in refused.stderr
