from __future__ import annotations

from pathlib import Path

import pytest

from enclaver.build.memory import least_memory_mb
from enclaver.core.eif.reader import read
from tests.unit.enclaver.core.eif.images import image_bytes, plan, saved

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    ("sizes", "least"), [((1,), 33), ((MEBIBYTE,), 35), ((MEBIBYTE + 1,), 36), ((2 * MEBIBYTE, MEBIBYTE), 41)]
)
def test_the_ramdisks_three_times_and_the_kernel(tmp_path: Path, sizes: tuple[int, ...], least: int) -> None:
    image = read(saved(tmp_path, image_bytes(plan(*map(bytes, sizes)))))
    assert least_memory_mb(image) == least
