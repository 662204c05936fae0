"""``runtime.json``, versions 1 and 2: what the enclave obeys, read strictly.

The build writes it from the manifest and the app; it is measured as part of the app's ramdisk. The runtime
refuses what it does not know, so that no setting is ever silently ignored. The canonical form (sorted keys,
no spaces) is the writer's duty and is not checked here.

Version 2 has ``app.stop_signal``. A parent may be newer than the image that it runs, so version 1 is read as ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

#: Where the app's ramdisk puts it, in the enclave's root.
PATH = "/etc/enclaver/runtime.json"

#: A longer file is refused before it is parsed; bytes.
MAX_SIZE = 1024 * 1024

_MAX_ID = 2**32 - 2
# Linux's, real-time ones included.
_MAX_SIGNAL = 64

_APP_KEYS = {"argv", "env", "cwd", "uid", "gid"}
# By version.
_APP = {1: _APP_KEYS, 2: _APP_KEYS | {"stop_signal"}}


class ConfigError(ValueError):
    """runtime.json is not what this runtime obeys; the text names the place as ``app.argv[0]``."""


@dataclass(frozen=True, slots=True)
class App:
    """What is run in /rootfs.

    ``env`` is all of its environment; ``cwd`` is absolute, seen from /rootfs; ``stop_signal`` is what it gets instead
    of SIGTERM when it is asked to end, None for SIGTERM itself.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    uid: int
    gid: int
    stop_signal: int | None = None


@dataclass(frozen=True, slots=True)
class Egress:
    """What the app may reach through the HTTP proxy on 127.0.0.1:``proxy_port``; deny beats allow."""

    proxy_port: int
    allow: tuple[str, ...]
    deny: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tls:
    """The PEM files that TLS is ended with: the chain, leaf first, and its key; absolute, in the enclave's root."""

    cert_file: str
    key_file: str


@dataclass(frozen=True, slots=True)
class Ingress:
    """A TCP port of the app that the parent forwards to; its vsock port has the same number.

    With ``tls``, clients speak TLS, and the app gets what is in it.
    """

    listen_port: int
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class KmsProxy:
    """The KMS proxy on 127.0.0.1; ``endpoints`` maps a region to the host that serves it."""

    listen_port: int
    endpoints: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Api:
    """The attestation API on 127.0.0.1."""

    listen_port: int


@dataclass(frozen=True, slots=True)
class Config:
    """All of runtime.json. None: the enclave has no such service."""

    app: App
    egress: Egress | None
    ingress: tuple[Ingress, ...]
    kms_proxy: KmsProxy | None
    api: Api | None


def parse(data: bytes) -> Config:
    """Read runtime.json.

    Raises:
        ConfigError: it is too long, not JSON, of another version, or has a missing or unknown key, a key twice, or a
            value of the wrong type or out of range.
    """
    if len(data) > MAX_SIZE:
        raise ConfigError(f"runtime.json is {len(data)} bytes long, at most {MAX_SIZE} are allowed")
    try:
        document = json.loads(data, object_pairs_hook=_unique)
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"runtime.json is not JSON: {error}") from error
    # With another version's keys, their fault is not what is wrong; without a version, its absence is told below.
    version = _version(document["version"]) if isinstance(document, dict) and "version" in document else max(_APP)
    root = _Object(document, "", {"version", "app", "egress", "ingress", "kms_proxy", "api"})
    return Config(
        app=_app(root.child("app", _APP[version])),
        egress=_egress(root.optional("egress", {"proxy_port", "allow", "deny"})),
        ingress=_ingress(root),
        kms_proxy=_kms_proxy(root.optional("kms_proxy", {"listen_port", "endpoints"})),
        api=_api(root.optional("api", {"listen_port"})),
    )


