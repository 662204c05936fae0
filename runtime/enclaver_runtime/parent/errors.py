"""What the parent's side raises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class ParentError(Exception):
    """The enclave could not be started, reached or followed; the text is one sentence for people.

    Args:
        what: what went wrong.
        cure: what mends it, when that is known.
        console: the last lines of the enclave's console, oldest first, when they may tell why.
    """

    def __init__(self, what: str, *, cure: str = "", console: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.cure = cure
        self.console = tuple(console)

    def __str__(self) -> str:
        parts = [self.what if not self.cure else f"{self.what} ({self.cure})"]
        if self.console:
            parts.append("The last lines of the enclave's console:")
            parts.extend(f"  | {line}" for line in self.console)
        return "\n".join(parts)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise what a nursery wrapped in groups as itself, if it is one exception.

    A caller then catches :class:`ParentError` or :class:`OSError`, however many nurseries are inside. Of several of
    these the first is raised: it ended the others' work. Any other group is left alone.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        if len(leaves) != 1 and not all(isinstance(leaf, (ParentError, OSError)) for leaf in leaves):
            raise
        raise leaves[0] from leaves[0].__cause__


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for exception in group.exceptions:
        if isinstance(exception, BaseExceptionGroup):
            yield from _leaves(exception)
        else:
            yield exception
