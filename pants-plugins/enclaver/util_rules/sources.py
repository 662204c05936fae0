"""The installed sources of a stage: exactly the modules it imports, so that its cache key holds them and no others.

A change to the manifest's parser then rebuilds no kernel. The scan is by text, because the sources are Python 3.11
and Pants' own interpreter may be 3.9, which can't parse them.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Dict, Iterator, List

# `from a.b import c, d` (parentheses may span lines) and `import a.b`, at any indentation.
_FROM = re.compile(r"^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*import[ \t]+([\w.]+)", re.MULTILINE)
_COMMENT = re.compile(r"#[^\n]*")


def closure(module: str, package: str) -> Dict[str, bytes]:
    """Return the sources that a module of a package imports from that package, itself included.

    Args:
        module: the module's full name: ``enclaver.cli.stages.image``.
        package: the top-level package: ``enclaver``. It may be a namespace package.

    Returns:
        Path below the source root (``enclaver/core/errors.py``) to bytes, sorted by path.

    Raises:
        ModuleNotFoundError: the module is not installed.
    """
    found: Dict[str, bytes] = {}
    waiting = [module]
    seen = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _file(name)
        if path is None:
            if name == module:
                raise ModuleNotFoundError(f"{name} is not installed beside the Pants backend")
            continue
        parts = name.split(".")
        relative = "/".join(parts)
        found[f"{relative}/__init__.py" if path.name == "__init__.py" else f"{relative}.py"] = path.read_bytes()
        # Python imports every parent package before the module itself.
        waiting.extend(".".join(parts[:count]) for count in range(1, len(parts)))
        waiting.extend(_imports(path.read_text(encoding="utf-8"), package))
    return dict(sorted(found.items()))


def folder(package: str) -> Dict[str, bytes]:
    """Return all Python sources of an installed package, by path below the source root, sorted."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed beside the Pants backend")
    root = Path(next(iter(spec.submodule_search_locations)))
    return {f"{package}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in sorted(root.rglob("*.py"))}


def _imports(text: str, package: str) -> Iterator[str]:
    names: List[str] = []
    for match in _FROM.finditer(text):
        base, imported = match.groups()
        names.append(base)
        # What follows `import` may be a module too; a name that is none has no file and falls away.
        for item in _COMMENT.sub("", imported).strip("() \t").split(","):
            word = item.strip().split(" ")[0]
            if word.isidentifier():
                names.append(f"{base}.{word}")
    names.extend(match.group(1) for match in _IMPORT.finditer(text))
    return (name for name in names if name == package or name.startswith(package + "."))


def _file(module: str) -> Path | None:
    """Return a module's file without importing it; None for what is no module or a namespace package."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    for location in spec.submodule_search_locations or ():
        path = Path(location).joinpath(*rest)
        for candidate in (path / "__init__.py", path.with_name(path.name + ".py")):
            if rest and candidate.is_file():
                return candidate
        if not rest and (path / "__init__.py").is_file():
            return path / "__init__.py"
    return None
