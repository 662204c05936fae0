"""The release's version, as images and reports name it."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
