from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from enclaver.build.development_image import with_word
from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import read
from enclaver.core.errors import EnclaverError
from tests.unit.enclaver.core.eif.images import (
    METADATA,
    image_bytes,
    key_and_certificate,
    plan,
    resigned,
    saved,
    sections_bytes,
    signature_section,
)


def sections(path: Path) -> list[tuple[SectionType, bytes]]:
    return [(one.kind, b"".join(map(bytes, one.data.chunks()))) for one in read(path).sections]


def test_all_but_the_command_line_stays_as_it_is(tmp_path: Path) -> None:
    made = replace(plan(b"boot" * 99, b"app" * 99, b"more"), memory_bytes=77 << 20, cpus=3)
    path = saved(tmp_path, image_bytes(made))
    before = path.read_bytes()
    changed = with_word(read(path), "a.word=1", tmp_path / "changed.eif")
    assert (changed.path, changed.cmdline) == (tmp_path / "changed.eif", "panic=30 a.word=1")
    assert path.read_bytes() == before
    assert sections(changed.path) == [
        (kind, b"panic=30 a.word=1" if kind is SectionType.CMDLINE else data) for kind, data in sections(path)
    ]
    assert (changed.header.memory_bytes, changed.header.cpus) == (77 << 20, 3)
    # It is what an image with that command line is from the start; so are its registers.
    assert changed.path.read_bytes() == image_bytes(replace(made, cmdline="panic=30 a.word=1"))


def test_the_command_line_is_in_pcr0_and_pcr1_and_not_in_pcr2(tmp_path: Path) -> None:
    image = read(saved(tmp_path, image_bytes(plan(b"boot", b"app"))))
    changed = with_word(image, "w", tmp_path / "changed.eif").measurements
    assert changed.pcr0 != image.measurements.pcr0
    assert changed.pcr1 != image.measurements.pcr1
    assert changed.pcr2 == image.measurements.pcr2


def test_the_architecture_is_kept(tmp_path: Path) -> None:
    image = read(saved(tmp_path, image_bytes(replace(plan(), architecture="aarch64"))))
    assert with_word(image, "w", tmp_path / "changed.eif").header.architecture == "aarch64"


def test_a_signature_is_left_out(tmp_path: Path) -> None:
    data = image_bytes(plan())
    image = read(saved(tmp_path, data))
    signature = signature_section(*key_and_certificate(), image.measurements.pcr0)
    signed = read(saved(tmp_path, resigned(data, signature)))
    assert signed.measurements.pcr8 is not None
    changed = with_word(signed, "w", tmp_path / "changed.eif")
    assert (changed.signature, changed.measurements.pcr8) == (None, None)


def test_an_image_without_metadata(tmp_path: Path) -> None:
    pieces = [(SectionType.KERNEL, b"kernel"), (SectionType.CMDLINE, b"x"), (SectionType.RAMDISK, b"boot")]
    image = read(saved(tmp_path, sections_bytes(pieces)))
    changed = with_word(image, "w", tmp_path / "changed.eif")
    assert (image.metadata, changed.metadata, changed.cmdline) == (None, {}, "x w")
    assert METADATA not in changed.path.read_bytes()


@pytest.mark.parametrize("damage", ["long", "gone", "cut"])
def test_what_fails_leaves_nothing_and_names_the_image(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    made = plan(bytes(5_000_000), cmdline="x" * 2041 if damage == "long" else "x")
    image = read(saved(tmp_path, image_bytes(made)))
    if damage == "gone":
        image.path.unlink()
    elif damage == "cut":
        image.path.write_bytes(image.path.read_bytes()[:4_000_000])
    with pytest.raises(EnclaverError) as caught:
        with_word(image, "a.word", folder / "changed.eif")
    assert caught.value.file == str(image.path)
    assert list(folder.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    image = read(saved(tmp_path, image_bytes(plan())))
    with pytest.raises(EnclaverError, match="cannot write") as caught:
        with_word(image, "w", tmp_path / "no" / "changed.eif")
    assert caught.value.file == str(tmp_path / "no" / "changed.eif")
