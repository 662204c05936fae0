"""An image's configuration: what its layers are, and how its program runs. Source: OCI image-spec, config.md.

What only a container engine reads (volumes, exposed ports, health checks, labels, history) is left unread.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest, documents, platform
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.platform import Platform

# Linux's range of signals; names beyond the standard ones count from SIGRTMIN, which is 34 as glibc and musl have it.
_SIGNALS: Final = range(1, 65)
_RTMIN: Final = 34
_RTMAX: Final = 64


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """A configuration.

    Args:
        platform: for which machines it is.
        diff_ids: the digests of its uncompressed layers, the lowest first.
        entrypoint, cmd: the program and its arguments; the two are put together, and either may be empty.
        env: the variables, by name.
        user: as it is written: ``''``, ``USER``, ``UID``, ``USER:GROUP``...
        working_dir: absolute; ``/`` where none is given.
        stop_signal: by number; None where none is given.
    """

    platform: Platform
    diff_ids: tuple[Digest, ...]
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: Mapping[str, str]
    user: str
    working_dir: str
    stop_signal: int | None


def parse(value: object) -> ImageConfig:
    """Parse a configuration's JSON value.

    Raises:
        EnclaverError: a key that is read has not what it must have.
    """
    found = documents.as_object(value, "configuration")
    rootfs = documents.child(found, "rootfs")
    if documents.text(rootfs, "type", "") != "layers":
        raise documents.wrong("rootfs.type", "`layers`")
    config = documents.child(found, "config")
    return ImageConfig(
        platform=platform.parse(found),
        diff_ids=tuple(map(digest.parse, documents.texts(rootfs, "diff_ids"))),
        entrypoint=documents.texts(config, "Entrypoint"),
        cmd=documents.texts(config, "Cmd"),
        env=dict(map(_variable, documents.texts(config, "Env"))),
        user=documents.text(config, "User", ""),
        working_dir=_working_dir(documents.text(config, "WorkingDir", "")),
        stop_signal=_stop_signal(documents.text(config, "StopSignal", "")),
    )


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise EnclaverError(f"`Env` holds {text[:100]!a}, which is not NAME=VALUE", cure="Set it anew in the image.")
    return name, value


def _working_dir(text: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise EnclaverError(f"`WorkingDir` is {text[:100]!a}, which has a `..`", cure="Name the folder itself.")
    return "/" + "/".join(parts)


def _stop_signal(text: str) -> int | None:
    if not text:
        return None
    name = text.upper().removeprefix("SIG")
    base, plus, offset = name.partition("+")
    if name.isascii() and name.isdecimal():
        number = int(name[:4])
    elif base == "RTMIN" and (not plus or (offset.isascii() and offset.isdecimal())):
        number = _RTMIN + int(offset[:4] or "0")
    elif name.startswith("RTMAX"):
        back = name.removeprefix("RTMAX").removeprefix("-")
        number = _RTMAX - (int(back[:4]) if back.isascii() and back.isdecimal() else 0 if name == "RTMAX" else _RTMAX)
    else:
        number = getattr(signal, f"SIG{name}", 0) if name.isalnum() else 0
    if number not in _SIGNALS:
        raise EnclaverError(f"`StopSignal` is {text[:100]!a}, which is no signal", cure="Use a name such as SIGTERM.")
    return int(number)
