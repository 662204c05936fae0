"""The kernel's configuration: the fragment a user writes, and whether the build honoured all of it.

`olddefconfig` drops an option whose dependencies are missing, and turns one on that another selects, and says
nothing. A kernel without the NSM driver or with modules allowed would build all the same, so what was asked
for is held against the final configuration.

The format is that of the kernel's .config (Documentation/kbuild/kconfig.rst): ``CONFIG_NAME=value`` and
``# CONFIG_NAME is not set``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from enclaver.core.errors import EnclaverError

OFF: Final = "n"

_SET: Final = re.compile(r"CONFIG_(?P<name>[A-Za-z0-9_]+)=(?P<value>.*)")
_UNSET: Final = re.compile(r"#\s*CONFIG_(?P<name>[A-Za-z0-9_]+) is not set")
# y, m, n; a decimal or hexadecimal number; or a string with backslash escapes.
_VALUE: Final = re.compile(r'[ymn]|-?[0-9]+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its name without ``CONFIG_``, its value as written (``n`` when not set), its line from 1."""

    name: str
    value: str
    line: int


def parse(text: bytes, file: str) -> dict[str, Option]:
    """Read a fragment or a whole .config.

    Args:
        text: the file's bytes.
        file: its name, as the user knows it.

    Returns:
        The options by name, in the order of the file.

    Raises:
        EnclaverError: text that is no configuration, a value Kconfig has no type for, or an option given twice.
    """
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise EnclaverError("the kernel configuration is not UTF-8 text", file=file) from error
    options: dict[str, Option] = {}
    for number, line in enumerate(lines, 1):
        option = _option(line.strip(), number, file)
        if option is None:
            continue
        if option.name in options:
            raise EnclaverError(
                f"CONFIG_{option.name} is given a second time; line {options[option.name].line} has it first",
                file=file,
                place=f"line {number}",
                cure="Keep one of the two lines.",
            )
        options[option.name] = option
    return options


def _option(line: str, number: int, file: str) -> Option | None:
    if match := _UNSET.fullmatch(line):
        return Option(match["name"], OFF, number)
    if not line or line.startswith("#"):
        return None
    match = _SET.fullmatch(line)
    if match is None or not _VALUE.fullmatch(match["value"]):
        raise EnclaverError(
            f"{line!r} is not a kernel option",
            file=file,
            place=f"line {number}",
            cure='Write CONFIG_NAME=y, =n, a number or a "string"; "# CONFIG_NAME is not set"; or a comment.',
        )
    return Option(match["name"], match["value"], number)


def check(wanted: Mapping[str, Option], final: Mapping[str, Option], file: str) -> None:
    """Refuse a final configuration that isn't what the fragment asks for.

    Args:
        wanted: the fragment's options.
        final: those of the .config that the kernel is built with; an absent one counts as not set.
        file: the fragment's name, for the error.

    Raises:
        EnclaverError: names every option that came out otherwise, with its line in the fragment.
    """
    wrong = []
    for option in wanted.values():
        found = final[option.name].value if option.name in final else None
        if option.value != (found or OFF):
            was = "it was dropped" if found in (None, OFF) else f"it became {found}"
            wrong.append((option, f"line {option.line}: CONFIG_{option.name}={option.value}: {was}"))
    if wrong:
        listing = "\n".join(f"    {text}" for _, text in wrong)
        raise EnclaverError(
            f"the kernel's own configuration rules changed {len(wrong)} of the options asked for:\n{listing}",
            file=file,
            place=f"line {wrong[0][0].line}",
            cure="A dropped option doesn't exist in this kernel or lacks what it depends on: add that. One that "
            "became y is selected by another: turn that one off. Or take the line out.",
        )
