"""runtime.json, version 2: what the enclave obeys, in the one spelling that is measured.

The schema stands in docs/manifest.md; golden files in tests/contract/runtime_json hold both this writer and
the runtime's reader to it. Whatever does not change what the enclave does (comments, key order, name, target,
defaults, where the app came from) has no place in it, so it changes no PCR.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.model import Egress, Ingress, Manifest

VERSION = 2
# Where it lies in the enclave's root, which the app does not see.
PATH = "etc/enclaver/runtime.json"
# Where the TLS files of an ingress port lie, each port's in a folder of its number.
TLS_FOLDER = "etc/enclaver/tls"
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# setresuid(2): (uid_t)-1 means "leave it", so it is nobody's id.
_MAX_ID = 2**32 - 2
# Linux's, real-time ones included.
_MAX_SIGNAL = 64


@dataclass(frozen=True, slots=True)
class AppSpec:
    """How the runtime starts the app within /rootfs.

    Args:
        argv: the program and its arguments, at least the program.
        env: its whole environment.
        cwd: an absolute path.
        uid, gid: numbers; names mean nothing before the app's tree is there.
        stop_signal: by number, what the app takes for SIGTERM; None for SIGTERM itself.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    uid: int
    gid: int
    stop_signal: int | None = None

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise EnclaverError("the app has no command to start", cure="set its entrypoint")
        for argument in self.argv:
            _check_text("an argument of the app", argument)
        for name, value in self.env.items():
            if not _ENV_NAME.fullmatch(name):
                raise EnclaverError(
                    f"{name!a} cannot be the name of an environment variable",
                    cure="use letters, digits and `_`, and no digit at the start",
                )
            _check_text(f"the environment variable {name}", value)
        _check_text("the app's working folder", self.cwd)
        if not self.cwd.startswith("/") or {".", ".."} & set(self.cwd.split("/")):
            raise EnclaverError(
                f"the app's working folder {self.cwd!a} is not absolute", cure="write a path from `/` on"
            )
        for what, number in (("uid", self.uid), ("gid", self.gid)):
            if not 0 <= number <= _MAX_ID:
                raise EnclaverError(
                    f"the app's {what} {number} is out of range", cure=f"use a number from 0 to {_MAX_ID}"
                )
        if self.stop_signal is not None and not 1 <= self.stop_signal <= _MAX_SIGNAL:
            raise EnclaverError(
                f"the app's stop signal {self.stop_signal} is none", cure=f"use a number from 1 to {_MAX_SIGNAL}"
            )


def render(manifest: Manifest, app: AppSpec) -> bytes:
    """The canonical runtime.json: sorted keys, no spaces, ASCII, one newline at the end."""
    kms_proxy = manifest.kms_proxy
    document = {
        "version": VERSION,
        "app": {
            "argv": list(app.argv),
            "env": dict(app.env),
            "cwd": app.cwd,
            "uid": app.uid,
            "gid": app.gid,
            "stop_signal": app.stop_signal,
        },
        "egress": _egress(manifest.egress),
        "ingress": [_ingress(item) for item in sorted(manifest.ingress, key=lambda item: item.listen_port)],
        "kms_proxy": kms_proxy and {"listen_port": kms_proxy.listen_port, "endpoints": dict(kms_proxy.endpoints)},
        "api": manifest.api and {"listen_port": manifest.api.listen_port},
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii") + b"\n"


def _egress(egress: Egress | None) -> dict[str, object] | None:
    if egress is None or not egress.enabled:
        return None
    # Order and repetition say nothing in a policy where deny beats allow, so they must not be measured.
    return {
        "proxy_port": egress.proxy_port,
        "allow": sorted({entry.text for entry in egress.allow}),
        "deny": sorted({entry.text for entry in egress.deny}),
    }


def tls_files(listen_port: int) -> tuple[str, str]:
    """Where the certificate chain and the private key of an ingress port lie in the enclave's root.

    The manifest's own names for them are not measured: only what the files hold is.
    """
    folder = f"{TLS_FOLDER}/{listen_port}"
    return f"{folder}/cert.pem", f"{folder}/key.pem"


def _ingress(ingress: Ingress) -> dict[str, object]:
    if ingress.tls is None:
        return {"listen_port": ingress.listen_port, "tls": None}
    certificate, key = tls_files(ingress.listen_port)
    return {"listen_port": ingress.listen_port, "tls": {"cert_file": f"/{certificate}", "key_file": f"/{key}"}}


def _check_text(what: str, value: str) -> None:
    if "\0" in value:
        raise EnclaverError(f"{what} holds a NUL byte", cure="remove it; no process can be given one")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise EnclaverError(f"{what} is not valid UTF-8: {value!a}", cure="write it in UTF-8")
