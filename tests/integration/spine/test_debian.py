"""Debian's real archive and real tools: signatures, closures and trees against gpg, apt, dpkg and dpkg-deb."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.build import debian
from enclaver.core.debian import archive, closure, relations, rules, slim
from enclaver.core.debian import folder as debian_folder
from enclaver.core.debian import lock as lock_format
from enclaver.core.debian.index import PackageIndex
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tree import Kind, Tree, path_bytes
from enclaver.core.trust import materials
from enclaver.system import gpgv
from tests.integration.tools import ROOT, require

pytestmark = pytest.mark.slow

# The runtime's locks ship with the plugin, the others are this repository's.
LOCKS = {
    path.name.removesuffix(".lock.json"): path
    for folder in ("3rdparty/debian", "pants-plugins/enclaver/locks")
    for path in sorted((ROOT / folder).glob("*.lock.json"))
}
RUNTIME = LOCKS["runtime.amd64"]


def unreachable(error: EnclaverError) -> None:
    """Skip what needs the archive where there is none, as ``require`` does for tools."""
    reason = f"Debian's archive is not reachable: {error}"
    if os.environ.get("ENCLAVER_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def index() -> PackageIndex:
    require("gpgv")
    try:
        return debian.read_indexes(debian.LockRequest("bookworm", "amd64", (), now=datetime.now(timezone.utc)))
    except EnclaverError as error:
        unreachable(error)
        raise


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime lock's packages."""
    folder = tmp_path_factory.mktemp("debs")
    lock_format.load(RUNTIME)
    try:
        debian.fetch(lock=RUNTIME, output=folder / "debs", cache=folder / "cache")
    except EnclaverError as error:
        unreachable(error)
    return folder / "debs"


