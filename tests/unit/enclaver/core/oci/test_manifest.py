from __future__ import annotations

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import manifest
from tests.unit.enclaver.core.oci.archives import parts, sha256, tar, to_json

LAYER = tar()
IMAGE = parts(LAYER, LAYER)


def test_what_a_manifest_names() -> None:
    found = manifest.parse(IMAGE.manifest())
    assert str(found.config.digest) == sha256(to_json(IMAGE.config))
    assert [str(layer.digest) for layer in found.layers] == [sha256(LAYER)] * 2
    assert found.parts == (found.config, found.layers[0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "`manifest` is not an object"),
        ({}, "`digest` is not a text"),
        ({"config": IMAGE.manifest()["config"], "layers": {}}, "`layers` is not a list"),
        ({"config": [], "layers": []}, "`config` is not an object"),
    ],
)
def test_what_is_none(value: object, message: str) -> None:
    with pytest.raises(EnclaverError) as caught:
        manifest.parse(value)
    assert message in str(caught.value)
