"""Which modules a module takes along: all that it imports, wherever in its code, and what those import.

It reads the sources and runs none of them. Imports by a computed name are not seen; this project has none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import Entry, printable
from enclaver.core.rootfs.tree import Tree

# No module of a person's making is larger.
_MOST: Final = 1 << 20


def closure(sources: Tree, module: str) -> Tree:
    """Return the files of the modules that one needs, itself included.

    Args:
        sources: Python packages, from their root on: ``enclaver/core/errors.py``.
        module: its full name: ``enclaver.cli.run``.

    Raises:
        EnclaverError: it is not there, or a module on the way is no Python of this version.
    """
    found = Tree()
    waiting = [module]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        # Python imports every package that a module lies in before the module itself.
        waiting.extend(name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1))
        entry = _file(sources, name)
        if entry is None:
            # What is imported may be no module but a name of one, a package without a file, or somebody else's.
            if name == module:
                raise EnclaverError(f"the module {name} is not among the sources", cure="Give the folder it lies in.")
            continue
        found.add(entry)
        waiting.extend(_imports(sources, entry))
    return found


def _file(sources: Tree, module: str) -> Entry | None:
    path = module.replace(".", "/")
    return sources.get(f"{path}.py") or sources.get(f"{path}/__init__.py")


def _imports(sources: Tree, entry: Entry) -> Iterator[str]:
    try:
        code = ast.parse(sources.content(entry).head(_MOST))
    except (SyntaxError, ValueError) as error:
        raise EnclaverError(f"is no Python: {error}", place=printable(entry.path)) from error
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
