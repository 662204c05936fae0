from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from enclaver_runtime.enclave import place
from tests.unit.enclaver_runtime.isolation import in_child, needs_root


def test_the_place_is_told_by_the_process_id() -> None:
    assert place.here(1) is place.FIRST
    assert place.here(2) is place.here() is place.BELOW_AWS_INIT
    assert (place.FIRST.sends_heartbeat, place.BELOW_AWS_INIT.sends_heartbeat) == (True, False)


def test_the_first_process_has_all_that_it_needs() -> None:
    assert place.FIRST.settle() == []


@needs_root
def test_the_child_of_an_init_inherits_orphans_and_is_spared_when_memory_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file in its place: a container may lack the capability to set such a score.
    monkeypatch.setattr(place, "OOM_SCORE", str(tmp_path / "score"))

    def settled() -> bool:
        said = place.BELOW_AWS_INIT.settle()
        score = Path(place.OOM_SCORE).read_text()
        orphan = orphaned()
        # A process that is not this one's child cannot be waited for.
        reaped, _ = os.waitpid(orphan, 0)
        return (said, score, reaped) == ([f"started by another init, as process {os.getpid()}"], "-1000", orphan)

    def scenario() -> int:
        # A child of the test's child, which is a subreaper already.
        pid = os.fork()
        if pid == 0:
            os._exit(0 if settled() else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert in_child(scenario) == 0


def orphaned() -> int:
    """Start a process whose parent has ended; it ends a moment later."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        orphan = os.fork()
        if orphan:
            os.write(write, str(orphan).encode())
        else:
            time.sleep(0.1)
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    return int(os.read(read, 20))
