"""The build's plan: everything that could differ between machines is fixed in it."""

from __future__ import annotations

import email.utils
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.kernel.plan import BUILD, CMDLINE, Plan, plan
from enclaver.core.kernel.source_lock import load

LOCK = load(Path(__file__).parents[5] / "3rdparty/kernel/source.lock.json")
MOMENT = 1794660961


def argvs(made: Plan) -> list[str]:
    return [" ".join(step.argv) for step in (*made.configure, *made.compile)]


def test_the_steps_are_the_recipe() -> None:
    assert argvs(plan(LOCK, timestamp=MOMENT, jobs=2)) == [
        "tar --extract --file=/build/package.tar ./usr/src/linux-source-6.12.tar.xz",
        "tar --extract --touch --no-same-owner --no-same-permissions --strip-components=1"
        " --use-compress-program=xz --threads=2 --directory=/build/linux"
        " --file=/build/usr/src/linux-source-6.12.tar.xz",
        "make ARCH=x86_64 tinyconfig",
        "scripts/kconfig/merge_config.sh -m .config /build/fragment.config",
        "make ARCH=x86_64 olddefconfig",
        "make ARCH=x86_64 --jobs=2 bzImage",
    ]


def test_the_environment_is_whole_and_the_machine_is_not_in_it() -> None:
    environment = plan(LOCK, timestamp=MOMENT, jobs=2).environment
    assert environment == {
        "PATH": "/usr/sbin:/usr/bin",
        "HOME": "/tmp",
        "LC_ALL": "C",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": "1794660961",
        "KBUILD_BUILD_TIMESTAMP": "Sat Nov 14 12:56:01 UTC 2026",
        "KBUILD_BUILD_USER": "enclaver",
        "KBUILD_BUILD_HOST": "enclaver",
        "KBUILD_BUILD_VERSION": "1",
    }


@given(st.integers(0, 253402300799))
def test_the_build_time_says_the_moment_it_stands_for(moment: int) -> None:
    text = plan(LOCK, timestamp=moment, jobs=1).environment["KBUILD_BUILD_TIMESTAMP"]
    parsed = email.utils.parsedate_tz(f"{text[:3]}, {text[8:10]} {text[4:7]} {text[-4:]} {text[11:19]} +0000")
    assert parsed is not None
    assert datetime(*parsed[:6], tzinfo=timezone.utc).timestamp() == moment
    # Linux cuts the whole of "#1 SMP TIMESTAMP" at 64 bytes.
    assert len(f"#1 SMP {text}") < 64


def test_the_number_of_jobs_is_all_that_a_machine_adds() -> None:
    few, many = plan(LOCK, timestamp=MOMENT, jobs=2), plan(LOCK, timestamp=MOMENT, jobs=64)
    assert few.environment == many.environment
    assert [line.replace("=64", "=2") for line in argvs(many)] == argvs(few)


def test_every_step_runs_below_one_fixed_folder() -> None:
    made = plan(LOCK, timestamp=MOMENT, jobs=2)
    assert {step.cwd for step in (*made.configure, *made.compile)} == {BUILD, f"{BUILD}/linux"}


def test_another_series_changes_the_tarball() -> None:
    other = replace(LOCK, package=replace(LOCK.package, name="linux-source-6.18"))
    assert "usr/src/linux-source-6.18.tar.xz" in argvs(plan(other, timestamp=MOMENT, jobs=2))[0]


@pytest.mark.parametrize("jobs", [0, -1, 1025])
def test_a_senseless_number_of_jobs_is_refused(jobs: int) -> None:
    with pytest.raises(EnclaverError, match="compilers at once"):
        plan(LOCK, timestamp=MOMENT, jobs=jobs)


@pytest.mark.parametrize("moment", [-(10**15), 10**15])
def test_a_time_that_no_calendar_has_is_refused(moment: int) -> None:
    with pytest.raises(EnclaverError, match="is not a time"):
        plan(LOCK, timestamp=moment, jobs=1)


def test_the_command_line_is_one_line_that_linux_takes() -> None:
    assert CMDLINE.isprintable()
    assert "console=ttyS0" in CMDLINE.split(" ")
    assert "" not in CMDLINE.split(" ")
