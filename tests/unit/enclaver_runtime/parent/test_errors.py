from __future__ import annotations

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.parent.errors import ParentError, plain_errors


def test_text_names_cure_and_console() -> None:
    error = ParentError("it broke", cure="mend it", console=["one", "two"])
    assert str(error).splitlines() == [
        "it broke (mend it)",
        "The last lines of the enclave's console:",
        "  | one",
        "  | two",
    ]
    assert str(ParentError("it broke")) == "it broke"


@trio_test
async def test_one_error_leaves_nurseries_as_itself() -> None:
    cause = OSError("below")

    async def fail() -> None:
        raise ParentError("it broke") from cause

    async def fail_inside() -> None:
        with plain_errors():
            async with trio.open_nursery() as outer, trio.open_nursery() as inner:
                outer.start_soon(trio.sleep_forever)
                inner.start_soon(fail)

    with pytest.raises(ParentError, match="it broke") as caught:
        await fail_inside()
    assert caught.value.__cause__ is cause


def test_several_errors_stay_a_group() -> None:
    group = ExceptionGroup("both", [OSError("one"), ValueError("two")])
    with pytest.raises(ExceptionGroup) as caught, plain_errors():
        raise group
    assert caught.value is group


def test_of_several_that_a_user_can_mend_the_first_is_told() -> None:
    first = ParentError("one")
    group = ExceptionGroup("both", [ExceptionGroup("inner", [first]), BrokenPipeError("two")])
    with pytest.raises(ParentError) as caught, plain_errors():
        raise group
    assert caught.value is first


@trio_test
async def test_cancellation_passes() -> None:
    with trio.CancelScope() as scope, plain_errors():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)
            scope.cancel()
    assert scope.cancelled_caught
