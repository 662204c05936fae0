"""What this process may have of the machine."""

from __future__ import annotations

import resource


def allow_many_files() -> None:
    """Let this process have as many files open as it may: the usual 1024 are few for relays, two for each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
