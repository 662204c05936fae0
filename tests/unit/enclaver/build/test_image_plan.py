from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from enclaver.build.image_plan import plan_of
from enclaver.core.eif.format import SectionType
from enclaver.core.eif.writer import write
from tests.unit.enclaver.build.test_image_config import image


def test_an_image_by_its_own_plan_is_the_same_file(tmp_path: Path) -> None:
    made = image(tmp_path, {"init": b"x"})
    again = io.BytesIO()
    write(plan_of(made), again)
    assert again.getvalue() == made.path.read_bytes()


def test_an_image_without_metadata_gets_an_empty_one(tmp_path: Path) -> None:
    made = image(tmp_path, {"init": b"x"})
    without = tuple(section for section in made.sections if section.kind is not SectionType.METADATA)
    assert plan_of(replace(made, sections=without)).metadata == b"{}"
