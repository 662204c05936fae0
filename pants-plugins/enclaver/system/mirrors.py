"""Mirrors of Debian's archive: where a file of an archive may be had, the nearest first.

The order is: mirrors named by the user, then the machine's own apt sources. (What neither has any more, the
public snapshot archive may: see snapshot.py.) Which one served a file never matters, since bytes are taken by
digest or by signature.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.system import apt

ARCHIVES: Final = ("debian", "debian-security")


@dataclass(frozen=True, slots=True)
class Mirror:
    """One archive root: ``archive`` is "debian" or "debian-security", ``root`` a URL without a slash at its end."""

    archive: str
    root: str

    def url(self, path: str) -> str:
        """The URL of a path inside the archive."""
        return f"{self.root}/{urllib.parse.quote(path, safe='/~+:@')}"


def parse(text: str) -> list[Mirror]:
    """What a user names as a mirror, as archive roots.

    Three forms: ``ARCHIVE=URL`` is the root of that archive; a URL whose last part is ``debian`` or
    ``debian-security`` is the root of that archive; any other URL is a folder that holds both under these names,
    or is itself the root of one (some proxies name theirs freely), and is tried as either. Schemes are http, https
    and file. Raises EnclaverError.
    """
    archive, equals, url = text.partition("=")
    if not equals or archive not in ARCHIVES:
        archive, url = "", text
    parsed = urllib.parse.urlsplit(url)
    if parsed.scheme not in ("http", "https", "file") or not (parsed.netloc or parsed.scheme == "file"):
        raise EnclaverError(
            f"{text!r} is not a mirror",
            cure="Give a URL (http, https or file) of a folder that holds debian/ and debian-security/, "
            "of one of the two, or ARCHIVE=URL.",
        )
    if parsed.scheme == "file" and not Path(parsed.path).is_absolute():
        raise EnclaverError(f"{text!r} is not an absolute file URL", cure="Write file:///FOLDER.")
    root = url.rstrip("/")
    if archive:
        return [Mirror(archive, root)]
    last = root.rpartition("/")[2]
    if last in ARCHIVES:
        return [Mirror(last, root)]
    return [Mirror(name, place) for name in ARCHIVES for place in (f"{root}/{name}", root)]


def mirrors(named: Sequence[str], *, archive: str, sources: Sequence[apt.Source] | None = None) -> list[Mirror]:
    """The mirrors of one archive in the order they are tried, each once.

    ``named`` are the user's, ``sources`` the machine's apt sources (None: read them now). Raises EnclaverError.
    """
    known = apt.sources() if sources is None else sources
    found = [mirror for text in named for mirror in parse(text)]
    found += [Mirror(source.archive, source.uri) for source in known]
    return list(dict.fromkeys(mirror for mirror in found if mirror.archive == archive))
