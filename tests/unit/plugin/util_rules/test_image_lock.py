from __future__ import annotations

import pytest
from pants.engine.addresses import Address

from enclaver.util_rules import image_lock


@pytest.mark.parametrize(("folder", "path"), [("", "enclave.images.lock"), ("a/b", "a/b/enclave.images.lock")])
def test_the_lock_lies_beside_the_build_file(folder: str, path: str) -> None:
    assert image_lock.lock_path(Address(folder, target_name="enclave")) == path
