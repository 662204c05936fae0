from __future__ import annotations

from enclaver_runtime.config import App, Config, Egress
from enclaver_runtime.enclave.proxy_environment import with_proxy


def config(env: dict[str, str], *, egress: bool = True) -> Config:
    return Config(
        app=App(argv=("/app",), env=env, cwd="/", uid=1, gid=1),
        egress=Egress(proxy_port=10001, allow=("a",), deny=()) if egress else None,
        ingress=(),
        kms_proxy=None,
        api=None,
    )


def test_programs_are_told_in_both_cases() -> None:
    url = "http://127.0.0.1:10001"
    assert with_proxy(config({"A": "b"})).env == {
        "A": "b",
        "http_proxy": url,
        "HTTP_PROXY": url,
        "https_proxy": url,
        "HTTPS_PROXY": url,
        "no_proxy": "localhost,127.0.0.1,::1",
        "NO_PROXY": "localhost,127.0.0.1,::1",
    }


def test_what_the_app_sets_in_either_case_is_its_own() -> None:
    env = with_proxy(config({"HTTP_PROXY": "", "no_proxy": "x"})).env
    assert (env["HTTP_PROXY"], env["no_proxy"]) == ("", "x")
    assert env.keys() == {"HTTP_PROXY", "no_proxy", "https_proxy", "HTTPS_PROXY"}


def test_without_egress_there_is_no_proxy() -> None:
    assert with_proxy(config({"A": "b"}, egress=False)).env == {"A": "b"}
