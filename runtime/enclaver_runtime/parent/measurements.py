"""Whether the enclave that boots is the image that was meant: what its security module measured against what was built.

The runtime says on the console what the module holds; only the runtime and the kernel write there.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import trio

from enclaver_runtime.parent.errors import ParentError

#: What the runtime tells.
IMAGE_REGISTERS = ("PCR0", "PCR1", "PCR2")

# As enclave/console.py and enclave/nsm.py write it.
_LINE = re.compile(rb"enclaver: \[[0-9.]+\] (PCR[0-9]+)=([0-9a-f]{96})")


T = TypeVar("T")


@asynccontextmanager
async def checked(
    boot: Callable[[Callable[[bytes], object]], AbstractAsyncContextManager[T]], expected: Mapping[str, str]
) -> AsyncIterator[T]:
    """An enclave by ``boot``, which is given what takes its console's lines; as long as it measures what is expected.

    Args:
        expected: as :class:`MeasurementCheck`'s.

    Raises:
        ExceptionGroup: a ParentError in it says that another image has booted.
    """
    check = MeasurementCheck(expected)
    async with boot(check.look) as enclave, trio.open_nursery() as nursery:
        nursery.start_soon(check.passed)
        yield enclave
        nursery.cancel_scope.cancel()


class MeasurementCheck:
    """Takes a console's lines until every expected register was told.

    Args:
        expected: registers by name (``PCR0``), in hexadecimal.
    """

    def __init__(self, expected: Mapping[str, str]) -> None:
        self._expected = dict(expected)
        self._told: dict[str, str] = {}
        self._complete = trio.Event()

    def look(self, line: bytes) -> None:
        """Take a line of the console."""
        if found := _LINE.fullmatch(line):
            # A register is told once; what comes later is not the boot's.
            self._told.setdefault(found[1].decode(), found[2].decode())
            if self._told.keys() >= self._expected.keys():
                self._complete.set()

    async def passed(self) -> None:
        """Wait until all were told; for ever, where there is no module.

        Raises:
            ParentError: one is not what is expected.
        """
        await self._complete.wait()
        for name, value in self._expected.items():
            if self._told[name] != value:
                raise ParentError(
                    f"the enclave that has booted is not the image: its {name} is {self._told[name]}, "
                    f"and the image's is {value}"
                )
