from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from enclaver.system.docker_config import Credentials
from enclaver.system.partial import Incoming
from enclaver.system.registry import LONGEST_MANIFEST, Registry
from enclaver.system.registry_http import RegistryError
from enclaver.system.registry_session import Session
from tests import fake_registry
from tests.fake_registry import MANIFEST, PASSWORD, USER, FakeRegistry, sha256

ACCEPT = (MANIFEST, "application/vnd.oci.image.index.v1+json")
DATA = bytes(range(256)) * 5000
DIGEST = sha256(DATA)
BLOB = f"GET /v2/app/blobs/{DIGEST}"
DOCUMENT = b'{"schemaVersion": 2}'


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with fake_registry.serving() as found:
        found.add_blob(DATA)
        yield found


@pytest.fixture
def registry(server: FakeRegistry) -> Iterator[Registry]:
    def credentials() -> Credentials:
        return Credentials(USER, PASSWORD)

    session = Session(server.host, credentials=credentials, timeout=5, pauses=(0, 0), wait=lambda _: None)
    yield Registry(session)
    session.close()


def brought(registry: Registry, had: bytes = b"", digest: str = DIGEST, limit: int = len(DATA)) -> bytes:
    file = io.BytesIO(had)
    registry.blob("app", digest, Incoming(file, digest, limit))
    return file.getvalue()


def test_a_tag_by_what_the_registry_says(server: FakeRegistry, registry: Registry) -> None:
    digest = server.add("app:1", DOCUMENT)
    assert registry.resolve("app", "1", accept=ACCEPT) == digest
    assert server.asks() == ["HEAD /v2/app/manifests/1"]
    assert server.requests[0][2]["Accept"] == ", ".join(ACCEPT)


@pytest.mark.parametrize("said", [{}, {"Docker-Content-Digest": "sha256:short"}])
@pytest.mark.parametrize("status", [200, 405])
def test_a_tag_by_what_it_has(server: FakeRegistry, registry: Registry, said: dict[str, str], status: int) -> None:
    digest = server.add("app:1", DOCUMENT)
    server.hooks["HEAD /v2/app/manifests/1"] = [fake_registry.status(status, headers=said)]
    server.hooks["GET /v2/app/manifests/1"] = [
        fake_registry.status(200, DOCUMENT, {"Content-Type": MANIFEST, **said}),
    ]
    assert registry.resolve("app", "1", accept=ACCEPT) == digest


def test_a_tag_that_is_none(registry: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.resolve("app", "gone", accept=ACCEPT)
    assert caught.value.status == 404


def test_a_manifest_by_tag_and_by_digest(server: FakeRegistry, registry: Registry) -> None:
    digest = server.add("app:1", DOCUMENT)
    for reference in ("1", digest):
        found = registry.manifest("app", reference, accept=ACCEPT)
        assert (found.digest, found.media_type, found.data) == (digest, MANIFEST, DOCUMENT)


def test_a_manifest_by_a_longer_digest(server: FakeRegistry, registry: Registry) -> None:
    digest = f"sha512:{hashlib.sha512(DOCUMENT).hexdigest()}"
    server.manifests[f"app:{digest}"] = (MANIFEST, DOCUMENT)
    assert registry.manifest("app", digest, accept=ACCEPT).digest == digest


HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("data", "headers", "message"),
    [
        (b"<html>", HTML, "answers with 'text/html', which is no image's manifest"),
        (b"{}", {}, "answers with '', which is no image's manifest"),
        (
            b"{}",
            {"Content-Type": MANIFEST},
            f"has something else: the digest of the manifest {DIGEST} is {sha256(b'{}')}",
        ),
    ],
)
def test_manifests_that_are_none(
    server: FakeRegistry, registry: Registry, data: bytes, headers: dict[str, str], message: str
) -> None:
    server.hooks[f"GET /v2/app/manifests/{DIGEST}"] = [fake_registry.status(200, data, headers)]
    with pytest.raises(RegistryError) as caught:
        registry.manifest("app", DIGEST, accept=ACCEPT)
    assert message in str(caught.value)


