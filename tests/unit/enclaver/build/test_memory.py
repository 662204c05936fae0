from __future__ import annotations

from pathlib import Path

import pytest

from enclaver.build.memory import check_memory, least_memory_mb, least_nitro_memory_mb
from enclaver.core.eif.reader import Image, read
from enclaver.core.errors import EnclaverError
from tests.unit.enclaver.core.eif.images import image_bytes, plan, saved

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    ("sizes", "least"), [((1,), 33), ((MEBIBYTE,), 35), ((MEBIBYTE + 1,), 36), ((2 * MEBIBYTE, MEBIBYTE), 41)]
)
def test_the_ramdisks_three_times_and_the_kernel(tmp_path: Path, sizes: tuple[int, ...], least: int) -> None:
    image = read(saved(tmp_path, image_bytes(plan(*map(bytes, sizes)))))
    assert least_memory_mb(image) == least


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """10 MiB of ramdisk: 62 MiB to boot, 44 to be let in by nitro-cli."""
    return read(saved(tmp_path, image_bytes(plan(bytes(10 * MEBIBYTE)))))


def test_nitro_wants_the_image_four_times_in_whole_mebibytes(image: Image) -> None:
    assert least_nitro_memory_mb(image) == 4 * 11


def test_memory_that_does_is_not_talked_about(image: Image) -> None:
    assert check_memory(image, 62, on_nitro=False) == []
    assert check_memory(image, 62, on_nitro=True) == []


@pytest.mark.parametrize("on_nitro", [True, False])
def test_memory_that_the_image_does_not_fit_into_is_refused(image: Image, on_nitro: bool) -> None:
    with pytest.raises(EnclaverError, match=r"cannot boot with 61 MiB(.|\n)*--memory-mb 62 or more"):
        check_memory(image, 61, on_nitro=on_nitro)


def test_memory_that_nitro_refuses_is_refused_before(image: Image) -> None:
    with pytest.raises(EnclaverError, match=r"enclave of 43 MiB is too small(.|\n)*--memory-mb 62 or more"):
        check_memory(image, 43, on_nitro=True)


def test_the_emulator_tells_what_nitro_would_refuse(tmp_path: Path) -> None:
    image = read(saved(tmp_path, image_bytes(plan(bytes(MEBIBYTE), kernel=bytes(12 * MEBIBYTE)))))
    (note,) = check_memory(image, 40, on_nitro=False)
    assert note == "40 MiB would be too little on Nitro, which wants 56: 4 times the image"
