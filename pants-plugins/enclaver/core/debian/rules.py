"""What maintainer scripts would have made, and what only they need: the rules that stand in for them.

No maintainer script is run on a tree (they expect a live system, and what they do may differ from run to run).
The few results that a tree needs are written here, each with its reason, and applied in this order. A rule only
ever adds a path that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import ORIGIN
from enclaver.core.rootfs.tree import Content, Entry, InlineContent, Kind, Tree

# Dependencies that exist for maintainer scripts alone, as (package or "" for any, dependency). The closure
# leaves them out unless they are asked for by name.
SCRIPT_DEPENDENCIES: Final[dict[tuple[str, str], str]] = {
    ("", "debconf"): "asks questions during installation",
    ("", "debconf-2.0"): "the virtual name of debconf",
    ("", "dpkg"): "a minimum version of the installer, for what its scripts and triggers use",
    ("", "init-system-helpers"): "registers services; an enclave has no init system",
    ("", "usrmerge"): "merges /bin, /sbin and /lib into /usr, which every tree here has done",
    ("", "usr-is-merged"): "asserts the same",
    ("", "ucf"): "keeps a user's changes to configuration files across upgrades",
    ("", "install-info"): "indexes info pages, which are not in a tree",
    ("ca-certificates", "openssl"): "hashes the certificates' names; the bundle is made by a rule below",
}


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink that update-alternatives or a script makes: the first of ``choices`` that is in the tree."""

    path: str
    choices: tuple[str, ...]
    reason: str


LINKS: Final = (
    Link("usr/bin/awk", ("gawk", "mawk", "original-awk"), "update-alternatives, by priority"),
    Link("usr/bin/cc", ("gcc",), "update-alternatives of gcc"),
    Link("usr/bin/c++", ("g++",), "update-alternatives of g++"),
    Link("usr/bin/which", ("which.debianutils",), "update-alternatives of debianutils"),
    Link("usr/bin/yacc", ("bison.yacc",), "update-alternatives of bison"),
)

# The merged /usr: usrmerge's script makes these links where the folder in /usr exists.
MERGED: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32")

_CERTIFICATES: Final = "usr/share/ca-certificates/mozilla/"
_BUNDLE: Final = "etc/ssl/certs/ca-certificates.crt"
# Debian's OpenSSL is built with /usr/lib/ssl as its folder; the openssl package, not libssl3, ships this link.
_OPENSSL_BUNDLE: Final = "usr/lib/ssl/cert.pem"

_NSSWITCH: Final = b"""\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
ethers: files
rpc: files
"""


def apply(tree: Tree) -> None:
    """Add to a tree, in place, what its packages' scripts would have made. Raises EnclaverError."""
    for name in MERGED:
        if f"usr/{name}" in tree and name not in tree:
            tree.add_symlink(name, f"usr/{name}", origin=ORIGIN)
    for link in LINKS:
        folder = link.path.rpartition("/")[0]
        found = [choice for choice in link.choices if f"{folder}/{choice}" in tree]
        if found and link.path not in tree:
            tree.add_symlink(link.path, found[0], origin=ORIGIN)
    _certificates(tree)
    _nsswitch(tree)


def _certificates(tree: Tree) -> None:
    """update-ca-certificates: the bundle of all of Mozilla's certificates, in the order of their file names."""
    found = [entry for entry in tree if entry.path.startswith(_CERTIFICATES) and entry.path.endswith(".crt")]
    if not found or _BUNDLE in tree:
        return
    bundle = b"".join(_certificate(tree, entry) for entry in found)
    tree.add_file(_BUNDLE, bundle, origin=ORIGIN)
    if _OPENSSL_BUNDLE not in tree:
        tree.add_symlink(_OPENSSL_BUNDLE, f"/{_BUNDLE}", origin=ORIGIN)


def _certificate(tree: Tree, entry: Entry) -> bytes:
    data = content_bytes(tree.content(entry))
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise EnclaverError("this is not a PEM certificate", place=entry.path, cure="Use another ca-certificates.")
    return data if data.endswith(b"\n") else data + b"\n"


def _nsswitch(tree: Tree) -> None:
    """libc-bin's script: without the file glibc asks DNS before /etc/hosts, and an enclave has no DNS."""
    if "etc/nsswitch.conf" in tree or not any(_is_libc(entry) for entry in tree):
        return
    tree.add(Entry("etc/nsswitch.conf", Kind.FILE, 0o644, content=InlineContent(_NSSWITCH), origin=ORIGIN))


def _is_libc(entry: Entry) -> bool:
    return entry.path.startswith("usr/lib/") and entry.path.endswith("/libc.so.6")


def content_bytes(content: Content) -> bytes:
    """A small file's bytes."""
    return b"".join(bytes(chunk) for chunk in content.chunks())


def script_only(parent: str, alternatives: Sequence[str]) -> bool:
    """Whether a dependency of ``parent`` on any of these names is one that only maintainer scripts have."""
    return any((owner, name) in SCRIPT_DEPENDENCIES for owner in ("", parent) for name in alternatives)
