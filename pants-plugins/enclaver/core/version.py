"""The versions that images and reports name: the release's, and the image's own."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
#: That of every image. Images have no version of their own yet: what they are is what they measure.
IMAGE_VERSION: Final = "1.0"
