"""An image once more, with another kernel command line: what its runtime does then is in its measurement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from enclaver.build.image_plan import plan_of
from enclaver.core.eif.reader import Image, read
from enclaver.core.eif.writer import write
from enclaver.core.errors import in_file
from enclaver.system.atomic import atomic_output


def with_word(image: Image, word: str, output: Path) -> Image:
    """Write an image whose command line ends in one more word; return what was written, read back and checked.

    All else stays as it is, but for a signature: it is over the PCR0 of the image as it was, so it is left out.

    Raises:
        EnclaverError: the image has changed since it was read, the command line gets too long, or the output can't
            be written; it is then not there.
    """
    with in_file(image.path):
        plan = plan_of(image)
        with atomic_output(output) as file:
            write(replace(plan, cmdline=f"{image.cmdline} {word}"), file)
    return read(output)
