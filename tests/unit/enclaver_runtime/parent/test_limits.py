from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from enclaver_runtime.parent.limits import allow_many_files


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """This process's own, as they will be again."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_becomes_the_hard_one(limits: tuple[int, int]) -> None:
    most = limits[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, most))
    for _ in range(2):
        allow_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
