"""The manifest's ``egress`` section: entries with their places, and notes on entries that surprise."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from enclaver.core.manifest.document import Kind, Node, Scalar
from enclaver.core.manifest.egress import AddressRange, EgressEntry, NamePattern, parse_entry
from enclaver.core.manifest.model import DEFAULT_PROXY_PORT, Egress
from enclaver.core.manifest.ports import PortUse
from enclaver.core.manifest.problems import Place, TextError
from enclaver.core.manifest.reader import Fields, Report

_LOOPBACKS = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


def read_egress(fields: Fields | None, report: Report, ports: list[PortUse]) -> Egress | None:
    """Read the section; its proxy's port is added to ``ports`` when anything may leave."""
    if fields is None:
        return None
    allow = _entries(fields, "allow", report)
    deny = _entries(fields, "deny", report)
    node = fields.get("proxy_port")
    given = None if node is None else report.integer(node, fields.path("proxy_port"), 1, 65535)
    egress = Egress(
        allow=tuple(entry for entry, _ in allow),
        deny=tuple(entry for entry, _ in deny),
        proxy_port=DEFAULT_PROXY_PORT if given is None else given,
    )
    if egress.enabled:
        ports.append(PortUse(egress.proxy_port, "egress.proxy_port", fields.place("proxy_port"), implied=node is None))
        _note_overruled(allow, deny, report)
    else:
        report.note(
            fields.place("allow"),
            "egress",
            "`egress` allows nothing: nothing can leave the enclave, and no egress proxy runs",
        )
    return egress


_Placed = tuple[EgressEntry, Place]


def _entries(fields: Fields, key: str, report: Report) -> list[_Placed]:
    node = fields.get(key)
    if node is None:
        return []
    path = fields.path(key)
    cure = "write one entry a line, each after a dash: `- example.com`"
    entries: list[_Placed] = []
    seen: dict[str, Place] = {}
    for index, item in enumerate(report.items(node, path, cure)):
        where = f"{path}[{index}]"
        report.places[where] = item.place
        entry = _entry(item, where, report)
        if entry is None:
            continue
        first = seen.setdefault(entry.text, item.place)
        if first is item.place:
            entries.append((entry, item.place))
            _note_surprises(entry, key, where, item.place, report)
        else:
            report.note(item.place, where, f"`{entry.text}` is there already, on line {first.line}")
    return entries


def _entry(item: Node, where: str, report: Report) -> EgressEntry | None:
    if isinstance(item, Scalar) and item.kind in (Kind.INT, Kind.FLOAT):
        # `443` and `10.0` are better explained as addresses than as numbers that want quotes.
        text: str | None = item.value
    elif isinstance(item, Scalar) and item.plain and "\n" in item.value:
        # Several lines that YAML read as one, with an empty line between: parse_entry says what happened.
        text = " ".join(item.value.split())
    else:
        text = report.text(item, where)
    if text is None:
        return None
    try:
        return parse_entry(text)
    except TextError as error:
        report.error(_folded_place(item, report), where, error.message, error.cure)
        return None


def _folded_place(item: Node, report: Report) -> Place:
    """The place to blame: of several lines that YAML read as one entry, the first that was swallowed."""
    if isinstance(item, Scalar) and item.plain and " - " in item.value:
        for line in range(item.place.line + 1, len(report.source.lines) + 1):
            text = report.source.lines[line - 1]
            if text.lstrip().startswith("- "):
                return report.source.place(line, len(text) - len(text.lstrip()) + 1, len(text.strip()))
            if text.strip():
                break
    return item.place


def _note_surprises(entry: EgressEntry, key: str, where: str, place: Place, report: Report) -> None:
    """Remark on entries that are valid and likely not what was meant."""
    host = entry.host
    if isinstance(host, NamePattern):
        wild = all(label == "*" for label in host.labels)
        if wild and len(host.labels) == 1:
            report.note(
                place,
                where,
                "`*` covers only names of one label, and no addresses",
                "write `**` for every name, and `0.0.0.0/0` and `::/0` for every address",
            )
        elif wild and len(host.labels) == 4:
            report.note(
                place,
                where,
                f"`{host.text}` covers names of four labels, and no addresses",
                "write `0.0.0.0/0` for every IPv4 address",
            )
        elif host.labels == ("localhost",):
            _note_localhost(key, where, place, report)
    elif _is_loopback(host):
        _note_localhost(key, where, place, report)


def _is_loopback(host: AddressRange) -> bool:
    network = host.network
    return any(
        network.version == loopback.version and network.subnet_of(loopback)  # type: ignore[arg-type]
        for loopback in _LOOPBACKS
    )


def _note_localhost(key: str, where: str, place: Place, report: Report) -> None:
    if key == "allow":
        report.note(
            place,
            where,
            "the app reaches the enclave's own loopback without egress",
            "write `host` for services on the parent instance's loopback",
        )


def _note_overruled(allow: Iterable[_Placed], deny: Iterable[_Placed], report: Report) -> None:
    denied = {entry.text for entry, _ in deny}
    for entry, place in allow:
        if entry.text in denied:
            report.note(place, "egress.allow", f"`{entry.text}` is denied, too; deny beats allow")
