"""The rooms and what they may import, as docs/decisions.md and CONTRIBUTING.md describe them; and a test for each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {"enclaver": ROOT / "pants-plugins" / "enclaver", "enclaver_runtime": ROOT / "runtime" / "enclaver_runtime"}

# Room to the rooms it may import; its own is always allowed. `core.errors` is everybody's on 3.11.
RULES = ("enclaver.engine", "enclaver.subsystem", "enclaver.target_types", "enclaver.locks")
ALLOWED = {
    "enclaver.engine": (),
    "enclaver.locks": (),
    "enclaver.subsystem": (),
    "enclaver.target_types": (),
    "enclaver.util_rules": RULES,
    "enclaver.goals": (*RULES, "enclaver.util_rules"),
    "enclaver.register": (*RULES, "enclaver.goals", "enclaver.util_rules"),
    "enclaver.core": (),
    "enclaver.system": ("enclaver.core.errors",),
    "enclaver.build": ("enclaver.core", "enclaver.system"),
    "enclaver.cli": (
        "enclaver.build",
        "enclaver.core",
        "enclaver.system",
        "enclaver_runtime.config",
        "enclaver_runtime.parent",
    ),
    "enclaver_runtime.init": ("enclaver_runtime.enclave",),
    "enclaver_runtime.config": (),
    "enclaver_runtime.protocol": (),
    "enclaver_runtime.transport": (),
    "enclaver_runtime.enclave": (
        "enclaver_runtime.config",
        "enclaver_runtime.protocol",
        "enclaver_runtime.transport",
    ),
    "enclaver_runtime.parent": (
        "enclaver_runtime.config",
        "enclaver_runtime.protocol",
        "enclaver_runtime.transport",
    ),
}
# Core is a function of its input: what it may not even name.
NOT_IN_CORE = {
    *("asyncio", "getpass", "http", "locale", "multiprocessing", "platform", "pwd", "random", "requests", "secrets"),
    *("socket", "socketserver", "ssl", "subprocess", "time", "trio", "urllib", "urllib3", "uuid"),
}
CORE_CALLS = (
    "os.environ",
    "os.getenv",
    "os.urandom",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
)
# What ends a process or speaks past the command line, and who may: forks that must not come back.
SPEAKS = {"enclaver.system.namespace_child": {"os._exit"}, "enclaver_runtime.enclave.launch": {"os._exit"}}
SPEECH = (
    "print",
    "input",
    "exit",
    "quit",
    "SystemExit",
    "sys.exit",
    "sys.stdout",
    "sys.stderr",
    "os._exit",
    "os.abort",
)


def modules() -> Iterator[tuple[str, Path]]:
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: a relative import hides where it leads"
            assert not node.level, f"{path}: a relative import hides where it leads"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


MODULES = [(module, path) for module, path in modules() if module not in SOURCES]


def test_there_is_code() -> None:
    assert len(MODULES) > 50
    assert {room(module) for module, _ in MODULES} == set(ALLOWED)


@pytest.mark.parametrize(("module", "path"), MODULES, ids=[module for module, _ in MODULES])
def test_a_module_imports_only_what_its_room_may(module: str, path: Path) -> None:
    own = room(module)
    for name in imports(path):
        if name.split(".")[0] in SOURCES:
            assert within(name, (own, *ALLOWED[own])), f"{module} imports {name}"


def of_room(*rooms: str) -> pytest.MarkDecorator:
    chosen = [(module, path) for module, path in MODULES if room(module) in rooms]
    return pytest.mark.parametrize(("module", "path"), chosen, ids=[module for module, _ in chosen])


def named(path: Path) -> set[str]:
    """Return all names that a module's code uses, those with dots whole and by their last two parts."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Name | ast.Attribute):
            whole = ast.unparse(node)
            found |= {whole, ".".join(whole.split(".")[-2:])}
    return found


@of_room("enclaver.core")
def test_core_reads_no_clock_no_network_and_no_environment(module: str, path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & NOT_IN_CORE
    assert not named(path) & set(CORE_CALLS)


@of_room(*(set(ALLOWED) - {"enclaver.cli"}))
def test_only_the_command_line_prints_and_exits(module: str, path: Path) -> None:
    assert not named(path) & set(SPEECH) - SPEAKS.get(module, set())


@pytest.mark.parametrize("module", sorted(SPEAKS))
def test_an_exception_is_still_needed(module: str) -> None:
    assert named(dict(MODULES)[module]) & SPEAKS[module] == SPEAKS[module]


def has_code(path: Path) -> bool:
    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in ast.parse(path.read_bytes()).body
    )


# What has no test file of its own, and where it is tested instead.
ELSEWHERE = {
    "enclaver.register": "tests/rules: without it there is no backend",
    "enclaver.engine": "tests/rules: every call of it is one of the engine's",
    "enclaver.engine.by_get": "tests/rules",
    "enclaver.engine.by_name": "tests/unit/plugin/test_engine.py holds it to by_get; it runs on newer Pants only",
    "enclaver.goals.lock": "tests/rules/test_container_images.py",
    "enclaver.goals.package": "tests/rules",
    "enclaver.goals.publish": "tests/rules/test_container_images.py",
    "enclaver.goals.run": "tests/rules",
    "enclaver.util_rules.command": "tests/rules",
    "enclaver.util_rules.dependencies": "tests/rules",
    "enclaver.util_rules.image": "tests/rules",
    "enclaver.util_rules.parts": "tests/rules",
    "enclaver.util_rules.programs": "tests/rules/test_target_images.py",
    "enclaver.util_rules.signing": "tests/rules/test_signing.py",
    "enclaver.util_rules.target_image": "tests/rules/test_target_images.py",
    "enclaver.subsystem": "tests/unit/plugin/test_subsystem.py",
    "enclaver.target_types": "tests/unit/plugin/test_target_types.py",
    "enclaver.core.version": "a constant",
}


@pytest.mark.parametrize(("module", "path"), MODULES, ids=[module for module, _ in MODULES])
def test_every_module_has_its_test(module: str, path: Path) -> None:
    if module in ELSEWHERE or not has_code(path):
        return
    package, *parts = module.split(".")
    below = "plugin" if parts[0] in ("util_rules", "goals", "engine") else package
    if module.startswith("enclaver.cli.stages."):
        expected = ROOT / "tests/unit/enclaver/cli/stages/test_stages.py"
    else:
        expected = ROOT.joinpath("tests/unit", below, *parts[:-1], f"test_{parts[-1]}.py")
    assert expected.is_file(), f"{module} has no {expected.relative_to(ROOT)}"