def test_a_tag_s_manifest_that_is_not_what_the_registry_says(server: FakeRegistry, registry: Registry) -> None:
    said = {"Content-Type": MANIFEST, "Docker-Content-Digest": DIGEST}
    server.hooks["GET /v2/app/manifests/1"] = [fake_registry.status(200, b"{}", said)]
    with pytest.raises(RegistryError, match="has something else: the digest of the manifest 1 is"):
        registry.manifest("app", "1", accept=ACCEPT)


def test_a_manifest_without_end(server: FakeRegistry, registry: Registry) -> None:
    server.hooks["GET /v2/app/manifests/1"] = [fake_registry.endless(bytes(1 << 16), {"Content-Type": MANIFEST})]
    with pytest.raises(RegistryError, match=f"sends more than the {LONGEST_MANIFEST} bytes"):
        registry.manifest("app", "1", accept=ACCEPT)


def test_a_blob(registry: Registry) -> None:
    assert brought(registry) == DATA


def test_a_blob_is_gone_on_with(server: FakeRegistry, registry: Registry) -> None:
    assert brought(registry, DATA[:1000]) == DATA
    assert server.requests[0][2]["Range"] == "bytes=1000-"
    assert brought(registry, DATA) == DATA
    assert len(server.requests) == 1


def test_a_blob_that_breaks_is_gone_on_with(server: FakeRegistry, registry: Registry) -> None:
    server.hooks[BLOB] = [fake_registry.cut(DATA)]
    assert brought(registry) == DATA
    assert [headers.get("Range") for _, _, headers in server.requests] == [None, f"bytes={len(DATA) // 2}-"]


@pytest.mark.parametrize("had", [b"wrong beginning", b"X" * len(DATA), b"X" * (len(DATA) + 1)])
def test_a_wrong_beginning_is_thrown_away(registry: Registry, had: bytes) -> None:
    assert brought(registry, had) == DATA


@pytest.mark.parametrize(
    "answer",
    [
        fake_registry.status(200, DATA),
        fake_registry.status(206, DATA[500:], {"Content-Range": f"bytes 500-{len(DATA) - 1}/{len(DATA)}"}),
        fake_registry.status(206, DATA[1000:]),
        fake_registry.status(416),
    ],
)
def test_a_registry_that_does_not_go_on(server: FakeRegistry, registry: Registry, answer: fake_registry.Hook) -> None:
    server.hooks[BLOB] = [answer]
    assert brought(registry, DATA[:1000]) == DATA


def test_a_blob_that_is_another(server: FakeRegistry, registry: Registry) -> None:
    server.blobs[DIGEST] = b"X" * len(DATA)
    with pytest.raises(RegistryError, match=f"has something else: the digest of a blob is sha256:.*, not {DIGEST}"):
        brought(registry)
    assert len(server.requests) == 1


@pytest.mark.parametrize("data", [DATA[:-1], b""])
def test_a_blob_that_is_too_short(server: FakeRegistry, registry: Registry, data: bytes) -> None:
    server.blobs[DIGEST] = data
    with pytest.raises(RegistryError, match="has something else"):
        brought(registry)


def test_a_blob_without_end(server: FakeRegistry, registry: Registry) -> None:
    server.hooks[BLOB] = [fake_registry.endless(bytes(1 << 16))]
    with pytest.raises(RegistryError, match=f"sends more than the {len(DATA)} bytes"):
        brought(registry)


def stopped_later() -> Event:
    """One that is set once it has been asked for."""
    answers = iter([False, True])

    class Later(Event):
        def is_set(self) -> bool:
            return next(answers)

    return Later()


def test_a_blob_that_is_not_wanted_any_more(registry: Registry) -> None:
    file = io.BytesIO()
    with pytest.raises(RegistryError, match="it was stopped"):
        registry.blob("app", DIGEST, Incoming(file, DIGEST, len(DATA)), stop=stopped_later())
    assert DATA.startswith(file.getvalue())
    assert file.getvalue()


