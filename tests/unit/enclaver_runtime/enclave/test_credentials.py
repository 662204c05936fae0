from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, trio_test

from enclaver_runtime.config import ConfigError
from enclaver_runtime.enclave import credentials
from enclaver_runtime.enclave.credentials import (
    Credentials,
    CredentialsError,
    InstanceCredentials,
    StaticCredentials,
    of_environment,
)
from enclaver_runtime.enclave.outbound import ForbiddenError, OutboundError
from tests.unit.enclaver_runtime.net import read_until, unix_pair

NOON = 1795521600.0  # 2026-11-24T12:00:00Z
FIRST = Credentials("ASIA1", "secret", "token")


class Imds:
    """The instance metadata service: each set of credentials that it gives out is a new one."""

    def __init__(self, *, expiration: str = "2026-11-24T18:00:00Z") -> None:
        self.expiration = expiration
        self.requests: list[str] = []
        self.given = 0
        #: Status and body by method and path, where it is not the usual.
        self.special: dict[str, tuple[int, bytes]] = {}
        self.nursery: trio.Nursery | None = None
        self.failure: OutboundError | None = None

    async def connect(self, host: str, port: int) -> trio.SocketStream:
        assert (host, port) == ("169.254.169.254", 80)
        if self.failure is not None:
            raise self.failure
        left, right = unix_pair()
        assert self.nursery is not None
        self.nursery.start_soon(self.serve, right)
        return left

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            head = (await read_until(stream, b"\r\n\r\n")).decode()
            line, *fields = head.strip().split("\r\n")
            what = line.removesuffix(" HTTP/1.1")
            self.requests.append(what)
            assert "Host: 169.254.169.254" in fields
            if what.startswith("PUT"):
                assert "X-aws-ec2-metadata-token-ttl-seconds: 60" in fields
            elif "X-aws-ec2-metadata-token: TOKEN==" not in fields:
                await self.send(stream, 401, b"")
                return
            await self.send(stream, *(self.special.get(what) or (200, self.body(what))))

    def body(self, what: str) -> bytes:
        roles = "/latest/meta-data/iam/security-credentials/"
        if what == f"GET {roles}role":
            self.given += 1
            given = {"AccessKeyId": f"ASIA{self.given}", "SecretAccessKey": "secret", "Token": "token"}
            return json.dumps({"Code": "Success", **given, "Expiration": self.expiration}).encode()
        return {"PUT /latest/api/token": b"TOKEN==", f"GET {roles}": b"role"}[what]

    @staticmethod
    async def send(stream: trio.SocketStream, status: int, body: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


def run(main: Callable[[Imds, InstanceCredentials], object], imds: Imds | None = None) -> None:
    """Run an async function with a service and what asks it; the clock jumps, and starts at noon."""
    imds = imds or Imds()

    async def whole() -> None:
        start = trio.current_time()
        source = InstanceCredentials(imds.connect, wall_clock=lambda: NOON + trio.current_time() - start)
        async with trio.open_nursery() as nursery:
            imds.nursery = nursery
            await main(imds, source)  # type: ignore[misc]
            nursery.cancel_scope.cancel()

    trio.run(whole, clock=MockClock(autojump_threshold=0.05))


def test_a_token_the_role_and_its_credentials() -> None:
    async def main(imds: Imds, source: InstanceCredentials) -> None:
        assert await source.get() == FIRST
        assert imds.requests == [
            "PUT /latest/api/token",
            "GET /latest/meta-data/iam/security-credentials/",
            "GET /latest/meta-data/iam/security-credentials/role",
        ]

    run(main)


def test_they_are_kept_until_shortly_before_they_end() -> None:
    async def main(imds: Imds, source: InstanceCredentials) -> None:
        for after, expected in ((0, "ASIA1"), (5.9 * 3600, "ASIA1"), (0.02 * 3600, "ASIA2"), (0, "ASIA2")):
            await trio.sleep(after)
            assert (await source.get()).access_key == expected

    run(main)


def test_whoever_comes_meanwhile_waits_for_the_same_ones() -> None:
    async def main(imds: Imds, source: InstanceCredentials) -> None:
        found: list[Credentials] = []

        async def ask() -> None:
            found.append(await source.get())

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        assert found == [FIRST] * 5
        assert imds.given == 1

    run(main)


def test_whoever_comes_meanwhile_waits_for_the_same_failure_and_the_next_one_asks_again() -> None:
    async def main(imds: Imds, source: InstanceCredentials) -> None:
        asked: list[tuple[str, int]] = []
        told: list[str] = []

        async def connect(host: str, port: int) -> trio.SocketStream:
            asked.append((host, port))
            await trio.sleep_forever()
            raise AssertionError

        async def ask() -> None:
            with pytest.raises(CredentialsError) as caught:
                await silent.get()
            told.append(str(caught.value))

        silent = InstanceCredentials(connect)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        assert (len(asked), len(told), len(set(told))) == (1, 5, 1)
        await ask()
        assert len(asked) == 2

    run(main)


def test_one_who_gives_up_waiting_harms_nobody() -> None:
    async def main(imds: Imds, source: InstanceCredentials) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await source.get()
        assert (await source.get()).secret_key == "secret"

    run(main)


def test_while_they_last_a_service_that_fails_harms_nobody() -> None:
    async def main(imds: Imds, source: InstanceCredentials) -> None:
        assert await source.get() == FIRST
        imds.failure = OutboundError("169.254.169.254 port 80 cannot be reached: refused")
        await trio.sleep(6 * 3600 - 200)
        assert await source.get() == FIRST
        await trio.sleep(201)
        with pytest.raises(CredentialsError, match=r"the instance metadata service: .* cannot be reached: refused"):
            await source.get()
        imds.failure = None
        assert (await source.get()).access_key == "ASIA2"

    run(main)


def test_what_ends_at_once_is_not_asked_for_over_and_over() -> None:
    async def main(imds: Imds, source: InstanceCredentials) -> None:
        for after, expected in ((0, "ASIA1"), (credentials.PAUSE_SECONDS - 1, "ASIA1"), (2, "ASIA2")):
            await trio.sleep(after)
            assert (await source.get()).access_key == expected

    run(main, Imds(expiration="2026-11-24T11:00:00Z"))


ROLES = "GET /latest/meta-data/iam/security-credentials/"


@pytest.mark.parametrize(
    ("what", "answer", "why"),
    [
        ("PUT /latest/api/token", (403, b""), "asked for the token, it answered with status 403"),
        ("PUT /latest/api/token", (200, b"<html> </html>"), "it gave no token"),
        (ROLES, (404, b""), "the parent instance has no IAM role: attach one to it, or set AWS_ACCESS_KEY_ID"),
        (ROLES, (500, b""), "asked for the role, it answered with status 500"),
        (ROLES, (200, b""), "it gave no role's name"),
        (f"{ROLES}role", (404, b""), "asked for the credentials, it answered with status 404"),
        (f"{ROLES}role", (200, b"{}"), "its credentials lack a part"),
        (f"{ROLES}role", (200, b"x" * 70_000), "its response is longer than"),
    ],
)
def test_why_there_are_none(what: str, answer: tuple[int, bytes], why: str) -> None:
    async def main(imds: Imds, source: InstanceCredentials) -> None:
        imds.special[what] = answer
        with pytest.raises(CredentialsError, match=why):
            await source.get()

    run(main)


def test_a_policy_that_does_not_allow_it_is_told_with_what_helps() -> None:
    async def main(imds: Imds, source: InstanceCredentials) -> None:
        imds.failure = ForbiddenError("... add 169.254.169.254 to egress.allow of the manifest")
        with pytest.raises(CredentialsError, match=r"no credentials from .*: \.\.\. add 169.254.169.254 to"):
            await source.get()

    run(main)


def test_a_service_that_never_answers_is_given_up() -> None:
    async def main(imds: Imds, source: InstanceCredentials) -> None:
        left, right = unix_pair()

        async def connect(host: str, port: int) -> trio.SocketStream:
            return left

        async with right:
            with pytest.raises(CredentialsError, match="fails: it gave no answer within 10 s"):
                await InstanceCredentials(connect).get()
        assert left.socket.fileno() == -1

    run(main)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, None),
        ({"AWS_ACCESS_KEY_ID": "a"}, None),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": ""}, None),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, Credentials("a", "s")),
        (
            {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"},
            Credentials("a", "s", "t"),
        ),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": ""}, Credentials("a", "s")),
    ],
)
def test_those_of_the_environment(env: dict[str, str], expected: Credentials | None) -> None:
    assert of_environment(env) == expected


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
@pytest.mark.parametrize("value", ["hidden\n", "hid den", "hidden\u20ac", "hidden\udcff"])
def test_what_no_credentials_have_is_refused_before_the_app_runs(name: str, value: str) -> None:
    env = {"AWS_ACCESS_KEY_ID": "ASIA1", "AWS_SECRET_ACCESS_KEY": "secret", name: value}
    with pytest.raises(ConfigError, match=f"kms_proxy: {name} of the app's environment has") as caught:
        of_environment(env)
    assert "hid" not in str(caught.value)


@trio_test
async def test_static_ones_stay() -> None:
    assert await StaticCredentials(FIRST).get() is FIRST


def test_no_secret_is_shown() -> None:
    assert repr(FIRST) == "Credentials(access_key='ASIA1')"
