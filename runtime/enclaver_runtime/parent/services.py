"""What the parent runs beside an enclave, by the runtime.json of its image: egress and published ports."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import trio

from enclaver_runtime.config import Config
from enclaver_runtime.parent.egress import serve_egress
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.ingress import serve_ingress
from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.connect import parse_port
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.protocol.throttle import throttled

# For one attempt: a hybrid parent never answers a connect that the guest refuses.
_ATTEMPT_SECONDS = 5.0

# Where there is no half-close: long enough for the app to begin its answer, short enough for what it does at the
# end of input not to seem stuck.
_HOLD_SECONDS = 10.0

_ANY = "0.0.0.0"  # noqa: S104 - what is published is for others; an address before the port limits it.
_ANY_IPV6 = "::"

#: Stands for all addresses of this machine.
ANY = "any"


class Enclave(Protocol):
    """A started enclave, as services need it."""

    @property
    def half_closes(self) -> bool:
        """Whether the end of one direction of its streams leaves the other one open."""

    async def connect(self, port: int, timeout: float) -> trio.SocketStream:
        """One attempt to connect to a vsock port of it; raises OSError."""

    def listen(self, port: int) -> trio.SocketListener:
        """Listen for its connections to the parent's vsock port; raises OSError."""


class ParentService(Protocol):
    """Runs beside an enclave until cancelled; calls ``task_status.started()`` when it can be used."""

    async def __call__(self, enclave: Enclave, *, task_status: trio.TaskStatus[None]) -> None: ...


@dataclass(frozen=True, slots=True)
class Publication:
    """A TCP port (0: any that is free) of an address of this machine that leads to a port of the enclave."""

    host: str
    port: int
    enclave_port: int

    @classmethod
    def parse(cls, text: str) -> Publication:
        """Read ``[ADDRESS:]PORT:ENCLAVE_PORT``; IPv6 addresses in brackets, all IPv4 addresses by default.

        Raises:
            ParentError: it is not of that form.
        """
        rest, _, inner_text = text.rpartition(":")
        address, _, outer_text = rest.rpartition(":")
        inner, outer = parse_port(inner_text), 0 if outer_text == "0" else parse_port(outer_text)
        bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
        if inner is None or outer is None or not _is_address(bare or _ANY) or (":" in bare and bare == address):
            raise ParentError(
                f"not a published port: {text!r}", cure="write PORT:ENCLAVE_PORT or ADDRESS:PORT:ENCLAVE_PORT"
            )
        return cls(bare or _ANY, outer, inner)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def addresses(text: str) -> tuple[str, ...]:
    """The addresses to listen on for one that a user gives, or for :data:`ANY`.

    Raises:
        ParentError: it is no address.
    """
    if text == ANY:
        return (_ANY, _ANY_IPV6) if _has_ipv6() else (_ANY,)
    if not _is_address(text):
        raise ParentError(f"not an address: {text!r}", cure=f"write an IPv4 or IPv6 address, or {ANY}")
    return (text,)


def services(
    config: Config, *, publish: Iterable[Publication] = (), tell: Callable[[str], None]
) -> list[ParentService]:
    """The services for an enclave that obeys ``config``.

    Args:
        publish: which ports of this machine lead to which of the enclave's ingress ports.
        tell: gets lines for people: what is published where, what is refused.

    Raises:
        ParentError: a publication is of a port that is none of the enclave's ingress ports.
        PolicyError: an egress entry is not canonical, which the build never writes.
    """
    chosen = list(publish)
    known = sorted(section.listen_port for section in config.ingress)
    for one in chosen:
        if one.enclave_port not in known:
            ports = ", ".join(map(str, known)) or "none"
            raise ParentError(f"the enclave has no ingress port {one.enclave_port} (it has: {ports})")
    result: list[ParentService] = []
    if config.egress is not None:
        result.append(_egress(Policy(allow=config.egress.allow, deny=config.egress.deny), tell))
    result.extend(_ingress(one, tell) for one in chosen)
    return result


def _egress(policy: Policy, tell: Callable[[str], None]) -> ParentService:
    async def serve(enclave: Enclave, *, task_status: trio.TaskStatus[None]) -> None:
        await serve_egress(
            listener=enclave.listen(frames.PORT),
            policy=policy,
            # What the enclave makes it say, it may make it say over and over.
            tell=throttled(tell, trio.current_time),
            task_status=task_status,
        )

    return serve


def _ingress(publication: Publication, tell: Callable[[str], None]) -> ParentService:
    async def serve(enclave: Enclave, *, task_status: trio.TaskStatus[None]) -> None:
        async def open_enclave_port() -> trio.SocketStream:
            return await enclave.connect(publication.enclave_port, _ATTEMPT_SECONDS)

        async def relay(*, task_status: trio.TaskStatus[int]) -> None:
            await serve_ingress(
                host=publication.host,
                port=publication.port,
                open_enclave_port=open_enclave_port,
                # Who connects from outside may do so over and over.
                tell=throttled(tell, trio.current_time),
                hold=0.0 if enclave.half_closes else _HOLD_SECONDS,
                task_status=task_status,
            )

        try:
            async with trio.open_nursery() as nursery:
                port = await nursery.start(relay)
                where = Publication(publication.host, port, publication.enclave_port)
                tell(f"{where} leads to the enclave's port {publication.enclave_port}")
                task_status.started()
        except* OSError as group:
            raise ParentError(f"{publication} cannot be listened on: {group.exceptions[0]}") from group

    return serve


def _has_ipv6() -> bool:
    """Whether Linux does IPv6 here: containers often have none."""
    try:
        with socket.socket(socket.AF_INET6) as attempt:
            attempt.bind((_ANY_IPV6, 0))
    except OSError:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False