def test_a_blob_that_is_not_wanted_any_more_is_not_asked_for_again(server: FakeRegistry, registry: Registry) -> None:
    server.hooks[f"GET /v2/app/blobs/{DIGEST}"] = [fake_registry.status(503)]
    with pytest.raises(RegistryError, match="it was stopped"):
        registry.blob("app", DIGEST, Incoming(io.BytesIO(), DIGEST, len(DATA)), stop=stopped_later())
    assert len(server.requests) == 1


def test_whoever_stops_need_not_wait_for_a_pause_to_end(server: FakeRegistry) -> None:
    server.hooks[f"GET /v2/app/blobs/{DIGEST}"] = [fake_registry.status(503)]
    registry = Registry(Session(server.host, credentials=lambda: None, timeout=5, pauses=(3600,)))
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(registry.blob, "app", DIGEST, Incoming(io.BytesIO(), DIGEST, len(DATA)), stop=stop)
        while not server.requests:
            time.sleep(0.01)
        stop.set()
        with pytest.raises(RegistryError, match="it was stopped"):
            waiting.result(timeout=60)


def test_a_blob_that_is_none(registry: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        brought(registry, digest=sha256(b"gone"))
    assert caught.value.status == 404


@pytest.mark.parametrize("location", ["", "absolute"])
@pytest.mark.parametrize("auth", ["", "basic", "token"])
def test_a_push(server: FakeRegistry, registry: Registry, location: str, auth: str) -> None:
    server.auth = auth
    server.location = server.root if location else ""
    data = b"pushed"
    assert registry.push_blob("app", sha256(data), data) is True
    assert registry.push_blob("app", sha256(data), data) is False
    assert server.blobs[sha256(data)] == data
    [place] = [path for method, path, _ in server.requests if method == "PUT"]
    assert place == f"/v2/app/blobs/uploads/1?state=x&digest={sha256(data).replace(':', '%3A')}"
    assert registry.push_manifest("app", "1", DOCUMENT, MANIFEST) == sha256(DOCUMENT)
    assert server.manifests["app:1"] == (MANIFEST, DOCUMENT)


def test_a_push_that_breaks_is_done_again(server: FakeRegistry, registry: Registry) -> None:
    server.hooks["PUT /v2/app/blobs/uploads/1"] = [fake_registry.hang_up, fake_registry.status(500)]
    assert registry.push_blob("app", sha256(b"pushed"), b"pushed") is True
    assert server.blobs[sha256(b"pushed")] == b"pushed"


def test_an_empty_blob_is_pushed(server: FakeRegistry, registry: Registry) -> None:
    assert registry.push_blob("app", sha256(b""), b"") is True
    assert server.blobs[sha256(b"")] == b""


def test_a_push_elsewhere_learns_nothing(server: FakeRegistry, registry: Registry) -> None:
    server.auth = "basic"
    with fake_registry.serving() as other:
        server.location = other.root
        registry.push_blob("app", sha256(b"pushed"), b"pushed")
        [(method, _, headers)] = other.requests
    assert method == "PUT"
    assert "Authorization" not in headers


def test_a_registry_that_got_something_else(server: FakeRegistry, registry: Registry) -> None:
    for what in ("blobs/uploads/1", "manifests/1"):
        said = fake_registry.status(201, headers={"Docker-Content-Digest": DIGEST})
        server.hooks[f"PUT /v2/app/{what}"] = [said]
    with pytest.raises(RegistryError, match=f"the digest of what was pushed is {DIGEST}, not"):
        registry.push_manifest("app", "1", DOCUMENT, MANIFEST)
    with pytest.raises(RegistryError, match=f"the digest of what was pushed is {DIGEST}, not"):
        registry.push_blob("app", sha256(b"pushed"), b"pushed")


def test_a_registry_that_does_not_take_it(server: FakeRegistry, registry: Registry) -> None:
    told = b'{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry"}]}'
    server.hooks["PUT /v2/app/manifests/1"] = [fake_registry.status(400, told)]
    with pytest.raises(RegistryError, match=r"\(MANIFEST_BLOB_UNKNOWN: blob unknown to registry\)"):
        registry.push_manifest("app", "1", DOCUMENT, MANIFEST)
