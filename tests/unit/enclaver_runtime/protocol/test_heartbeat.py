from __future__ import annotations

import pytest

from enclaver_runtime.protocol.heartbeat import BEAT, HeartbeatError, check


def test_the_same_byte_is_expected_back() -> None:
    assert BEAT == b"\xb7"
    check(BEAT)


@pytest.mark.parametrize("reply", [b"", b"\xb8", b"\xb7\xb7"])
def test_anything_else_is_refused(reply: bytes) -> None:
    with pytest.raises(HeartbeatError):
        check(reply)
