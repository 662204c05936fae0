from __future__ import annotations

from pants.engine.fs import EMPTY_DIGEST

from enclaver.util_rules.manifest import ManifestFile, folder_of


def test_a_manifests_paths_are_relative_to_its_folder() -> None:
    assert folder_of(ManifestFile(EMPTY_DIGEST, "examples/hello/enclaver.yaml")) == "examples/hello/"
    assert folder_of(ManifestFile(EMPTY_DIGEST, "enclaver.yaml")) == ""