def output(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


# --- Signatures -------------------------------------------------------------------------------------------------


def gpg(home: Path, *arguments: str, data: bytes = b"") -> bytes:
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    return subprocess.run([*command, *arguments], input=data, check=True, capture_output=True).stdout


def key(folder: Path, name: str) -> tuple[Path, Path]:
    """A new key: its GnuPG home and a keyring with its public half."""
    require("gpg")
    home = folder / name
    home.mkdir(mode=0o700)
    gpg(home, "--quick-generate-key", f"{name} <{name}@example.com>", "ed25519", "sign", "never")
    keyring = folder / f"{name}.gpg"
    keyring.write_bytes(gpg(home, "--export"))
    return home, keyring


def test_real_signatures(tmp_path: Path) -> None:
    require("gpgv")
    (home, keyring), (_, other) = key(tmp_path, "archive"), key(tmp_path, "stranger")
    text = b"Codename: bookworm\n- a line that clear-signing escapes\n"
    signed = gpg(home, "--clearsign", data=text)
    try:
        assert gpgv.verify_clearsigned(signed, keyring=keyring, file="x") == text
        around = b"Codename: before\n\n" + signed + b"\nCodename: after\n"
        with pytest.raises(EnclaverError):
            gpgv.verify_clearsigned(around.replace(b"bookworm", b"trixie"), keyring=keyring, file="x")
        with pytest.raises(EnclaverError, match="the signature does not fit the file"):
            gpgv.verify_clearsigned(signed.replace(b"bookworm", b"bookwurm"), keyring=keyring, file="x")
        with pytest.raises(EnclaverError, match="the keyring has no key for the signature"):
            gpgv.verify_clearsigned(signed, keyring=other, file="x")
        for unsigned in (text, b"", signed[: len(signed) // 2]):
            with pytest.raises(EnclaverError, match="the signature is not good"):
                gpgv.verify_clearsigned(unsigned, keyring=keyring, file="x")
        try:
            # What stands around a signed part is either refused or not read.
            assert gpgv.verify_clearsigned(around, keyring=keyring, file="x") == text
        except EnclaverError as error:
            assert "the signature is not good" in str(error)  # noqa: PT017 - both outcomes are right.
    finally:
        for folder in (home, tmp_path / "stranger"):
            subprocess.run(["gpgconf", "--homedir", str(folder), "--kill", "all"], check=False)


# --- Versions and closures --------------------------------------------------------------------------------------

VERSIONS = st.from_regex(r"([0-2]:)?[0-9]([0-9a.+~]{0,5})(-[0-9a.+~]{1,4})?", fullmatch=True)


@settings(max_examples=150, deadline=None)
@given(VERSIONS, VERSIONS)
def test_versions_are_ordered_as_dpkg_orders_them(left: str, right: str) -> None:
    dpkg = require("dpkg")
    code = subprocess.run([dpkg, "--compare-versions", left, "gt", right], check=False, capture_output=True).returncode
    assert code in (0, 1)
    assert relations.newer(left, right) is (code == 0)


@pytest.fixture(scope="module")
def apt(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An apt-get that believes in an empty amd64 system, with indexes of its own."""
    program = require("apt-get")
    folder = tmp_path_factory.mktemp("apt")
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    options = (
        *(f"Dir::State={folder}/state", f"Dir::Cache={folder}/cache", f"Dir::State::status={folder}/status"),
        *("APT::Architecture=amd64", "APT::Architectures=amd64", "APT::Sandbox::User=root"),
    )
    command = [str(program), *(word for option in options for word in ("-o", option))]
    subprocess.run([*command, "update"], check=True, capture_output=True)
    return command


@pytest.mark.parametrize("lock", [name for name in LOCKS if name.endswith(".amd64")])
def test_a_closure_is_apts_but_for_what_scripts_need(index: PackageIndex, apt: list[str], lock: str) -> None:
    requested = list(lock_format.load(LOCKS[lock]).requested)
    ours = {package.name: package.version for package in closure.resolve(index, requested)}
    text = output(*apt, "install", "--simulate", "--no-install-recommends", *requested)
    theirs = dict(re.findall(r"^Inst (\S+) \((\S+) ", text, re.MULTILINE))
    assert ours.items() <= theirs.items()
    # What apt has on top is only there because of the dependencies that the rules leave out.
    left_out = [name for _, name in rules.SCRIPT_DEPENDENCIES if name in theirs]
    assert left_out
    wider = {package.name for package in closure.resolve(index, [*requested, *left_out])}
    assert theirs.keys() - ours.keys() <= wider


@pytest.mark.parametrize("path", LOCKS.values(), ids=LOCKS)
def test_the_repositorys_locks_are_canonical_and_name_no_host(path: Path) -> None:
    text = path.read_bytes()
    lock = lock_format.parse(text, str(path))
    assert lock_format.render(lock) == text
    assert b"://" not in text
    assert f".{lock.architecture}." in path.name


# --- Trees ------------------------------------------------------------------------------------------------------


def extracted(root: Path) -> dict[str, tuple[object, ...]]:
    """What ``dpkg-deb -x`` left, in terms of a tree's entries; hard links by the inode's first path."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(root))
        owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else (0, 0)
        if stat.S_ISLNK(status.st_mode):
            found[name] = (Kind.SYMLINK, *owner, os.readlink(path))
        elif stat.S_ISDIR(status.st_mode):
            found[name] = (Kind.DIRECTORY, *owner, stat.S_IMODE(status.st_mode))
        else:
            first = inodes.setdefault(status.st_ino, name)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[name] = (Kind.FILE, *owner, stat.S_IMODE(status.st_mode), digest, first)
    return found


def described(tree: Tree) -> dict[str, tuple[object, ...]]:
    """A tree in the terms of ``extracted``."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[str, str] = {}
    for entry in tree:
        owner = (entry.uid, entry.gid) if os.geteuid() == 0 else (0, 0)
        if entry.kind is Kind.SYMLINK:
            found[entry.path] = (entry.kind, *owner, entry.target)
        elif entry.kind is Kind.DIRECTORY:
            found[entry.path] = (entry.kind, *owner, entry.mode)
        else:
            first = inodes.setdefault(tree.inode(entry).path, entry.path)
            digest = hashlib.sha256()
            for chunk in tree.content(entry).chunks():
                digest.update(chunk)
            found[entry.path] = (entry.kind, *owner, entry.mode, digest.hexdigest(), first)
    return found


def test_every_package_of_the_runtime_is_read_as_dpkg_deb_extracts_it(debs: Path, tmp_path: Path) -> None:
    dpkg_deb = require("dpkg-deb")
    packages = lock_format.load(RUNTIME).packages
    assert len(packages) > 20
    for package in packages:
        deb = debs / f"{package.sha256}.deb"
        archive.verify(deb, package)
        tar, folder = tmp_path / f"{package.name}.tar", tmp_path / package.name
        with tar.open("wb") as out:
            archive.unpack_data(deb, out)
        subprocess.run([dpkg_deb, "-x", deb, folder], check=True)
        assert described(archive.read_data(tar, origin="x", deb=deb)) == extracted(folder), package.label


def test_a_tree_written_to_a_folder_is_the_tree(debs: Path, tmp_path: Path) -> None:
    packages = lock_format.load(RUNTIME).packages
    (tmp_path / "spool").mkdir()
    tree = debian.read_packages(packages, debs, tmp_path / "spool")
    debian_folder.write(tree, tmp_path / "tree", owners=os.geteuid() == 0)
    assert extracted(tmp_path / "tree") == described(tree)


def test_the_slim_runtime_is_whole(debs: Path, tmp_path: Path) -> None:
    """Every shared library that is left finds those it needs, and Python runs in it."""
    readelf = require("readelf")
    cpio, entries = tmp_path / "x.cpio", tmp_path / "x.json"
    debian.tree(lock=RUNTIME, debs=debs, cpio=cpio, entries=entries)
    tree, _ = materials.load_tree(cpio, entries)
    slim.for_runtime(tree)
    assert sum(tree.content(entry).size for entry in tree if entry.kind is Kind.FILE) < 32e6
    root = tmp_path / "root"
    debian_folder.write(tree, root, owners=os.geteuid() == 0)
    libraries = root / "usr" / "lib" / "x86_64-linux-gnu"
    for entry in tree:
        path = Path(os.fsdecode(os.fsencode(root) + b"/" + path_bytes(entry.path)))
        if entry.kind is not Kind.FILE or path.read_bytes()[:4] != b"\x7fELF":
            continue
        for needed in re.findall(r"\(NEEDED\).*\[(.*)\]", output(readelf, "-d", path)):
            assert (libraries / needed).exists(), f"{entry.path} needs {needed}"
    if os.geteuid() == 0 and os.uname().machine == "x86_64":
        program = (
            "import asyncio, ctypes, email, json, multiprocessing, socket, ssl, sys, uuid, zipfile; "
            "sys.path.append('/usr/lib/python3/dist-packages'); "
            "from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key; "
            "generate_private_key(65537, 2048); print(sys.version)"
        )
        assert output("chroot", root, "/usr/bin/python3.11", "-IS", "-c", program).startswith("3.11.")
