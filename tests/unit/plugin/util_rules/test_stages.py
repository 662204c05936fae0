"""Rules and stages meet in argv: what is passed here is what the program on the other side takes, all of it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from pants.engine.fs import EMPTY_DIGEST
from pants.engine.process import ProcessCacheScope
from pants.util.frozendict import FrozenDict

from enclaver.util_rules import progress, stages
from enclaver.util_rules.signing import Signing
from enclaver.util_rules.tool import Stage

PROGRAMS = Path(__file__).parents[4] / "pants-plugins" / "enclaver" / "cli" / "stages"
DIGEST = EMPTY_DIGEST
PAIR = (DIGEST, DIGEST)
SIGNING = Signing(DIGEST, "a/sign.pem", "arn:aws:kms:eu-central-1:111122223333:key/1234", in_kms=True)
BY_FILE = Signing(DIGEST, "a/sign.pem", "/keys/key.pem", in_kms=False)
ENV = FrozenDict({"DOCKER_HOST": "unix:///docker.sock"})
HOSTS = ("registry.example.com:5000", "other")
MIRRORS = ("https://mirror.example.com/debian", "file:///srv/a mirror")
STAGES = [
    stages.read_manifest(DIGEST, "a/enclaver.yaml"),
    stages.check_signing(PAIR, "a/enclaver.yaml", SIGNING, ENV),
    stages.fetch_image(DIGEST, "registry.example.com/app:1", "x86_64", ENV, HOSTS),
    stages.save_image("sha256:0", "a:image", ENV),
    stages.lock_images(DIGEST, ("a/enclaver.yaml", "a/b.yaml"), True, ("aarch64", "x86_64"), True, ENV, HOSTS),
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
        signing=SIGNING,
        env=ENV,
        output="a/enclave",
        what="a:enclave",
    ),
    stages.nitro_image(DIGEST, DIGEST, "x86_64", "a:enclave"),
    stages.nitro_build(
        *(DIGEST, DIGEST, DIGEST, DIGEST),
        path="a/enclaver.yaml",
        architecture="x86_64",
        signing=SIGNING,
        env=ENV,
        output="a/enclave",
        what="a:enclave",
    ),
    stages.target_image(
        DIGEST,
        PAIR,
        DIGEST,
        PAIR,
        programs=DIGEST,
        names=(stages.NITRO_CLI, stages.VHOST),
        emulator=True,
        manifest="a/enclaver.yaml",
        reference="a:1",
        output="a/enclave",
        what="a:enclave",
    ),
]
# What speaks to others than this machine, and what keeps something from build to build.
FETCHES = {"fetch_debian", "fetch_kernel_source", "fetch_wheels", "fetch_image", "lock_images"}
ASKS = {"check_signing", "image", "nitro_build"}
KEEPS = {"fetch_debian", "fetch_kernel_source", "fetch_image", "kernel", "app"}


def calls(module: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse((PROGRAMS / f"{module}.py").read_text())) if isinstance(node, ast.Call)]


def helpers() -> dict[str, list[ast.Call]]:
    """The arguments that the helpers of stages add, by the helper's name with its module's."""
    shared = [PROGRAMS / "program.py", PROGRAMS.parent / "registry_argument.py", PROGRAMS.parent / "signing_options.py"]
    return {
        f"{path.stem}.{node.name}": [call for call in ast.walk(node) if isinstance(call, ast.Call)]
        for path in shared
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }


def options(module: str) -> dict[str, bool]:
    """What a stage's program takes, and whether it must be given."""
    found = calls(module)
    names = {ast.unparse(call.func) for call in found}
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


def test_each_registry_is_passed_whole() -> None:
    fetch = stages.fetch_image(DIGEST, "app:1", "x86_64", ENV, HOSTS)
    assert [fetch.argv[at + 1] for at, word in enumerate(fetch.argv) if word == "--insecure-registry"] == list(HOSTS)


def test_what_a_program_on_path_makes_holds_for_a_session() -> None:
    (given,) = (stage for stage in STAGES if stage.name == "nitro_build")
    found = stages.nitro_build(
        *(DIGEST, DIGEST, DIGEST, None),
        path="a/enclaver.yaml",
        architecture="x86_64",
        signing=None,
        env=ENV,
        output="a/enclave",
        what="a:enclave",
    )
    assert given.cache_scope is ProcessCacheScope.SUCCESSFUL
    assert found.cache_scope is ProcessCacheScope.PER_SESSION
    assert "--nitro-cli" not in found.argv


def test_only_what_fetches_has_the_network_and_what_it_keeps_is_in_a_cache() -> None:
    assert {stage.name for stage in STAGES if stage.network} == FETCHES | ASKS
    assert {stage.name for stage in STAGES if stage.caches} == KEEPS
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


@pytest.mark.parametrize("signing", [None, BY_FILE])
def test_what_asks_nobody_has_no_network_and_no_environment(signing: Signing | None) -> None:
    """The environment is part of a cache's key, and differs from machine to machine."""
    stage = stages.image(
        *(DIGEST, DIGEST, DIGEST, DIGEST),
        path="a/enclaver.yaml",
        architecture="x86_64",
        signing=signing,
        env=ENV,
        output="a/enclave",
        what="a:enclave",
    )
    assert not stage.network
    assert not stage.env
    assert any(word.startswith("--signing") for word in stage.argv) is (signing is not None)


def test_the_environment_leads_to_a_key_in_kms() -> None:
    for who, env in ((SIGNING, ENV), (BY_FILE, FrozenDict())):
        check = stages.check_signing(PAIR, "a/enclaver.yaml", who, ENV)
        assert (check.env, check.network) == (env, who.in_kms)
    assert {stage.name for stage in STAGES if stage.env} == ASKS | {"fetch_image", "save_image", "lock_images"}


def test_an_app_that_is_an_image_has_no_base() -> None:
    stage = stages.app_ramdisk(None, PAIR, PAIR, "a/enclaver.yaml", "a:enclave")
    assert "--tree" not in stage.argv
    assert "--entries" not in stage.argv


def test_what_others_decide_is_asked_in_every_session() -> None:
    asked = {stage.name for stage in STAGES if stage.cache_scope is ProcessCacheScope.PER_SESSION}
    assert asked == {"check_signing", "lock_images"}