class _Object:
    """A JSON object with exactly the keys ``keys``, and typed ways to its values."""

    def __init__(self, value: object, place: str, keys: set[str]) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"{place or 'runtime.json'}: must be an object")
        prefix = f"{place}." if place else ""
        for key in sorted(keys - value.keys()):
            raise ConfigError(f"{prefix}{key}: is missing")
        for key in sorted(value.keys() - keys):
            raise ConfigError(f"{prefix}{key}: is not a key that this runtime knows")
        self.values: dict[str, object] = value
        self.prefix = prefix

    def child(self, key: str, keys: set[str]) -> _Object:
        return _Object(self.values[key], self.prefix + key, keys)

    def optional(self, key: str, keys: set[str]) -> _Object | None:
        return None if self.values[key] is None else self.child(key, keys)

    def number(self, key: str, least: int, most: int) -> int:
        value = self.values[key]
        if type(value) is not int or not least <= value <= most:
            raise ConfigError(f"{self.prefix}{key}: must be a number from {least} to {most}")
        return value

    def port(self, key: str) -> int:
        return self.number(key, 1, 65535)

    def text(self, key: str) -> str:
        return _text(self.values[key], self.prefix + key)

    def path(self, key: str) -> str:
        value = self.text(key)
        if not value.startswith("/"):
            raise ConfigError(f"{self.prefix}{key}: must be absolute")
        return value

    def elements(self, key: str) -> list[object]:
        value = self.values[key]
        if not isinstance(value, list):
            raise ConfigError(f"{self.prefix}{key}: must be a list")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        place = self.prefix + key
        return tuple(_text(value, f"{place}[{index}]") for index, value in enumerate(self.elements(key)))

    def mapping(self, key: str) -> dict[str, str]:
        value, place = self.values[key], self.prefix + key
        if not isinstance(value, dict):
            raise ConfigError(f"{place}: must be an object")
        return {_text(name, place): _text(text, f"{place}.{name}") for name, text in value.items()}


def _app(fields: _Object) -> App:
    argv, env, cwd = fields.texts("argv"), fields.mapping("env"), fields.path("cwd")
    if not argv or not argv[0]:
        raise ConfigError("app.argv: must name a program")
    if any(not name or "=" in name for name in env):
        raise ConfigError("app.env: a variable's name is not empty and has no '='")
    uid, gid = fields.number("uid", 0, _MAX_ID), fields.number("gid", 0, _MAX_ID)
    asks = fields.values.get("stop_signal") is not None
    stop_signal = fields.number("stop_signal", 1, _MAX_SIGNAL) if asks else None
    return App(argv=argv, env=env, cwd=cwd, uid=uid, gid=gid, stop_signal=stop_signal)


def _egress(fields: _Object | None) -> Egress | None:
    if fields is None:
        return None
    return Egress(proxy_port=fields.port("proxy_port"), allow=fields.texts("allow"), deny=fields.texts("deny"))


def _ingress(root: _Object) -> tuple[Ingress, ...]:
    sections = tuple(
        _ingress_port(_Object(value, f"ingress[{index}]", {"listen_port", "tls"}))
        for index, value in enumerate(root.elements("ingress"))
    )
    if len({section.listen_port for section in sections}) != len(sections):
        raise ConfigError("ingress: a port occurs twice")
    return sections


def _ingress_port(fields: _Object) -> Ingress:
    tls = fields.optional("tls", {"cert_file", "key_file"})
    return Ingress(
        listen_port=fields.port("listen_port"),
        tls=None if tls is None else Tls(cert_file=tls.path("cert_file"), key_file=tls.path("key_file")),
    )


def _kms_proxy(fields: _Object | None) -> KmsProxy | None:
    if fields is None:
        return None
    return KmsProxy(listen_port=fields.port("listen_port"), endpoints=fields.mapping("endpoints"))


def _api(fields: _Object | None) -> Api | None:
    return None if fields is None else Api(listen_port=fields.port("listen_port"))


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{place}: must be a text")
    if "\0" in value:
        raise ConfigError(f"{place}: has a NUL character")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ConfigError(f"{place}: is not Unicode text, nor escaped bytes") from None
    return value


def _version(value: object) -> int:
    # True equals 1 in Python, and 1.0 does too; neither is the number 1 in a file.
    if type(value) is not int or value not in _APP:
        raise ConfigError(f"version: {value!r} is neither 1 nor 2, the versions this runtime reads")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for key, value in pairs:
        if key in fields:
            raise ConfigError(f"{key}: occurs twice")
        fields[key] = value
    return fields
