from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.enclave.outbound import ForbiddenError, LateError, Outbound, OutboundError
from enclaver_runtime.protocol.frames import Failed, Request
from enclaver_runtime.protocol.policy import Policy
from tests.unit.enclaver_runtime.net import unix_pair


class Parent:
    """Answers one thing, and keeps what it was asked."""

    def __init__(self, answer: trio.SocketStream | Failed) -> None:
        self.answer = answer
        self.asked: list[Request] = []
        self.told: list[str] = []
        self.outbound = Outbound(Policy(allow=["a.example"], deny=[]), self.open, self.told.append)

    async def open(self, request: Request) -> trio.SocketStream | Failed:
        self.asked.append(request)
        return self.answer


@trio_test
async def test_what_is_allowed_is_connected_by_its_one_spelling() -> None:
    left, right = unix_pair()
    async with left, right:
        parent = Parent(left)
        assert await parent.outbound.connect("A.Example.", 443) is left
    assert (parent.asked, parent.told) == ([Request("a.example", 443)], [])


@trio_test
async def test_what_is_not_allowed_is_not_even_asked_for() -> None:
    parent = Parent(Failed(0, ""))
    with pytest.raises(ForbiddenError) as caught:
        await parent.outbound.connect("169.254.169.254", 80)
    assert str(caught.value) == (
        "169.254.169.254 port 80 is blocked by egress security policy (nothing in egress.allow covers "
        "169.254.169.254 port 80); add 169.254.169.254 to egress.allow of the manifest"
    )
    assert parent.asked == []
    assert parent.told == [
        "egress: blocked 169.254.169.254 port 80: nothing in egress.allow covers 169.254.169.254 port 80"
    ]


@trio_test
async def test_the_parent_may_refuse_as_well() -> None:
    parent = Parent(Failed(errno.EACCES, "blocked by egress security policy: 192.0.2.1 is denied"))
    with pytest.raises(ForbiddenError, match=r"a\.example port 1 is refused by the parent: blocked by .* is denied"):
        await parent.outbound.connect("a.example", 1)
    assert len(parent.told) == 1


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ECONNREFUSED, OutboundError), (0, OutboundError), (errno.ETIMEDOUT, LateError)]
)
def test_whoever_cannot_be_reached_is_told_with_the_reason(code: int, kind: type[OutboundError]) -> None:
    async def main() -> None:
        parent = Parent(Failed(code, "for a reason"))
        with pytest.raises(OutboundError, match=r"^a\.example port 1 cannot be reached: for a reason$") as caught:
            await parent.outbound.connect("a.example", 1)
        assert type(caught.value) is kind
        assert parent.told == []

    trio.run(main)
