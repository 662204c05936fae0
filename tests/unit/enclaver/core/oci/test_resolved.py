from __future__ import annotations

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import config, resolved
from tests.unit.enclaver.core.oci.archives import ARM64, parts, tar


def test_parts_fit_each_other_and_the_machine() -> None:
    found = config.parse(parts(tar(), tar()).config)
    resolved.check(found, 2, "x86_64")
    with pytest.raises(EnclaverError, match="has 3 layers and its configuration names 2"):
        resolved.check(found, 3, "x86_64")
    with pytest.raises(EnclaverError, match="is for linux/amd64, not for linux/arm64"):
        resolved.check(found, 2, "aarch64")
    resolved.check(config.parse(parts(platform=ARM64).config), 0, "aarch64")


def test_names_are_shown() -> None:
    assert "holds several images: a, b" in str(resolved.only(["b", "a", "a"], None))
    assert "holds no image called 'c'; it has: without names" in str(resolved.only([], "c"))
