from __future__ import annotations

import json
from pathlib import Path

import pytest

from enclaver.build import ramdisks, shipped
from enclaver.build.app import app
from enclaver.build.ramdisks import Fetching
from enclaver.core.errors import EnclaverError
from enclaver.core.trust.materials import load_tree
from enclaver.system import wheels
from tests import fake_debian
from tests.fake_debian import Member
from tests.unit.enclaver.build import apps
from tests.unit.enclaver.core.oci.archives import archived, member, parts, tar


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def fetching(tmp_path: Path, said: list[str]) -> Fetching:
    return Fetching(tmp_path / "cache", [(tmp_path / "mirror").as_uri()], [], said.append)


def test_a_locks_packages_become_a_tree(tmp_path: Path, fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    data = fake_debian.deb([Member("./usr/bin/a", b"a")])
    package = fake_debian.package("base", data)
    served = tmp_path / "mirror" / "debian" / package.path
    served.parent.mkdir(parents=True)
    served.write_bytes(data)
    fake_debian.write_lock(tmp_path / "x.lock.json", [package], ["base"])
    monkeypatch.setattr(shipped, "lock", lambda name: tmp_path / name)
    tree, inputs = load_tree(*ramdisks.debian_tree("x", tmp_path, fetching))
    assert "usr/bin/a" in tree
    assert [one.name for one in inputs] == ["base"]
    # The package stays for the next build, which needs no mirror.
    served.unlink()
    (tmp_path / "again").mkdir()
    ramdisks.debian_tree("x", tmp_path / "again", fetching)


def test_wheels_are_fetched_once(fetching: Fetching, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(lock: Path, output: Path, *, indexes: object) -> None:
        asked.append(lock)
        output.mkdir()
        (output / "a.whl").write_bytes(b"a")

    monkeypatch.setattr(wheels, "download", download)
    first, lock = ramdisks.runtime_wheels(fetching)
    assert (first / "a.whl").read_bytes() == b"a"
    assert ramdisks.runtime_wheels(fetching) == (first, lock)
    assert len(asked) == len(said) == 1


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["a.whl", "b.whl", "SHA256SUMS"])
def test_wheels_that_were_damaged_are_fetched_anew(
    fetching: Fetching, said: list[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def download(lock: Path, output: Path, *, indexes: object) -> None:
        output.mkdir()
        for wheel in ("a.whl", "b.whl"):
            (output / wheel).write_text(wheel)

    monkeypatch.setattr(wheels, "download", download)
    folder, _ = ramdisks.runtime_wheels(fetching)
    for damage in (Path.unlink, lambda path: path.write_bytes(b"\xff"), folder_instead):
        damage(folder / name)
        assert ramdisks.runtime_wheels(fetching)[0] == folder
        assert [(folder / wheel).read_text() for wheel in ("a.whl", "b.whl")] == ["a.whl", "b.whl"]
    assert len(said) == 4
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_wheels_that_cannot_be_fetched_leave_nothing(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(lock: Path, output: Path, *, indexes: object) -> None:
        output.mkdir()
        raise EnclaverError("no")

    monkeypatch.setattr(wheels, "download", download)
    with pytest.raises(EnclaverError):
        ramdisks.runtime_wheels(fetching)
    assert [path.suffix for path in (fetching.cache / "wheels").iterdir()] == [".lock"]


def test_an_app_is_the_same_as_under_pants(tmp_path: Path) -> None:
    image = tmp_path / "somewhere.tar"
    image.write_bytes(archived(parts(tar(member("bin/a", apps.elf(), mode=0o755)), Cmd=["/bin/a"]).files()))
    manifest = tmp_path / "enclaver.yaml"
    manifest.write_text(apps.MANIFEST)
    with ramdisks.app_ramdisk(
        image,
        "app:1",
        architecture="x86_64",
        drop_xattrs=False,
        manifest=manifest,
        work=tmp_path,
        cache=tmp_path / "layers",
    ) as unwritten:
        made = unwritten.saved(tmp_path / "made.cpio", tmp_path / "made.json")
    pants = tmp_path / "pants"
    (pants / "app").mkdir(parents=True)
    (pants / "app" / ramdisks.APP_IMAGE).write_bytes(image.read_bytes())
    item = {"path": ramdisks.APP_IMAGE, "as": ramdisks.APP_IMAGE, "kind": "package", "target": "app:1"}
    spec = apps.description(pants / "app.json", [item])
    output = pants / "app.cpio", pants / "app.entries.json"
    app(tree=None, folder=pants / "app", spec=spec, manifest=manifest, output=output)
    assert made.archive.read_bytes() == output[0].read_bytes()
    assert made.entries.read_bytes() == output[1].read_bytes()
    assert json.loads(made.entries.read_bytes())["inputs"][0]["name"] == "app:1"
