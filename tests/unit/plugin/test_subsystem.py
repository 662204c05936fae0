from __future__ import annotations

from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.option.option_types import collect_options_info

from enclaver.subsystem import EnclaverSubsystem

OPTIONS = {info.flag_names[0]: info.flag_options for info in collect_options_info(EnclaverSubsystem)}


def test_base_kernel_and_mirrors_are_the_users_choice() -> None:
    for name in ("--default-base", "--default-kernel", "--mirrors"):
        assert not OPTIONS[name].get("default"), name


def test_every_option_has_help() -> None:
    assert all(options["help"] for options in OPTIONS.values())


def test_what_leads_to_others_is_passed_on_and_no_secret() -> None:
    names = OPTIONS["--env-vars"]["default"]
    assert sorted(set(names)) == names
    # Programs look for proxies in either spelling; many know the small one only.
    assert {name.lower() for name in names if name.endswith("_PROXY")} == {name for name in names if name.islower()}
    assert not [name for name in names if "SECRET" in name or "SESSION_TOKEN" in name or "PASSWORD" in name]


def test_the_builder_runs_on_what_its_sources_are_written_for() -> None:
    constraints = InterpreterConstraints(OPTIONS["--interpreter-constraints"]["default"])
    universe = [f"3.{minor}" for minor in range(9, 15)]
    assert constraints.partition_into_major_minor_versions(universe) == ("3.11", "3.12", "3.13", "3.14")
