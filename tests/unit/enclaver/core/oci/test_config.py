from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import config
from enclaver.core.oci.platform import Platform
from tests.unit.enclaver.core.oci.archives import AMD64, refusal, sha256, tar


def configured(**values: Any) -> config.ImageConfig:
    return config.parse({**AMD64, "config": values, "rootfs": {"type": "layers", "diff_ids": [sha256(tar())]}})


def test_a_whole_configuration() -> None:
    found = configured(
        Entrypoint=["/bin/app", "-v"],
        Cmd=["serve"],
        Env=["PATH=/bin", "A=b=c", "EMPTY=", "A=d"],
        User="app:web",
        WorkingDir="/srv//./app/",
        StopSignal="SIGINT",
        ExposedPorts={"80/tcp": {}},
        Labels={"a": "b"},
    )
    assert found.platform == Platform("linux", "amd64")
    assert [str(one) for one in found.diff_ids] == [sha256(tar())]
    assert (found.entrypoint, found.cmd) == (("/bin/app", "-v"), ("serve",))
    assert dict(found.env) == {"PATH": "/bin", "A": "d", "EMPTY": ""}
    assert (found.user, found.working_dir, found.stop_signal) == ("app:web", "/srv/app", signal.SIGINT)


@pytest.mark.parametrize("values", [{}, {"Entrypoint": None, "Cmd": None, "Env": None, "User": "", "WorkingDir": ""}])
def test_what_is_not_said(values: dict[str, Any]) -> None:
    found = configured(**values)
    assert (found.entrypoint, found.cmd, dict(found.env), found.user) == ((), (), {}, "")
    assert (found.working_dir, found.stop_signal) == ("/", None)


@pytest.mark.parametrize(
    ("text", "number"),
    [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMIN", 34), ("SIGRTMAX", 64), ("SIGRTMAX-1", 63)],
)
def test_stop_signals(text: str, number: int) -> None:
    assert configured(StopSignal=text).stop_signal == number


@pytest.mark.parametrize(
    "text",
    [
        "SIGNOPE",
        "0",
        "65",
        "-1",
        "9" * 99,
        "SIG_IGN",
        "SIG",
        "RTMIN+99",
        "RTMIN+x",
        "RTMAX-99",
        "RTMAX+1",
        "NAL",
        "\u0669",
    ],
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(EnclaverError, match="`StopSignal`"):
        configured(StopSignal=text)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"Entrypoint": "/bin/app"}, "`Entrypoint` is not a list"),
        ({"Cmd": [1]}, "`Cmd` is not a list of texts"),
        ({"Cmd": ["a\0b"]}, "`Cmd` is not a list of texts"),
        ({"Env": ["A"]}, "`Env` holds 'A', which is not NAME=VALUE"),
        ({"Env": ["=A"]}, "`Env` holds"),
        ({"Env": {"A": "b"}}, "`Env` is not a list"),
        ({"User": 1000}, "`User` is not a text"),
        ({"WorkingDir": "/srv/../etc"}, "`WorkingDir` is '/srv/../etc'"),
    ],
)
def test_what_is_refused(values: dict[str, Any], what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        configured(**values)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([], "`configuration` is not an object"),
        ({}, "`rootfs.type` is not `layers`"),
        ({"rootfs": {"type": "layers", "diff_ids": ["x"]}}, "is no digest"),
        ({"rootfs": {"type": "layers"}, "config": []}, "`config` is not an object"),
    ],
)
def test_what_is_no_configuration_is_refused(value: Any, what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        config.parse(value)


@given(st.text(max_size=12))
def test_any_text_is_a_signal_or_refused(text: str) -> None:
    error = refusal(lambda: configured(StopSignal=text))
    if error is None:
        found = configured(StopSignal=text).stop_signal
        assert found is None or 1 <= found <= 64
    else:
        assert "StopSignal" in error.what
