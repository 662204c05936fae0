"""Small real .deb files and a whole archive made of them, for tests: no binary is kept in git."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from enclaver.core.debian.lock import Lock, Package, render


@dataclass(frozen=True)
class Member:
    """One member of a data.tar; ``kind`` is tarfile's type byte."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    link: str = ""
    pax: dict[str, str] = field(default_factory=dict)


def folder(name: str, mode: int = 0o755) -> Member:
    return Member(name, kind=tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Member:
    return Member(name, kind=tarfile.SYMTYPE, mode=0o777, link=target)


def hardlink(name: str, target: str) -> Member:
    return Member(name, kind=tarfile.LNKTYPE, link=target)


def data_tar(members: Iterable[Member]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.mode, info.uid, info.gid = member.kind, member.mode, member.uid, member.gid
            info.linkname, info.size, info.pax_headers = member.link, len(member.data), member.pax
            archive.addfile(info, io.BytesIO(member.data))
    return buffer.getvalue()


def ar(members: Iterable[tuple[str, bytes]]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def compress(data: bytes, extension: str) -> bytes:
    if extension == ".xz":
        return lzma.compress(data)
    if extension == ".zst":
        return zstandard.ZstdCompressor().compress(data)
    if extension == ".gz":
        return gzip.compress(data, mtime=0)
    return data


def deb(members: Iterable[Member], extension: str = ".xz", control: str = "") -> bytes:
    control_tar = data_tar([Member("./control", control.encode())])
    return ar(
        [
            ("debian-binary", b"2.0\n"),
            ("control.tar.gz", gzip.compress(control_tar, mtime=0)),
            (f"data.tar{extension}", compress(data_tar(members), extension)),
        ]
    )


def package(name: str, data: bytes, version: str = "1.0", *, archive: str = "debian") -> Package:
    """The lock's object for a deb with these bytes."""
    path = f"pool/main/{name[0]}/{name}/{name}_{version}_amd64.deb"
    return Package(name, version, "amd64", archive, path, hashlib.sha256(data).hexdigest(), len(data))


def stanza(item: Package, **fields: str) -> str:
    """The package's stanza of a Packages index; an underscore in a field's name is a hyphen."""
    lines = {
        "Package": item.name,
        "Version": item.version,
        "Architecture": item.architecture,
        **{key.replace("_", "-"): value for key, value in fields.items()},
        "Filename": item.path,
        "Size": str(item.size),
        "SHA256": item.sha256,
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def release(suite: str, packages_xz: bytes, *, label: str = "Debian", extra: str = "") -> str:
    """A Release file that lists one Packages.xz of main for amd64."""
    digest = hashlib.sha256(packages_xz).hexdigest()
    return (
        f"Origin: Debian\nLabel: {label}\nSuite: oldstable\nCodename: {suite}\n"
        f"Architectures: all amd64 arm64\nComponents: main\nAcquire-By-Hash: yes\n{extra}"
        f"SHA256:\n {digest} {len(packages_xz)} main/binary-amd64/Packages.xz\n"
    )


def write_archive(
    root: Path, suite: str, stanzas: Sequence[str], *, label: str = "Debian", extra: str = "", by_hash: bool = True
) -> Path:
    """A suite below ``root/dists``, unsigned; returns the place of its Release text, ``InRelease``."""
    data = lzma.compress("\n".join(stanzas).encode())
    index = root / "dists" / suite / "main" / "binary-amd64"
    index.mkdir(parents=True)
    (index / "Packages.xz").write_bytes(data)
    if by_hash:
        (index / "by-hash" / "SHA256").mkdir(parents=True)
        (index / "by-hash" / "SHA256" / hashlib.sha256(data).hexdigest()).write_bytes(data)
    signed = root / "dists" / suite / "InRelease"
    signed.write_text(release(suite, data, label=label, extra=extra))
    return signed


def write_lock(path: Path, packages: Sequence[Package], requested: Sequence[str] = ()) -> Path:
    path.write_bytes(render(Lock("bookworm", "amd64", tuple(requested), tuple(packages))))
    return path


def trusting_gpgv(folder: Path) -> Path:
    """A gpgv that finds every signature good, to be put on PATH; returns a keyring for it."""
    folder.mkdir()
    program = folder / "gpgv"
    program.write_text(
        '#!/bin/sh\necho "[GNUPG:] GOODSIG 0123 Somebody"\n'
        'while [ $# -gt 1 ]; do [ "$1" = --output ] && out=$2; shift; done\ncat "$1" > "$out"\n'
    )
    program.chmod(0o755)
    keyring = folder / "keyring.gpg"
    keyring.touch()
    return keyring
