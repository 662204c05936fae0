"""A manifest's bytes to its model; everything wrong with it in one error."""

from __future__ import annotations

import re

from enclaver.core.manifest.app_source import (
    AppKind,
    AppSource,
    check_image_reference,
    parse_app_source,
)
from enclaver.core.manifest.document import Mapping, Node, Scalar, compose
from enclaver.core.manifest.egress import parse_host
from enclaver.core.manifest.egress_section import read_egress
from enclaver.core.manifest.file_path import parse_file_path
from enclaver.core.manifest.model import (
    DEFAULT_CPU_COUNT,
    DEFAULT_MEMORY_MB,
    Api,
    Defaults,
    Ingress,
    KmsProxy,
    Manifest,
    Origin,
    Signature,
    Sources,
    Tls,
)
from enclaver.core.manifest.ports import PortUse, check_ports
from enclaver.core.manifest.problems import ManifestError, TextError, quote
from enclaver.core.manifest.reader import Fields, Report
from enclaver.core.manifest.schema import UNUSED_SOURCES
from enclaver.core.manifest.signing_key import KeyKind, SigningKey, parse_signing_key

# The largest instance has 448 vCPUs; a Nitro enclave boots from 64 MiB on. Both with room above.
MAX_CPU_COUNT = 1024
MIN_MEMORY_MB = 64
MAX_MEMORY_MB = 64 * 1024 * 1024
_REGION = re.compile(r"[a-z]{2}(?:-[a-z0-9]{1,16}){1,4}")
# Stand in for values that were refused; the manifest that would hold them is never handed out.
_REFUSED_APP = AppSource(AppKind.ADDRESS, "")
_REFUSED_KEY = SigningKey(KeyKind.FILE, "")


def parse(data: bytes, filename: str) -> Manifest:
    """Parse and check a manifest of version ``v1``.

    Args:
        data: the file's bytes.
        filename: the file as the user named it; problems carry it.

    Raises:
        ManifestError: holds every problem of the file.
    """
    document = compose(data, filename)
    report = Report(document)
    top = report.fields(document.root, "", "", document.source.place(1, 1))
    if top is None:
        raise ManifestError(filename, report.problems)
    manifest = _manifest(top, report)
    if report.problems:
        raise ManifestError(filename, report.problems)
    return manifest


def _manifest(top: Fields, report: Report) -> Manifest:
    ports: list[PortUse] = []
    _version(top, report)
    name = top.text("name", "add `name:` and a name for the enclave") or ""
    target = _target(top, report)
    sources = _sources(top, report)
    defaults = _defaults(top, report)
    egress = read_egress(top.section("egress", "egress"), report, ports)
    ingress = _ingress(top, report, ports)
    kms_proxy = _kms_proxy(top, report, ports)
    api = _api(top, ports)
    signature = _signature(top, report)
    check_ports(ports, report)
    notes = tuple(sorted(report.notes, key=lambda note: (note.place.line, note.place.column)))
    return Manifest(
        name=name,
        target=target,
        sources=sources,
        defaults=defaults,
        egress=egress,
        ingress=ingress,
        kms_proxy=kms_proxy,
        api=api,
        signature=signature,
        notes=notes,
        origin=Origin(report.source, report.places),
    )


def _version(top: Fields, report: Report) -> None:
    node = top.require("version", "add `version: v1`")
    if node is None:
        return
    if isinstance(node, Scalar) and node.value in ("1", "1.0", "v1.0", "V1"):
        report.error(
            node.place,
            "version",
            f"`version` is {quote(node.value)}; the only version is the text `v1`",
            "write `version: v1`",
        )
        return
    text = report.text(node, "version")
    if text is not None and text != "v1":
        report.error(node.place, "version", f"the manifest version {quote(text)} is not known", "write `version: v1`")


def _target(top: Fields, report: Report) -> str | None:
    node = top.get("target")
    if node is None:
        report.note(
            top.place("target"),
            "target",
            "there is no `target`; Enclaver needs one, this build only to make a container image that runs the enclave",
        )
        return None
    text = report.text(node, "target")
    if text is not None:
        try:
            check_image_reference(text, digest_allowed=False)
        except TextError as error:
            report.error(node.place, "target", f"`target`: {error.message}", error.cure)
    return text


def _sources(top: Fields, report: Report) -> Sources:
    if top.require("sources", "add `sources:` with `app:` below it, indented") is None:
        return Sources(_REFUSED_APP)
    fields = top.section("sources", "sources")
    if fields is None:
        return Sources(_REFUSED_APP)
    for key in UNUSED_SOURCES:
        node = fields.get(key)
        if node is not None and report.text(node, fields.path(key)) is not None:
            report.note(
                fields.place(key),
                fields.path(key),
                f"`{fields.path(key)}` is unused: the enclave gets this project's own runtime",
            )
    node = fields.require("app", "add `app:` with an image, or under Pants the address of a target")
    text = None if node is None else report.text(node, "sources.app")
    if node is None or text is None:
        return Sources(_REFUSED_APP)
    try:
        return Sources(parse_app_source(text))
    except TextError as error:
        report.error(node.place, "sources.app", f"`sources.app`: {error.message}", error.cure)
        return Sources(_REFUSED_APP)


