from __future__ import annotations

import copy
import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from enclaver.cli.beside import obeyed, own_ports, parent_services, tell
from enclaver.core.eif.reader import Image, read
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.parse import parse
from enclaver_runtime.config import Config
from enclaver_runtime.parent.services import Publication
from tests.unit.enclaver.build.test_image_config import image
from tests.unit.enclaver.cli.test_run import CONFIG, MANIFEST
from tests.unit.enclaver.core.eif.images import image_bytes, plan, saved


def ours(folder: Path, **changes: Any) -> Image:
    config = {**copy.deepcopy(CONFIG), **changes}
    return image(folder, {"etc/enclaver/runtime.json": json.dumps(config).encode()})


def test_an_image_of_ours_says_what_it_obeys(tmp_path: Path) -> None:
    config = obeyed(ours(tmp_path))
    assert isinstance(config, Config)
    assert [one.listen_port for one in config.ingress] == [8000, 8001]


@pytest.mark.parametrize("ramdisk", [gzip.compress(b"070701"), b"boot"])
def test_another_tools_image_obeys_nothing_known_and_has_no_services(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], ramdisk: bytes
) -> None:
    foreign = read(saved(tmp_path, image_bytes(plan(ramdisk))))
    assert obeyed(foreign) is None
    assert parent_services(foreign, None, ()) == ()
    assert "no runtime.json: no egress, no ingress" in capfd.readouterr().err
    with pytest.raises(EnclaverError, match="no runtime.json, so it has no ingress ports"):
        parent_services(foreign, None, [Publication("127.0.0.1", 0, 8000)])


def test_another_releases_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="not of this release"):
        obeyed(ours(tmp_path, version=2))
    made = ours(tmp_path, egress={"proxy_port": 10000, "allow": ["NOT:canonical"], "deny": []})
    with pytest.raises(EnclaverError, match="not of this release"):
        parent_services(made, obeyed(made), ())


def test_a_port_that_the_image_does_not_have(tmp_path: Path) -> None:
    made = ours(tmp_path)
    with pytest.raises(EnclaverError, match=r"x\.eif: the enclave has no ingress port 9000 \(it has: 8000, 8001\)"):
        parent_services(made, obeyed(made), [Publication("127.0.0.1", 0, 9000)])
    assert len(parent_services(made, obeyed(made), [Publication("127.0.0.1", 0, 8000)])) == 1


def test_a_manifests_ports_are_for_this_machine() -> None:
    manifest = parse(MANIFEST.encode(), "enclaver.yaml")
    assert own_ports(manifest) == [Publication("127.0.0.1", port, port) for port in (8000, 8001)]
    assert own_ports(None) == ()


def test_a_manifests_ports_at_other_addresses() -> None:
    manifest = parse(MANIFEST.encode(), "enclaver.yaml")
    found = own_ports(manifest, ("0.0.0.0", "::"))
    assert [str(one) for one in found] == ["0.0.0.0:8000", "[::]:8000", "0.0.0.0:8001", "[::]:8001"]
    assert [one.enclave_port for one in found] == [8000, 8000, 8001, 8001]


def test_what_is_told_is_one_line_and_steers_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    tell("the enclave failed: é\x1b[2J\nenclaver: the app exited with code 0")
    (line,) = capfd.readouterr().err.splitlines()
    assert line == r"enclaver: the enclave failed: é\x1b[2J\nenclaver: the app exited with code 0"


def test_a_terminal_that_is_gone_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Gone())
    tell("hello")
