from __future__ import annotations

import hashlib
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclaver.build.runner_tools import Tools
from enclaver.core.eif.reader import read
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image
from enclaver.core.oci.image import Image
from enclaver.core.rootfs.tree import Kind
from tests.unit.enclaver.build.runners import build, copied_sources, debian, enclave, runner
from tests.unit.enclaver.core.eif.images import key_and_certificate, resigned, signature_section


def documents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """An archive's image manifest and configuration, as they lie in it."""
    with tarfile.open(path) as archive:

        def load(name: str) -> Any:
            member = archive.extractfile(name)
            assert member is not None
            return json.load(member)

        (entry,) = load("index.json")["manifests"]
        manifest = load(f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}")
        return manifest, load(f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}")


def read_back(path: Path, folder: Path) -> Image:
    folder.mkdir()
    return image.read(path, folder, architecture="x86_64")


def test_it_holds_all_that_runs_the_enclave(tmp_path: Path) -> None:
    path, _ = build(tmp_path)
    found = read_back(path, tmp_path / "work")
    files = {entry.path: entry for entry in found.tree if entry.kind is Kind.FILE}
    eif = files["enclave/application.eif"].content
    assert eif is not None
    assert eif.head(eif.size) == (tmp_path / "enclave" / "x.eif").read_bytes()
    assert {"usr/bin/enclaver", "usr/bin/dash", "etc/passwd"} <= set(files)
    # Of what the manifest names (keys of TLS, a certificate) nothing: what the enclave needs is in its own image.
    enclave = {path for path in files if path.startswith("enclave/")}
    assert enclave == {"enclave/application.eif", "enclave/enclaver.yaml"}
    assert found.config.entrypoint == (
        *("/usr/bin/enclaver", "run", "--file", "/enclave/enclaver.yaml", "--address", "any"),
        "/enclave/application.eif",
    )
    assert found.config.cmd == ()
    assert "/usr/bin" in found.config.env["PATH"].split(":")


def test_its_labels_are_the_measurements(tmp_path: Path) -> None:
    path, digest = build(tmp_path)
    manifest, config = documents(path)
    labels = config["config"]["Labels"]
    assert labels.pop("org.opencontainers.image.title") == "x"
    assert sorted(labels) == ["io.enclaver.pcr0", "io.enclaver.pcr1", "io.enclaver.pcr2"]
    assert all(len(value) == 96 for value in labels.values())
    assert config["config"]["ExposedPorts"] == {"8000/tcp": {}, "8001/tcp": {}}
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    assert digest.hex == hashlib.sha256(canonical).hexdigest()


def test_a_signed_enclave_says_by_whom(tmp_path: Path) -> None:
    eif, _ = enclave(tmp_path / "signed")
    section = signature_section(*key_and_certificate(), read(eif).measurements.pcr0)
    eif.write_bytes(resigned(eif.read_bytes(), section))
    path, _ = build(tmp_path, eif=eif)
    labels = documents(path)[1]["config"]["Labels"]
    assert labels["io.enclaver.pcr8"] == read(eif).measurements.registers()["PCR8"]


def test_layers_below_the_enclave_are_shared(tmp_path: Path) -> None:
    first, _ = build(tmp_path / "one")
    eif, manifest = enclave(tmp_path / "other")
    manifest.write_text(manifest.read_text().replace("name: x", "name: y"))
    second, _ = build(tmp_path / "two", eif=eif, manifest=manifest)
    one, two = (documents(path)[0]["layers"] for path in (first, second))
    assert [layer["digest"] for layer in one][:-1] == [layer["digest"] for layer in two][:-1]
    assert one[-1] != two[-1]


def test_programs_are_a_layer_between(tmp_path: Path) -> None:
    program = tmp_path / "nitro-cli"
    program.write_bytes(b"#!/usr/bin/python3\n")
    without, _ = build(tmp_path / "one")
    path, _ = build(tmp_path / "two", tools=Tools(nitro_cli=program))
    _, config = documents(path)
    assert [one["created_by"] for one in config["history"]] == ["Debian", "enclaver run", "programs", "the enclave"]
    ids = config["rootfs"]["diff_ids"]
    assert [ids[0], ids[1], ids[3]] == documents(without)[1]["rootfs"]["diff_ids"]
    assert read_back(path, tmp_path / "work").tree.get("usr/bin/nitro-cli")


def test_folders_are_what_they_are_below(tmp_path: Path) -> None:
    """A layer that has a folder once more changes its mode for all that is below."""
    program = tmp_path / "nitro-cli"
    program.write_bytes(b"#!/usr/bin/python3\n")
    path, _ = build(tmp_path / "x", tools=Tools(nitro_cli=program))
    var = read_back(path, tmp_path / "work").tree.get("var")
    assert var is not None
    assert var.mode == 0o711


def test_nothing_of_this_machine_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = build(tmp_path / "one")
    before = os.umask(0o077)
    try:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        other = Path("an other place")
        other.mkdir()
        made = replace(runner(other), sources=copied_sources(other / "sources"))
        second, _ = build(other, runner=made)
    finally:
        os.umask(before)
    assert second.read_bytes() == first.read_bytes()
    assert second.stat().st_mode & 0o777 == 0o644


def test_names_are_no_part_of_the_image(tmp_path: Path) -> None:
    one, first = build(tmp_path / "one")
    two, second = build(tmp_path / "two", names=["localhost:5000/y:2", "y:3"])
    assert first == second
    assert one.read_bytes() != two.read_bytes()


@pytest.mark.parametrize(
    ("change", "what"),
    [({"tools": Tools(emulator=True)}, "needs vhost-device-vsock"), ({"names": ["X:1"]}, "X:1")],
    ids=["tools", "name"],
)
def test_what_is_refused_leaves_nothing(tmp_path: Path, change: dict[str, Any], what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        build(tmp_path, **change)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["enclave", "runner"]


def test_an_image_that_is_not_sound(tmp_path: Path) -> None:
    eif, _ = enclave(tmp_path / "bad")
    eif.write_bytes(eif.read_bytes()[:-1])
    with pytest.raises(EnclaverError, match=str(eif)):
        build(tmp_path, eif=eif)


def test_a_base_that_has_the_commands_name(tmp_path: Path) -> None:
    made = runner(tmp_path / "r", debian(tmp_path, 62, "enclaver"))
    with pytest.raises(EnclaverError, match="usr/bin/enclaver: brought twice"):
        build(tmp_path, runner=made)
