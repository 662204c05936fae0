from __future__ import annotations

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import limits
from enclaver.core.oci.limits import Budget


def test_a_budget_is_spent_once() -> None:
    budget = Budget(size=3 << 20, entries=2)
    budget.take(2 << 20)
    budget.take(1 << 20)
    with pytest.raises(EnclaverError, match="more than 3 MiB in all when unpacked"):
        budget.take(1)
    budget.take_entry()
    budget.take_entry()
    with pytest.raises(EnclaverError, match="more than 2 entries"):
        budget.take_entry()


def test_only_what_is_large_and_was_small_is_a_bomb() -> None:
    limits.check_ratio(1, limits.HARMLESS)
    limits.check_ratio(limits.HARMLESS, 2 * limits.HARMLESS)
    limits.check_ratio(1 << 20, limits.RATIO << 20)
    with pytest.raises(EnclaverError, match="a decompression bomb"):
        limits.check_ratio(1 << 20, (limits.RATIO << 20) + 1)


def test_names_that_are_too_long_in_all() -> None:
    budget = Budget(names=5)
    budget.take_entry(5)
    with pytest.raises(EnclaverError, match="names in the image's layers are too long"):
        budget.take_entry(1)
