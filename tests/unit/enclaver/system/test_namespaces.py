"""What comes of a run in namespaces, as its caller is told; the real runs are in tests/integration/spine."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system.namespaces import NamespacesForbiddenError, run, ways_out


def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> None:
    """Put a shell script in the place of the child: its orders on standard input, its report on descriptor $R."""
    script = tmp_path / "child"
    # The interpreter is called with "-I -S -c TEXT"; the orders tell which descriptor the report goes to.
    script.write_text(f'#!/bin/bash\nread -r orders\nR=${{orders##*\\"report\\": }}; R=${{R%\\}}}}\n{body}\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def lines_of(tmp_path: Path, told: list[str]) -> int:
    return run(tmp_path, ["make", "all"], env={"PATH": "/usr/bin"}, hostname="h", on_line=told.append)


def test_output_comes_line_by_line_and_the_code_at_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, tmp_path, 'printf "one\\ntwo \\377\\nlast"; echo "{\\"returncode\\": 3}" >&$R')
    told: list[str] = []
    assert lines_of(tmp_path, told) == 3
    assert told == ["one", "two \ufffd", "last"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.ENOSPC, errno.ENOSYS])
def test_forbidden_namespaces_are_an_error_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    child(monkeypatch, tmp_path, f'echo "{{\\"failed\\": \\"unshare\\", \\"errno\\": {number}}}" >&$R')
    with pytest.raises(NamespacesForbiddenError, match=r"no namespaces of your own \(unshare: ") as caught:
        lines_of(tmp_path, [])
    assert "user.max_user_namespaces" in str(caught.value)
    assert "apparmor_restrict_unprivileged_userns" in str(caught.value)


def test_the_first_report_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failed = f'echo "{{\\"failed\\": \\"exec\\", \\"errno\\": {errno.ENOENT}}}" >&$R'
    child(monkeypatch, tmp_path, f'{failed}; echo "{{\\"returncode\\": 1}}" >&$R')
    with pytest.raises(EnclaverError, match=r"make can't be run in the unpacked tree: No such file"):
        lines_of(tmp_path, [])


def test_other_refusals_name_the_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, tmp_path, f'echo "{{\\"failed\\": \\"mount /dev\\", \\"errno\\": {errno.ENOMEM}}}" >&$R')
    with pytest.raises(EnclaverError, match=r"can't be set up \(mount /dev: Cannot allocate memory\)"):
        lines_of(tmp_path, [])


def test_a_child_that_dies_without_a_word_was_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, tmp_path, "kill -9 $$")
    with pytest.raises(EnclaverError, match="was killed from outside"):
        lines_of(tmp_path, [])


def test_a_child_that_dies_before_its_orders_was_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "child"
    script.write_text("#!/bin/sh\nexec 0<&-\necho line\nkill -9 $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(EnclaverError, match="was killed from outside"):
        lines_of(tmp_path, [])


def test_the_callers_own_error_ends_the_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, tmp_path, "echo line; exec sleep 600")

    def stop(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt, match="line"):
        run(tmp_path, ["make"], env={}, hostname="h", on_line=stop)


def settings(folder: Path, **values: str) -> Path:
    for name, value in values.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{value}\n")
    return folder


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("user__max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("kernel__unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel__apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_the_setting_that_stands_in_the_way_is_named(tmp_path: Path, name: str, value: str, command: str) -> None:
    text = ways_out(settings(tmp_path, **{name: value}))
    assert text.startswith(f"Allow them: `{command}` as root, since it is {value} now; or ")
    assert "run this as root" in text


def test_without_a_culprit_all_settings_are_named(tmp_path: Path) -> None:
    text = ways_out(settings(tmp_path, user__max_user_namespaces="15000"))
    for name in ("user.max_user_namespaces", "unprivileged_userns_clone", "apparmor_restrict_unprivileged_userns"):
        assert name in text
    assert "--privileged" in text
