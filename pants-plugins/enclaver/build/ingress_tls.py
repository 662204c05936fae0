"""The certificates and keys of a manifest's ``ingress[].tls``: read, checked, and laid into the app's ramdisk.

They lie outside of /rootfs, so only the runtime can read them. They are measured like everything else in the ramdisk,
so another certificate is another image; but of the files only the certificates and the key: neither their names nor
what else stands in them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from enclaver.core.errors import EnclaverError
from enclaver.core.manifest import runtime_config
from enclaver.core.manifest.model import Manifest, Tls
from enclaver.core.manifest.problems import ManifestError, Problem
from enclaver.core.rootfs.entry import ORIGIN, Entry, InlineContent, Kind, content_sha256
from enclaver.core.rootfs.regular import open_regular
from enclaver.core.rootfs.tree import Tree
from enclaver.core.tls import identity
from enclaver.core.trust.materials import Input

#: What a chain or a key may take, in bytes; a file of a megabyte is neither.
MAX_SIZE: Final = 256 * 1024

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o400

T = TypeVar("T")


def pack(manifest: Manifest, folder: Path) -> tuple[Tree, list[Input]]:
    """Return the entries that ``ingress[].tls`` adds to the enclave's root, and the files they were made of.

    Args:
        manifest: names the files.
        folder: the manifest's own.

    Raises:
        ManifestError: files cannot be read, hold no chain or no key that a TLS server can use, or don't belong
            together; each problem stands at the manifest's line that names the file.
    """
    packing = _Packing(manifest, folder)
    for index, ingress in enumerate(manifest.ingress):
        if ingress.tls is not None:
            packing.add(f"ingress[{index}].tls", ingress.tls, ingress.listen_port)
    if packing.problems:
        raise ManifestError(manifest.origin.source.file, packing.problems)
    return packing.tree, list(packing.inputs.values())


class _Packing:
    def __init__(self, manifest: Manifest, folder: Path) -> None:
        self._manifest = manifest
        self._folder = folder
        self.tree = Tree()
        # By name, since one file may serve several ports.
        self.inputs: dict[str, Input] = {}
        self.problems: list[Problem] = []

    def add(self, section: str, tls: Tls, port: int) -> None:
        """Read, check and lay the files of one port; what is wrong is collected."""
        chain = self._take(f"{section}.cert_file", tls.cert_file, identity.read_chain)
        key = self._take(f"{section}.key_file", tls.key_file, identity.read_key)
        if chain is None or key is None:
            return
        try:
            identity.check_match(chain, key)
        except EnclaverError as error:
            self._refuse(f"{section}.cert_file", tls.cert_file, error)
        cert_path, key_path = runtime_config.tls_files(port)
        self._lay(cert_path, b"".join(certificate.pem for certificate in chain), tls.cert_file)
        self._lay(key_path, key.pem, tls.key_file)

    def _take(self, key: str, name: str, parse: Callable[[bytes], T]) -> T | None:
        try:
            return parse(self._read(name))
        except EnclaverError as error:
            self._refuse(key, name, error)
            return None

    def _refuse(self, key: str, name: str, error: EnclaverError) -> None:
        what = ": ".join(part for part in (str(self._folder / name), error.place, error.what) if part)
        self.problems.append(self._manifest.origin.problem(key, f"`{key}`: {what}", error.cure))

    def _read(self, name: str) -> bytes:
        try:
            with open_regular(self._folder / name) as (file, _):
                data = file.read(MAX_SIZE + 1)
        except EnclaverError as error:
            raise EnclaverError(error.what, cure="Name a PEM file of the manifest's folder, or below it.") from error
        if len(data) > MAX_SIZE:
            raise EnclaverError(
                f"is larger than {MAX_SIZE // 1024} KiB, as no key and no chain is", cure="Name the PEM file."
            )
        content = InlineContent(data)
        self.inputs[name] = Input("file", name, content_sha256(content), content.size)
        return data

    def _lay(self, path: str, data: bytes, name: str) -> None:
        self.tree.add(Entry(path, Kind.FILE, _FILE_MODE, content=InlineContent(data), origin=f"file:{name}"))
        for folder in (path.rpartition("/")[0], runtime_config.TLS_FOLDER):
            self.tree.add_directory(folder, mode=_FOLDER_MODE, origin=ORIGIN)
