"""Debian's stages from end to end, on an archive of three packages that the test makes."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path

import pytest

from enclaver.build import debian
from enclaver.core.debian import lock as lock_format
from enclaver.core.debian.lock import Package
from enclaver.core.errors import EnclaverError
from enclaver.core.trust import materials
from enclaver.system import apt, snapshot
from tests import fake_debian
from tests.fake_debian import Member, folder, hardlink, stanza, symlink

DEBS = {
    "app": fake_debian.deb([folder("./bin/"), Member("./bin/app", b"app", mode=0o755), symlink("./bin/sh", "app")]),
    "lib": fake_debian.deb(
        [Member("./usr/lib/lib.so", b"lib"), hardlink("./usr/lib/lib.so.1", "./usr/lib/lib.so")], ".zst"
    ),
    "other": fake_debian.deb([Member("./usr/bin/app", b"other")]),
}
NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)
OLD = "Valid-Until: Sun, 01 Nov 2026 00:00:00 UTC\n"


class Archive:
    """The mirror's folder, and what stands in for gpgv and the machine's sources."""

    def __init__(self, root: Path, keyring: Path) -> None:
        self.root = root
        self.keyring = keyring
        self.mirror = f"file://{root}"
        self.packages: dict[str, Package] = {}

    def add(self, name: str, kind: str = "debian", version: str = "1.0") -> Package:
        item = fake_debian.package(name, DEBS[name], version, archive=kind)
        path = self.root / kind / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DEBS[name])
        self.packages[name] = item
        return item

    def request(self, *names: str, **changes: object) -> debian.LockRequest:
        fields: dict[str, object] = {"mirrors": (self.mirror,), "keyring": self.keyring, "now": NOW, **changes}
        return debian.LockRequest("bookworm", "amd64", names, **fields)  # type: ignore[arg-type] # Any fields.


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    keyring = fake_debian.trusting_gpgv(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{tmp_path}/programs:{os.environ['PATH']}")
    monkeypatch.setattr(apt, "sources", list)
    monkeypatch.setattr(snapshot, "ROOT", f"file://{tmp_path}/snapshot")
    found = Archive(tmp_path / "mirror", keyring)
    app, lib = found.add("app"), found.add("lib", "debian-security", "1.0+deb12u1")
    stanzas = [
        stanza(app, Depends="lib"),
        stanza(fake_debian.package("lib", b"old", "1.0")),
        stanza(found.add("other")),
    ]
    fake_debian.write_archive(found.root / "debian", "bookworm", stanzas)
    fake_debian.write_archive(found.root / "debian", "bookworm-updates", [], by_hash=False)
    fake_debian.write_archive(
        found.root / "debian-security", "bookworm-security", [stanza(lib)], label="Debian-Security", extra=OLD
    )
    return found


@pytest.fixture
def locked(archive: Archive, tmp_path: Path) -> Path:
    return fake_debian.write_lock(tmp_path / "x.lock.json", [archive.packages[name] for name in ("app", "lib")])


def fetch(archive: Archive, lock: Path, tmp_path: Path) -> Path:
    debian.fetch(lock=lock, output=tmp_path / "debs", cache=tmp_path / "cache", mirrors=[archive.mirror])
    return tmp_path / "debs"


def test_a_lock_has_the_newest_of_all_suites(archive: Archive) -> None:
    lines: list[str] = []
    found = debian.lock(archive.request("app", allow_expired=True), lines.append)
    assert found.packages == (archive.packages["app"], archive.packages["lib"])
    assert (found.suite, found.architecture, found.requested) == ("bookworm", "amd64", ("app",))
    assert [line.partition(":")[0] for line in lines[:3]] == ["bookworm", "bookworm-updates", "bookworm-security"]
    assert str(archive.root) not in lock_format.render(found).decode()


def test_expired_indexes_are_refused(archive: Archive) -> None:
    with pytest.raises(EnclaverError, match=r"bookworm-security expired at 2026-11-01 00:00 UTC"):
        debian.lock(archive.request("app"))


def test_an_index_that_is_not_the_signed_one_is_refused(archive: Archive) -> None:
    index = archive.root / "debian" / "dists" / "bookworm" / "main" / "binary-amd64"
    for path in [index / "Packages.xz", *(index / "by-hash" / "SHA256").iterdir()]:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(EnclaverError) as error:
        debian.lock(archive.request("app", allow_expired=True))
    assert str(error.value).count("its sha256 is not the one that the Release file lists") == 2


def test_a_mirror_that_serves_nothing_good_is_passed_over(archive: Archive, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    fake_debian.write_archive(wrong / "debian", "bookworm", [], label="Ubuntu")
    mirrors = (f"file://{wrong}", f"file://{tmp_path}/gone", archive.mirror)
    assert len(debian.lock(archive.request("app", mirrors=mirrors, allow_expired=True)).packages) == 2
    with pytest.raises(EnclaverError) as error:
        debian.lock(archive.request("app", mirrors=mirrors[:2]))
    assert "no mirror has a good Release file of bookworm (debian)" in str(error.value)
    assert "this is the Release file of Ubuntu" in str(error.value)
    assert "No such file or directory" in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"no xz" * 9, "it is not xz data"), (fake_debian.compress(b"x", ".xz")[:-1], "it is cut short")],
)
def test_a_signed_index_that_is_no_xz_is_refused(archive: Archive, data: bytes, message: str) -> None:
    dists = archive.root / "debian" / "dists" / "bookworm"
    (dists / "InRelease").write_text(fake_debian.release("bookworm", data))
    (dists / "main" / "binary-amd64" / "Packages.xz").write_bytes(data)
    with pytest.raises(EnclaverError, match=message):
        debian.lock(archive.request("app"))


def test_a_suite_that_stands_alone_has_no_updates(archive: Archive) -> None:
    fake_debian.write_archive(archive.root / "debian", "sid", [stanza(archive.packages["other"])])
    request = debian.LockRequest("sid", "amd64", ("other",), (archive.mirror,), keyring=archive.keyring)
    assert [package.name for package in debian.lock(request).packages] == ["other"]


def test_packages_are_fetched_and_laid_out(archive: Archive, locked: Path, tmp_path: Path) -> None:
    debs = fetch(archive, locked, tmp_path)
    cpio, entries = tmp_path / "x.cpio", tmp_path / "x.json"
    lines: list[str] = []
    debian.tree(lock=locked, debs=debs, cpio=cpio, entries=entries, progress=lines.append)
    tree, inputs = materials.load_tree(cpio, entries)
    assert [entry.path for entry in tree] == [
        *("bin", "lib", "usr", "usr/bin", "usr/bin/app", "usr/bin/sh", "usr/lib", "usr/lib/lib.so", "usr/lib/lib.so.1")
    ]
    origins = {entry.path: entry.origin for entry in tree}
    assert (origins["usr/bin/app"], origins["usr/lib/lib.so"]) == ("deb:app=1.0", "deb:lib=1.0+deb12u1")
    lib = archive.packages["lib"]
    assert inputs[1] == materials.Input("deb", "lib", lib.sha256, lib.size, "1.0+deb12u1")
    assert lines == ["2 packages, 9 entries"]
    again = tmp_path / "again.cpio"
    debian.tree(lock=locked, debs=debs, cpio=again, entries=tmp_path / "again.json")
    assert again.read_bytes() == cpio.read_bytes()
    assert (tmp_path / "again.json").read_bytes() == entries.read_bytes()


def test_packages_are_unpacked(archive: Archive, locked: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    out = tmp_path / "deep" / "tree"
    debian.unpack(lock=locked, debs=fetch(archive, locked, tmp_path), folder=out, progress=lines.append)
    assert (out / "bin" / "app").read_bytes() == b"app"
    assert (out / "bin" / "app").stat().st_mode & 0o7777 == 0o755
    assert (out / "lib" / "lib.so").samefile(out / "usr" / "lib" / "lib.so.1")
    assert [path.name for path in out.parent.iterdir()] == ["tree"]
    assert lines == ["unpacking 2 packages", "unpacked 9 entries"]


@pytest.mark.parametrize("change", ["cut", "changed", "gone"])
def test_a_deb_that_is_not_the_locked_one_leaves_no_output(
    archive: Archive, locked: Path, tmp_path: Path, change: str
) -> None:
    debs = fetch(archive, locked, tmp_path)
    deb = debs / f"{archive.packages['lib'].sha256}.deb"
    data = deb.read_bytes()
    deb.unlink()
    if change != "gone":
        deb.write_bytes(data[:-1] if change == "cut" else data[:-1] + b"X")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(EnclaverError, match=r"lib=1\.0"):
        debian.tree(lock=locked, debs=debs, cpio=tmp_path / "x.cpio", entries=tmp_path / "x.json")
    assert sorted(tmp_path.iterdir()) == before


def test_one_file_in_two_packages_is_an_error(archive: Archive, tmp_path: Path) -> None:
    lock = fake_debian.write_lock(tmp_path / "y.lock.json", [archive.packages["app"], archive.packages["other"]])
    debs = fetch(archive, lock, tmp_path)
    with pytest.raises(EnclaverError, match="usr/bin/app: brought twice"):
        debian.tree(lock=lock, debs=debs, cpio=tmp_path / "x.cpio", entries=tmp_path / "x.json")


def test_a_package_that_left_the_mirrors_comes_from_the_snapshot_archive(
    archive: Archive, locked: Path, tmp_path: Path
) -> None:
    app = archive.packages["app"]
    (archive.root / "debian" / app.path).unlink()
    with pytest.raises(EnclaverError, match=r"app=1\.0 .* could not be fetched"):
        fetch(archive, locked, tmp_path)
    kept = tmp_path / "snapshot"
    (kept / "file").mkdir(parents=True)
    (kept / "file" / ("a" * 40)).write_bytes(DEBS["app"])
    answer = {"fileinfo": {"a" * 40: [{"name": app.path.rpartition("/")[2], "size": app.size}]}}
    # A file URL has no query, so the last part of the interface's path serves as the file's name.
    (kept / "mr" / "binary" / "app" / "1.0").mkdir(parents=True)
    (kept / "mr" / "binary" / "app" / "1.0" / "binfiles").write_text(json.dumps(answer))
    debs = fetch(archive, locked, tmp_path)
    assert (debs / f"{app.sha256}.deb").read_bytes() == DEBS["app"]
