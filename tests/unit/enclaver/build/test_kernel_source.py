from __future__ import annotations

import json
from pathlib import Path

import pytest

from enclaver.build import kernel_source
from enclaver.core.debian.lock import package_json
from enclaver.core.errors import EnclaverError
from tests import fake_debian


def test_the_package_is_fetched_by_its_hash(tmp_path: Path) -> None:
    data = fake_debian.deb([])
    package = fake_debian.package("linux-source-6.12", data, "6.12.1-1")
    lock = tmp_path / "source.lock.json"
    lock.write_text(json.dumps({"version": 1, "kernel_version": "6.12.1", "package": package_json(package)}))
    served = tmp_path / "mirror" / "debian" / package.path
    served.parent.mkdir(parents=True)
    served.write_bytes(data)
    arguments = {"lock": lock, "cache": tmp_path / "cache", "mirrors": [f"file://{tmp_path}/mirror"]}
    said: list[str] = []
    path = kernel_source.fetch(output=tmp_path / "out", progress=said.append, **arguments)  # type: ignore[arg-type]
    assert path.read_bytes() == data
    assert path.parent == tmp_path / "out"


def test_what_is_no_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(EnclaverError, match="x.json: expected an object"):
        kernel_source.fetch(lock=tmp_path / "x.json", output=tmp_path / "out", cache=tmp_path / "cache", progress=print)
