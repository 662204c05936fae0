"""Connecting to a host for the enclave: every address it resolves to is decided first, then the allowed are tried.

The addresses are tried as RFC 8305 has it: in the resolver's order with the families alternating, each a
moment after the one before, or at once when that has failed; the first to answer wins. Nothing is resolved
again after the decision, so that a name cannot change its mind in between.
"""

from __future__ import annotations

import errno
import functools
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, Sequence

import trio

from enclaver_runtime.protocol.frames import BLOCKED, Failed
from enclaver_runtime.protocol.hosts import Address, Host, Name
from enclaver_runtime.protocol.policy import PARENT, Allowed, Denied, Policy
from enclaver_runtime.transport.connections import connect_tcp
from enclaver_runtime.transport.race import race
from enclaver_runtime.transport.relay import visits
from enclaver_runtime.transport.relay.loop import Loop
from enclaver_runtime.transport.relay.visits import Steps

#: For resolving and connecting together.
CONNECT_SECONDS = 30.0

#: Before the next address is tried beside the last one (RFC 8305, 5).
STAGGER_SECONDS = 0.25

# A name with more addresses than this is served by any of the first.
_MAX_ADDRESSES = 16
_LOOPBACK = ipaddress.IPv4Address("127.0.0.1")

#: Gives a name's addresses, in the order to try them; raises OSError.
Resolve = Callable[[str], Awaitable[Sequence[Address]]]

Connect = Callable[[str, int], Awaitable[trio.SocketStream]]


async def resolve(name: str) -> Sequence[Address]:
    """Ask the machine's own resolver.

    Raises:
        OSError: (socket.gaierror) the name has no addresses, or nobody knows.
    """
    found = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    # A zone (fe80::1%eth0) comes with addresses that are refused anyway.
    return [ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]


async def open_permitted(
    host: str,
    port: int,
    *,
    policy: Policy,
    resolve: Resolve = resolve,
    connect: Connect = connect_tcp,
    timeout: float = CONNECT_SECONDS,
    stagger: float = STAGGER_SECONDS,
) -> trio.SocketStream | Failed:
    """Connect to ``host`` if ``policy`` allows it and an address of it; the stream, or why there is none.

    The caller closes the stream. A refusal's message begins with :data:`frames.BLOCKED`.
    """
    decision = policy.decide(host, port)
    if isinstance(decision, Denied):
        return _blocked(decision)
    with trio.move_on_after(timeout):
        try:
            addresses = await _addresses(decision, resolve)
        except OSError as error:
            return Failed(errno.EHOSTUNREACH, f"{decision.host}: {error.strerror or error}")
        decisions = [policy.decide_resolved(decision, address, port) for address in addresses]
        permitted = [str(one.host) for one in decisions if isinstance(one, Allowed)]
        if permitted:
            return await _connect_first(permitted, port, connect, stagger)
        refused = [one for one in decisions if isinstance(one, Denied)]
        return _blocked(refused[0]) if refused else Failed(errno.EHOSTUNREACH, f"{decision.host} has no address")
    return _too_slow(decision.host, port, timeout)


def permitted_address(host: str, port: int, *, policy: Policy) -> str | Failed | None:
    """The address to connect to, where it takes no resolver to know it; None where it does."""
    decision = policy.decide(host, port)
    if isinstance(decision, Denied):
        return _blocked(decision)
    address = _literal(decision)
    if address is None:
        return None
    decision = policy.decide_resolved(decision, address, port)
    return _blocked(decision) if isinstance(decision, Denied) else str(decision.host)


def open_address(
    loop: Loop, address: str, port: int, *, timeout: float = CONNECT_SECONDS
) -> Steps[socket.socket | Failed]:
    """Connect to an address that is permitted; the socket, which the caller closes, or why there is none."""
    try:
        origin = visits.begin(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, port))
        yield from visits.connected(loop, origin, loop.time() + timeout)
    except visits.ExpiredError:
        return _too_slow(address, port, timeout)
    except OSError as error:
        return _failed(address, port, error)
    return origin


def _blocked(denied: Denied) -> Failed:
    return Failed(errno.EACCES, f"{BLOCKED}: {denied.reason}")


def _literal(allowed: Allowed) -> Address | None:
    """The one address that needs no resolver."""
    if isinstance(allowed.host, Name):
        return _LOOPBACK if allowed.host == PARENT else None
    return allowed.host


async def _addresses(allowed: Allowed, resolve: Resolve) -> Sequence[Address]:
    if address := _literal(allowed):
        return [address]
    found = list(dict.fromkeys(await resolve(str(allowed.host))))
    return _alternating(found)[:_MAX_ADDRESSES]


def _alternating(addresses: list[Address]) -> list[Address]:
    """The same, families by turns, beginning with the first's: a family without a route costs little then."""
    first = [one for one in addresses if one.version == addresses[0].version]
    other = [one for one in addresses if one.version != addresses[0].version]
    pairs = min(len(first), len(other))
    mixed = [one for pair in zip(first[:pairs], other[:pairs], strict=True) for one in pair]
    return mixed + first[pairs:] + other[pairs:]


async def _connect_first(
    addresses: Sequence[str], port: int, connect: Connect, stagger: float
) -> trio.SocketStream | Failed:
    attempts = [functools.partial(connect, address, port) for address in addresses]
    try:
        _, stream = await race(attempts, stagger=stagger)
    except OSError as error:
        return _failed(addresses[0], port, error)
    return stream


def _failed(address: str, port: int, error: OSError) -> Failed:
    code = error.errno or 0
    return Failed(code, f"{address} port {port}: {os.strerror(code) if code else error}")


def _too_slow(host: Host | str, port: int, timeout: float) -> Failed:
    return Failed(errno.ETIMEDOUT, f"{host} port {port} did not answer within {timeout:g} s")
