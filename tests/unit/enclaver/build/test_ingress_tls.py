from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from enclaver.build.ingress_tls import MAX_SIZE, pack
from enclaver.core.manifest.model import Manifest
from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.problems import ManifestError
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import Input
from tests.certificates import Authority, Identity, ec_key, encrypted_pem, key_pem

AUTHORITY = Authority()
HEAD = "version: v1\nname: n\nsources:\n  app: ':a'\ningress:\n"
PORT = "  - listen_port: {port}\n    tls:\n      key_file: {key}\n      cert_file: {cert}\n"


def manifest(folder: Path, *ports: tuple[int, str, str]) -> Manifest:
    text = HEAD + "".join(PORT.format(port=port, cert=cert, key=key) for port, cert, key in ports)
    return parse(text.encode(), str(folder / "enclaver.yaml"))


def write(folder: Path, identity: Identity) -> None:
    folder.mkdir(exist_ok=True)
    identity.write(folder)


def content(tree: Tree, path: str) -> bytes:
    entry = tree.get(path)
    assert entry is not None
    return b"".join(bytes(chunk) for chunk in tree.content(entry).chunks())


def test_without_tls_nothing_is_read(tmp_path: Path) -> None:
    plain = parse((HEAD + "  - listen_port: 1\n").encode(), "f")
    tree, inputs = pack(plain, tmp_path / "missing")
    assert (len(tree), inputs) == (0, [])


def test_files_are_laid_by_port_for_root_alone_and_come_with_their_origin(tmp_path: Path) -> None:
    first, second = AUTHORITY.identity(), AUTHORITY.identity()
    write(tmp_path / "one", first)
    write(tmp_path / "two", second)
    named = manifest(tmp_path, (8443, "two/cert.pem", "two/key.pem"), (443, "one/cert.pem", "one/key.pem"))
    tree, inputs = pack(named, tmp_path)
    assert [(entry.path, entry.mode, entry.uid, entry.gid, entry.origin) for entry in tree] == [
        ("etc/enclaver/tls", 0o700, 0, 0, "enclaver"),
        ("etc/enclaver/tls/443", 0o700, 0, 0, "enclaver"),
        ("etc/enclaver/tls/443/cert.pem", 0o400, 0, 0, "file:one/cert.pem"),
        ("etc/enclaver/tls/443/key.pem", 0o400, 0, 0, "file:one/key.pem"),
        ("etc/enclaver/tls/8443", 0o700, 0, 0, "enclaver"),
        ("etc/enclaver/tls/8443/cert.pem", 0o400, 0, 0, "file:two/cert.pem"),
        ("etc/enclaver/tls/8443/key.pem", 0o400, 0, 0, "file:two/key.pem"),
    ]
    assert content(tree, "etc/enclaver/tls/443/cert.pem") == first.chain
    assert content(tree, "etc/enclaver/tls/8443/key.pem") == second.key
    assert {one.name for one in inputs} == {"one/cert.pem", "one/key.pem", "two/cert.pem", "two/key.pem"}
    key = next(one for one in inputs if one.name == "one/key.pem")
    assert key == Input("file", "one/key.pem", sha256(first.key).hexdigest(), len(first.key))


def test_one_file_may_hold_both_and_serve_many_ports(tmp_path: Path) -> None:
    identity = AUTHORITY.identity()
    (tmp_path / "all.pem").write_bytes(b"# of the server\r\n" + identity.key + identity.chain)
    tree, inputs = pack(manifest(tmp_path, *((port, "all.pem", "all.pem") for port in (1, 2))), tmp_path)
    assert content(tree, "etc/enclaver/tls/1/cert.pem") == content(tree, "etc/enclaver/tls/2/cert.pem")
    assert content(tree, "etc/enclaver/tls/1/cert.pem") == identity.chain
    assert content(tree, "etc/enclaver/tls/2/key.pem") == identity.key
    assert [one.name for one in inputs] == ["all.pem"]


def test_what_stands_beside_the_blocks_is_not_measured(tmp_path: Path) -> None:
    identity = AUTHORITY.identity()
    write(tmp_path, identity)
    named = manifest(tmp_path, (1, "cert.pem", "key.pem"))
    before, _ = pack(named, tmp_path)
    write(tmp_path, Identity(b"Bag Attributes\n" + identity.chain, identity.key.replace(b"\n", b"\r\n")))
    after, _ = pack(named, tmp_path)
    assert after == before


def refused(folder: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        pack(manifest(folder, (1, "cert.pem", "key.pem")), folder)
    return str(caught.value)


def test_what_is_missing_is_told_together_at_the_manifests_lines(tmp_path: Path) -> None:
    said = refused(tmp_path)
    for line, name, key in ((8, "key.pem", "key_file"), (9, "cert.pem", "cert_file")):
        assert (
            f"{tmp_path}/enclaver.yaml:{line}:7: `ingress[0].tls.{key}`: {tmp_path}/{name}: cannot read: No such"
            in said
        )
    assert "Name a PEM file" in said


def test_wrong_kinds_of_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "key.pem").mkdir()
    (tmp_path / "cert.pem").write_bytes(b"\n" * (MAX_SIZE + 1))
    said = refused(tmp_path)
    assert "cert.pem: is larger than 256 KiB" in said
    assert "key.pem: cannot read: Is a directory" in said


@pytest.mark.parametrize(
    ("chain", "key", "place", "what"),
    [
        (b"", key_pem(ec_key()), "9:7", "cert.pem: holds no certificate in PEM"),
        (AUTHORITY.pem, key_pem(ec_key()), "9:7", "cert.pem: line 1: the certificate is not that of the private key"),
        (AUTHORITY.pem, encrypted_pem(ec_key()), "8:7", "key.pem: line 1: the private key is encrypted"),
    ],
)
def test_unfit_files_are_refused_with_both_places_and_a_cure(
    tmp_path: Path, chain: bytes, key: bytes, place: str, what: str
) -> None:
    write(tmp_path, Identity(chain, key))
    said = refused(tmp_path)
    assert said.startswith(f"{tmp_path}/enclaver.yaml:{place}: ")
    assert what in said.splitlines()[0]
    assert len(said.splitlines()) == 4
