"""Rules and stages meet in argv: what is passed here is what the program on the other side takes, all of it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from pants.engine.fs import EMPTY_DIGEST

from enclaver.util_rules import progress, stages
from enclaver.util_rules.tool import Stage

PROGRAMS = Path(__file__).parents[4] / "pants-plugins" / "enclaver" / "cli" / "stages"
DIGEST = EMPTY_DIGEST
PAIR = (DIGEST, DIGEST)
MIRRORS = ("https://mirror.example.com/debian", "file:///srv/a mirror")
STAGES = [
    stages.read_manifest(DIGEST, "a/enclaver.yaml", app_overridden=True),
    stages.fetch_debian(DIGEST, "//:base", MIRRORS),
    stages.fetch_kernel_source(DIGEST, "//:kernel", MIRRORS),
    stages.fetch_wheels(DIGEST, ["https://index.example.com/simple"], ["/wheels"]),
    stages.debian_tree(PAIR, "//:base"),
    stages.build_kernel(PAIR, PAIR, DIGEST, "//:kernel"),
    stages.boot_ramdisk(DIGEST, PAIR, DIGEST, DIGEST),
    stages.app_ramdisk(DIGEST, PAIR, PAIR, "a/enclaver.yaml", "a:enclave"),
    stages.image(
        *(DIGEST, DIGEST, DIGEST, DIGEST),
        path="a/enclaver.yaml",
        architecture="x86_64",
        output="a/enclave",
        what="a:enclave",
    ),
]


def calls(module: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse((PROGRAMS / f"{module}.py").read_text())) if isinstance(node, ast.Call)]


def helpers() -> dict[str, list[ast.Call]]:
    """The arguments that ``program``'s helpers add, by the helper's name."""
    tree = ast.parse((PROGRAMS / "program.py").read_text())
    return {
        node.name: [call for call in ast.walk(node) if isinstance(call, ast.Call)]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def options(module: str) -> dict[str, bool]:
    """What a stage's program takes, and whether it must be given."""
    found = calls(module)
    names = {ast.unparse(call.func).rpartition(".")[2] for call in found}
    found += [call for name, made in helpers().items() if name in names for call in made]
    taken: dict[str, bool] = {}
    for call in found:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
            keywords: dict[str, Any] = {
                keyword.arg: keyword.value for keyword in call.keywords if keyword.arg == "required"
            }
            taken[ast.literal_eval(call.args[0])] = bool(keywords) and ast.literal_eval(keywords["required"])
    return taken


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: str(stage.name))
def test_a_stage_is_given_what_its_program_takes(stage: Stage) -> None:
    taken = options(stage.name)
    given = {word for word in stage.argv if word.startswith("--")}
    assert given <= set(taken)
    assert {name for name, required in taken.items() if required} <= given


def test_every_program_is_a_stage() -> None:
    programs = {path.stem for path in PROGRAMS.glob("*.py")} - {"__init__", "program"}
    assert {stage.name for stage in STAGES} == programs


def test_each_mirror_and_index_is_passed_whole() -> None:
    fetch = stages.fetch_debian(DIGEST, "//:base", MIRRORS)
    assert [fetch.argv[at + 1] for at, word in enumerate(fetch.argv) if word == "--mirror"] == list(MIRRORS)
    assert "--app-overridden" not in stages.read_manifest(DIGEST, "a", app_overridden=False).argv


def test_only_what_fetches_has_the_network_and_what_it_keeps_is_in_a_cache() -> None:
    assert {stage.name for stage in STAGES if stage.network} == {"fetch_debian", "fetch_kernel_source", "fetch_wheels"}
    assert {stage.name for stage in STAGES if stage.caches} == {"fetch_debian", "fetch_kernel_source", "kernel"}
    for stage in STAGES:
        for name, path in stage.caches.items():
            assert name.startswith("enclaver_")
            assert any(word.startswith(path) for word in stage.argv)


def test_the_kernels_progress_goes_where_it_is_read_from() -> None:
    (kernel,) = (stage for stage in STAGES if stage.name == "kernel")
    folder = kernel.caches[progress.CACHE]
    assert kernel.argv[kernel.argv.index("--progress") + 1] == f"{folder}/{progress.FILE}"


def test_what_a_stage_leaves_is_where_it_was_told_to_leave_it() -> None:
    for stage in STAGES:
        for output in (*stage.output_files, *stage.output_directories):
            assert any(word and output.startswith(word) for word in stage.argv), (stage.name, output)
