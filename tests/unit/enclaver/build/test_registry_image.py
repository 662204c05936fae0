from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enclaver.build.registries import Registries
from enclaver.build.registry_image import RegistryImage
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest as digests
from enclaver.core.oci.reference import Reference
from tests import fake_registry
from tests.fake_registry import FakeRegistry
from tests.unit.enclaver.build.published import ARM, ONE, digest, published, published_index
from tests.unit.enclaver.core.oci.archives import Parts, parts, tar, to_json


@pytest.fixture
def registries() -> Iterator[Registries]:
    with Registries() as found:
        yield found


def image(registries: Registries, reference: Reference, cache: Path) -> RegistryImage:
    return RegistryImage(registries.of(reference), reference, cache)


def test_a_manifest_of_its_own(server: FakeRegistry, registries: Registries, tmp_path: Path) -> None:
    found = image(registries, published(server, ONE), tmp_path)
    chosen, manifest = found.choose(digests.parse(digest(ONE)), "x86_64")
    assert str(chosen.digest) == digest(ONE)
    assert len(manifest.layers) == 2
    # The configuration says for which machine it is; no layer was asked for.
    assert server.asks() == [
        f"GET /v2/app/manifests/{digest(ONE)}",
        f"GET /v2/app/blobs/{manifest.config.digest}",
    ]


@pytest.mark.parametrize("told", [True, False])
def test_one_of_several_platforms(server: FakeRegistry, registries: Registries, tmp_path: Path, told: bool) -> None:
    reference, index = published_index(server, told=told)
    found = image(registries, reference, tmp_path)
    for architecture, one in (("x86_64", ONE), ("aarch64", ARM)):
        chosen, manifest = found.choose(digests.parse(index), architecture)
        assert str(chosen.digest) == digest(one)
        assert str(manifest.config.digest) == manifest_config(one)


def manifest_config(one: Parts) -> str:
    return str(one.manifest()["config"]["digest"])


def test_a_machine_that_it_is_not_for(server: FakeRegistry, registries: Registries, tmp_path: Path) -> None:
    found = image(registries, published(server, ONE), tmp_path)
    with pytest.raises(EnclaverError, match="the image is for linux/amd64, not for linux/arm64"):
        found.choose(digests.parse(digest(ONE)), "aarch64")


def test_all_parts_come_and_stay(server: FakeRegistry, registries: Registries, tmp_path: Path) -> None:
    reference = published(server, ONE)
    for _ in range(2):
        found = image(registries, reference, tmp_path)
        _, manifest = found.choose(digests.parse(digest(ONE)), "x86_64")
        blobs = found.blobs(manifest)
        contents = {str(each): b"".join(map(bytes, content.chunks())) for each, content in blobs.items()}
        assert contents == dict(server.blobs)
    assert len(server.requests) == 1 + 3


def test_what_the_registry_lacks(server: FakeRegistry, registries: Registries, tmp_path: Path) -> None:
    reference = published(server, ONE)
    gone = digests.parse("sha256:" + "0" * 64)
    with pytest.raises(EnclaverError, match=f"the registry {server.host} has no {gone} in app"):
        image(registries, reference, tmp_path).choose(gone, "x86_64")
    del server.blobs[manifest_config(ONE)]
    with pytest.raises(EnclaverError, match=f"^{manifest_config(ONE)}: the image lacks this part"):
        image(registries, reference, tmp_path).choose(digests.parse(digest(ONE)), "x86_64")


def test_layers_of_a_kind_that_is_not_known(server: FakeRegistry, registries: Registries, tmp_path: Path) -> None:
    one = Parts(ONE.config, [(ONE.blobs[0][0], ONE.blobs[0][1]), (ONE.blobs[1][0], "application/x-other")])
    found = image(registries, published(server, one), tmp_path)
    _, manifest = found.choose(digests.parse(digest(one)), "x86_64")
    with pytest.raises(EnclaverError, match="^layer 2 of 2: the media type 'application/x-other' is not known"):
        found.blobs(manifest)


def claims(server: FakeRegistry, size: int) -> str:
    """An image whose manifest claims a size of its layer."""
    one = parts(tar())
    published(server, one)
    manifest = one.manifest()
    manifest["layers"][0]["size"] = size
    return server.add("app:claims", to_json(manifest))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (100, "sends more than the 100 bytes"),
        (2000, "is 1024 bytes, and the image says 2000"),
        (1 << 40, "the image's parts are more than 16384 MiB in all"),
    ],
)
def test_sizes_that_are_wrong(
    server: FakeRegistry, registries: Registries, tmp_path: Path, size: int, message: str
) -> None:
    found_digest = claims(server, size)
    found = image(registries, published(server, ONE), tmp_path)
    _, manifest = found.choose(digests.parse(found_digest), "x86_64")
    with pytest.raises(EnclaverError, match=message):
        found.blobs(manifest)


def test_a_document_that_is_no_json(server: FakeRegistry, registries: Registries, tmp_path: Path) -> None:
    found_digest = server.add("app:html", b"<html>")
    found = image(registries, published(server, ONE), tmp_path)
    with pytest.raises(EnclaverError, match="is no JSON"):
        found.choose(digests.parse(found_digest), "x86_64")


@pytest.mark.slow
def test_one_failure_ends_the_others_soon(server: FakeRegistry, registries: Registries, tmp_path: Path) -> None:
    found = image(registries, published(server, ONE), tmp_path)
    _, manifest = found.choose(digests.parse(digest(ONE)), "x86_64")
    first, second = manifest.layers
    server.hooks[f"GET /v2/app/blobs/{first.digest}"] = [fake_registry.dripping(server.blobs[str(first.digest)], 0.05)]
    del server.blobs[str(second.digest)]
    with pytest.raises(EnclaverError, match=f"answers 404 to GET .*{second.digest}"):
        found.blobs(manifest)
