"""The runtime reads every runtime.json that the build's side of the contract gives as an example."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from enclaver_runtime import config

GOLDEN = Path(__file__).parent / "runtime_json"


def examples() -> list[str]:
    return sorted(path.name for path in GOLDEN.glob("*.json"))


def test_there_are_examples() -> None:
    assert examples()


@pytest.mark.parametrize("name", examples())
def test_the_runtime_reads_it(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    document = json.loads(data)
    read = config.parse(data)
    assert list(read.app.argv) == document["app"]["argv"]
    assert dict(read.app.env) == document["app"]["env"]
    assert (read.app.cwd, read.app.uid, read.app.gid) == (
        document["app"]["cwd"],
        document["app"]["uid"],
        document["app"]["gid"],
    )
    assert read.app.stop_signal == document["app"]["stop_signal"]
    assert [one.listen_port for one in read.ingress] == [one["listen_port"] for one in document["ingress"]]
    assert [one.tls and {"cert_file": one.tls.cert_file, "key_file": one.tls.key_file} for one in read.ingress] == [
        one["tls"] for one in document["ingress"]
    ]
    for name in ("egress", "kms_proxy", "api"):
        assert (getattr(read, name) is None) == (document[name] is None)
    if read.egress is not None:
        assert list(read.egress.allow) == document["egress"]["allow"]
        assert list(read.egress.deny) == document["egress"]["deny"]
