"""Where this machine gets Debian's packages from, as apt is told: the roots of archives, in apt's order.

Reads both forms, deb822 (``*.sources``) and one-line (``*.list``), as sources.list(5) describes them. Only
Debian's own archives are of use, and what a source is is read from its suite and components. A wrong guess does
no harm: what comes from a mirror is taken by digest or by signature only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from debian.deb822 import Deb822

from enclaver.core.errors import EnclaverError

APT_FOLDER: Final = Path("/etc/apt")
_SCHEMES: Final = ("http://", "https://", "file:///")
_ONE_LINE: Final = re.compile(
    r"deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?:\s+(?P<components>.*))?"
)


@dataclass(frozen=True, slots=True)
class Source:
    """One archive root that apt uses: ``archive`` is "debian" or "debian-security", ``uri`` has no slash at its end."""

    archive: str
    uri: str


def sources(folder: Path = APT_FOLDER) -> list[Source]:
    """The machine's apt sources of Debian's archives, in the order apt reads them, each once.

    ``folder`` is apt's configuration folder. A machine without one has no sources. Raises EnclaverError when a
    file is there and cannot be read.
    """
    parts = folder / "sources.list.d"
    files = [folder / "sources.list"] if (folder / "sources.list").is_file() else []
    if parts.is_dir():
        files += sorted(path for path in parts.iterdir() if path.suffix in (".list", ".sources"))
    found: dict[Source, None] = {}
    for path in files:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise EnclaverError(
                f"the apt source cannot be read: {error.strerror}",
                file=str(path),
                cure="Mend its permissions, or name mirrors yourself.",
            ) from error
        for source in _deb822(text) if path.suffix == ".sources" else _one_line(text):
            found.setdefault(source)
    return list(found)


def _deb822(text: str) -> Iterator[Source]:
    # apt's own form allows comment lines inside a stanza, which deb822 in general does not.
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in Deb822.iter_paragraphs(lines.splitlines(), use_apt_pkg=False):
        if str(stanza.get("Enabled", "yes")).strip().lower() in ("no", "false", "0", "off", "without", "disable"):
            continue
        components = str(stanza.get("Components", "")).split()
        for uri in str(stanza.get("URIs", "")).split():
            for suite in str(stanza.get("Suites", "")).split():
                yield from _source(uri, suite, components)


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match:
            yield from _source(match["uri"], match["suite"], (match["components"] or "").split())


def _source(uri: str, suite: str, components: list[str]) -> Iterator[Source]:
    # Every suite of Debian's has the component main; vendors that borrow a suite's name (such as "bookworm
    # stable") do not.
    if not uri.startswith(_SCHEMES) or "main" not in components:
        return
    security = suite.endswith("-security") or "/updates" in suite
    yield Source("debian-security" if security else "debian", uri.rstrip("/"))