def _defaults(top: Fields, report: Report) -> Defaults:
    fields = top.section("defaults", "defaults")
    if fields is None:
        return Defaults()

    def number(key: str, default: int, lowest: int, highest: int) -> int:
        node = fields.get(key)
        value = None if node is None else report.integer(node, fields.path(key), lowest, highest)
        return default if value is None else value

    return Defaults(
        cpu_count=number("cpu_count", DEFAULT_CPU_COUNT, 1, MAX_CPU_COUNT),
        memory_mb=number("memory_mb", DEFAULT_MEMORY_MB, MIN_MEMORY_MB, MAX_MEMORY_MB),
    )


def _ingress(top: Fields, report: Report, ports: list[PortUse]) -> tuple[Ingress, ...]:
    node = top.get("ingress")
    if node is None:
        return ()
    entries: list[Ingress] = []
    for index, item in enumerate(report.items(node, "ingress", "write `- listen_port: 8080`, one item a port")):
        path = f"ingress[{index}]"
        fields = report.fields(item, "ingress[]", path, item.place)
        if fields is None:
            continue
        port = fields.port("listen_port")
        tls = _tls(fields.section("tls", "ingress[].tls"), report)
        if port is not None:
            ports.append(_port_use(fields, port, ingress=True))
            entries.append(Ingress(port, tls))
    return tuple(entries)


def _tls(fields: Fields | None, report: Report) -> Tls | None:
    if fields is None:
        return None
    key_file = _file(fields, "key_file", "add `key_file:` and the PEM file of the key", report)
    cert_file = _file(fields, "cert_file", "add `cert_file:` and the PEM file of the chain", report)
    if key_file:
        report.note(
            fields.place("key_file"),
            fields.path("key_file"),
            "the private key becomes part of the image: whoever can read the image can read the key",
        )
    return Tls(key_file=key_file, cert_file=cert_file)


def _file(fields: Fields, key: str, cure: str, report: Report) -> str:
    node = fields.require(key, cure)
    text = None if node is None else report.text(node, fields.path(key))
    if node is None or text is None:
        return ""
    try:
        return parse_file_path(text)
    except TextError as error:
        report.error(node.place, fields.path(key), f"`{fields.path(key)}`: {error.message}", error.cure)
        return ""


def _kms_proxy(top: Fields, report: Report, ports: list[PortUse]) -> KmsProxy | None:
    fields = top.section("kms_proxy", "kms_proxy")
    if fields is None:
        return None
    port = fields.port("listen_port")
    if port is None:
        port = 0
    else:
        ports.append(_port_use(fields, port))
    node = fields.get("endpoints")
    endpoints = () if node is None else _endpoints(node, report)
    return KmsProxy(port, endpoints)


def _endpoints(node: Node, report: Report) -> tuple[tuple[str, str], ...]:
    path = "kms_proxy.endpoints"
    if not isinstance(node, Mapping):
        report.fields(node, path, path, node.place)
        return ()
    endpoints: list[tuple[str, str]] = []
    for key, value in node.pairs:
        region = key.value
        where = f"{path}.{region}"
        if not _REGION.fullmatch(region):
            report.error(key.place, path, f"{quote(region)} is not an AWS region", "write one such as `us-east-1`")
            continue
        text = report.text(value, where)
        if text is None:
            continue
        try:
            endpoints.append((region, parse_host(text)))
        except TextError as error:
            report.error(value.place, where, f"`{where}`: {error.message}", error.cure)
    return tuple(sorted(endpoints))


def _api(top: Fields, ports: list[PortUse]) -> Api | None:
    fields = top.section("api", "api")
    if fields is None:
        return None
    port = fields.port("listen_port")
    if port is None:
        return None
    ports.append(_port_use(fields, port))
    return Api(port)


def _signature(top: Fields, report: Report) -> Signature | None:
    fields = top.section("signature", "signature")
    if fields is None:
        return None
    certificate = _file(fields, "certificate", "add `certificate:` and the PEM file of the certificate", report)
    node = fields.require("key", "add `key:` and the PEM file of the private key, or the ARN of a KMS key")
    text = None if node is None else report.text(node, "signature.key")
    if node is None or text is None:
        return Signature(certificate, _REFUSED_KEY)
    try:
        return Signature(certificate, parse_signing_key(text))
    except TextError as error:
        report.error(node.place, "signature.key", f"`signature.key`: {error.message}", error.cure)
        return Signature(certificate, _REFUSED_KEY)


def _port_use(fields: Fields, port: int, *, ingress: bool = False) -> PortUse:
    return PortUse(port, fields.path("listen_port"), fields.place("listen_port"), ingress=ingress)
