"""A stand-in for linuxkit, as nitro-cli calls it: an initrd of what a YAML file asks for. A program of its own.

The real one can't be had here. This does of it what AWS's blobs need, after linuxkit 1.5 (src/cmd/linuxkit: moby/build/
image.go and build.go, initrd/initrd.go) with AWS's patches (aws-nitro-enclaves-sdk-bootstrap, linuxkit/):

- an ``init`` image is created as a container, exported and removed; its entries go below ``prefix``;
- what a daemon lays over a container's root is left out or replaced, and has no time of its own;
- folders keep the slash at the end of their names, hard links become relative symlinks, times are the image's;
- then come ``files``, folders among them that the image has too.

It takes nothing else: no kernel, no onboot, no services, one format. It asks the daemon by the docker command.
"""

from __future__ import annotations

import argparse
import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import IO, Any, Final

import yaml

_HOSTS: Final = b"127.0.0.1       localhost\n::1     localhost ip6-localhost ip6-loopback\n"
_LEFT_OUT: Final = (".dockerenv", "Dockerfile", "dev/console", "dev/pts", "dev/shm", "etc/hostname")
_REPLACED: Final = {"etc/hosts": _HOSTS, "etc/resolv.conf": b"\n# no resolv.conf configured\n"}
_TOUCHED: Final = ("dev", "dev/pts", "dev/shm", "etc", "etc/mtab", "proc", "sys")
_FORMATS: Final = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.LNKTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
}


class Initrd:
    """A newc archive that grows."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._inode = 720
        self._size = 0

    def add(
        self, name: str, mode: int, *, owner: tuple[int, int] = (0, 0), time: int = 0, size: int = 0, body: IO[bytes]
    ) -> None:
        """Add an entry; ``body`` gives ``size`` bytes."""
        self._inode += 1
        raw = name.encode("utf-8", "surrogateescape") + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self._inode, mode, *owner, links, time, size, 3, 1, 0, 0, len(raw), 0)
        self._write(b"070701" + b"".join(b"%08x" % field for field in fields) + raw)
        self._pad(4)
        left = size
        while left:
            chunk = body.read(min(left, 1 << 20))
            assert chunk, f"{name} ends too early"
            self._write(chunk)
            left -= len(chunk)
        self._pad(4)

    def end(self) -> None:
        """Write the trailer."""
        self.add("TRAILER!!!", 0, body=io.BytesIO(b""))
        self._pad(512)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._size += len(data)

    def _pad(self, block: int) -> None:
        self._write(bytes(-self._size % block))


def add_image(initrd: Initrd, image: str, prefix: str) -> None:
    """Add a docker image's root."""
    for end in range(1, len(prefix.split("/"))):
        initrd.add("/".join(prefix.split("/")[:end]), stat.S_IFDIR | 0o755, body=io.BytesIO(b""))
    # The program is not run, but one has to be named where the image names none.
    container = docker("create", image, "/dev/null")
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
            assert export.stdout is not None
            with tarfile.open(fileobj=export.stdout, mode="r|") as tar:
                for member in tar:
                    add_member(initrd, tar, member, prefix)
        assert export.returncode == 0, "docker export failed"
    finally:
        docker("rm", container)


def add_member(initrd: Initrd, tar: tarfile.TarFile, member: tarfile.TarInfo, prefix: str) -> None:
    """Add one entry of an exported container."""
    if member.name in _LEFT_OUT:
        return
    body, size, mode = tar.extractfile(member) if member.isreg() else None, member.size, member.mode
    time = 0 if member.name in (*_TOUCHED, *_REPLACED) else int(member.mtime)
    if member.name in _REPLACED:
        body, size = io.BytesIO(_REPLACED[member.name]), len(_REPLACED[member.name])
    elif member.issym() or member.islnk():
        target = member.linkname if member.issym() else os.path.relpath(member.linkname, os.path.dirname(member.name))
        raw = target.encode("utf-8", "surrogateescape")
        body, size = io.BytesIO(raw), len(raw)
    initrd.add(
        prefix + member.name + ("/" if member.isdir() else ""),
        _FORMATS[member.type] | mode,
        owner=(member.uid, member.gid),
        time=time,
        size=size,
        body=body or io.BytesIO(b""),
    )


def add_file(initrd: Initrd, asked: dict[str, Any]) -> None:
    """Add one entry of ``files``."""
    mode = int(asked["mode"], 8)
    if asked.get("directory"):
        initrd.add(asked["path"], stat.S_IFDIR | mode, body=io.BytesIO(b""))
        return
    with Path(asked["source"]).open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        initrd.add(asked["path"], stat.S_IFREG | mode, size=size, body=source)


def docker(*argv: str) -> str:
    """Run the docker command; returns what it printed."""
    return subprocess.run(["docker", *argv], check=True, capture_output=True, text=True).stdout.strip()


def wishes(path: Path) -> dict[str, Any]:
    """Read the YAML file and refuse what this stand-in does not know."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    unknown = set(document) - {"prefix", "init", "files"}
    assert not unknown, f"this stand-in knows nothing of {unknown}"
    return document


def main() -> None:
    """Build."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("command", choices=["build"])
    parser.add_argument("--docker", action="store_true")
    parser.add_argument("--name", required=True)
    parser.add_argument("--format", choices=["kernel+initrd-nogz"], required=True)
    parser.add_argument("--no-sbom", action="store_true", required=True)
    parser.add_argument("config", type=Path)
    args = parser.parse_args()
    with Path(f"{args.name}-initrd.img").open("wb") as out:
        initrd, asked = Initrd(out), wishes(args.config)
        for image in asked.get("init", []):
            assert args.docker, "only images that a docker daemon has"
            add_image(initrd, image, asked.get("prefix", ""))
        for file in asked.get("files", []):
            add_file(initrd, file)
        initrd.end()


if __name__ == "__main__":
    main()
