"""What the kernel's own log tells of an app's end: that there was no memory left.

A status can't say it, and on Nitro nobody sees the console of an enclave that is not in debug mode. Source of the line:
Linux, mm/oom_kill.c; of the records: Documentation/ABI/testing/dev-kmsg.
"""

from __future__ import annotations

import os
import re

#: Where the kernel's log is read, a record at a time.
PATH = "/dev/kmsg"

_RECORD = 8192
_KILLED = re.compile(rb";(?:Out of memory|Memory cgroup out of memory): Killed process (\d+) ")


def out_of_memory(path: str = PATH) -> frozenset[int]:
    """The processes that the kernel has killed because it ran out of memory; none when its log can't be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return frozenset()
    try:
        return frozenset(int(found[1]) for record in _records(fd) if (found := _KILLED.search(record)))
    finally:
        os.close(fd)


def _records(fd: int) -> list[bytes]:
    records = list[bytes]()
    while True:
        try:
            record = os.read(fd, _RECORD)
        except BrokenPipeError:
            # The kernel has overwritten what would have been next; the oldest that is left follows.
            continue
        except OSError:
            # EAGAIN: that was all.
            return records
        if not record:
            return records
        records.append(record)
