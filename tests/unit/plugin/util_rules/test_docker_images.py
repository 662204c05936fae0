from __future__ import annotations

import pytest

from enclaver.util_rules import docker_images


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("app", "app:latest"),
        ("app:1", "app:1"),
        ("library/app:1", "app:1"),
        ("docker.io/library/app", "app:latest"),
        ("index.docker.io/me/app:1", "me/app:1"),
        ("registry.example.com:5000/app", "registry.example.com:5000/app:latest"),
        ("registry.example.com:5000/library/app:1", "registry.example.com:5000/library/app:1"),
        ("app@sha256:0", "app@sha256:0"),
    ],
)
def test_one_image_has_one_name(written: str, plain: str) -> None:
    assert docker_images._plain(written) == plain
