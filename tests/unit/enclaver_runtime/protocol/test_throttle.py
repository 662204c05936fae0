from __future__ import annotations

from enclaver_runtime.protocol.throttle import Throttle, throttled


def test_so_many_lines_a_period_and_the_rest_counted() -> None:
    throttle = Throttle(limit=2, period=10)
    written = [line for number in range(5) for line in throttle.admit(str(number), 100 + number)]
    assert written == ["0", "1"]
    assert throttle.admit("5", 109.9) == []
    assert throttle.admit("6", 110) == ["(4 more lines like these were left out)", "6"]
    assert throttle.admit("7", 200) == ["7"]


def test_a_teller_that_is_limited() -> None:
    told: list[str] = []
    times = iter([0.0] * 50 + [60.0])
    tell = throttled(told.append, lambda: next(times))
    for number in range(51):
        tell(str(number))
    assert told == [*map(str, range(20)), "(30 more lines like these were left out)", "50"]
